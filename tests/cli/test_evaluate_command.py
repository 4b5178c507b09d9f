"""What the command refuses before it loads anything."""

import pytest

from diffsinger_jax.cli import evaluate, page
from diffsinger_jax.errors import InputError

FLAGS = ["--voice", "pjs", "--corpus", "prepared"]


@pytest.mark.parametrize(
    "flags,words",
    [
        ([], "give --out DIR, --html DIR, or both"),
        (["--html", "page", "--mel_only"], "leave one out"),
        (["--html", "page"], "prepared"),  # there is no such corpus
    ],
)
def test_what_cannot_be_is_one_sentence(flags, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        evaluate.main([*FLAGS, *flags])
    assert not list(tmp_path.iterdir())


def test_a_song_that_is_not_there_leaves_no_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="nothing.musicxml"):
        page.main(["--html", "page", "nothing.musicxml"])
    assert not list(tmp_path.iterdir())
