import shutil
from importlib.util import find_spec

import numpy as np
import pytest

from diffsinger_jax.corpus.info import corpus_info_from_dict, corpus_info_to_dict
from diffsinger_jax.errors import InputError
from diffsinger_jax.pipeline.prepared import open_corpus, text


def test_gives_back_what_was_stored(corpus, tiny_example):
    source = corpus.source("train")
    assert len(source) == 37
    for example in (source[0], source[36]):
        stored = tiny_example(int(text(example["name"])[4:].split("#")[0]))
        for field, value in stored.items():
            if field == "name":
                assert text(example["name"]) == value
            else:
                np.testing.assert_array_equal(example[field], value, strict=field != "speaker")


def test_lengths_are_those_of_the_source(corpus):
    lengths = corpus.lengths("validation")
    for number, example in enumerate(corpus.source("validation")):
        assert lengths.frames[number] == len(example["mel"]) == example["ph_frames"].sum()
        assert lengths.phonemes[number] == len(example["tokens"])
        assert lengths.names[number] == text(example["name"])


def test_info_survives_json(corpus):
    again = corpus_info_from_dict(corpus_info_to_dict(corpus.info), "here")
    assert again.mel == corpus.info.mel and again.vocabulary == corpus.info.vocabulary
    np.testing.assert_array_equal(again.mel_max, np.full(4, np.float32(0.1)), strict=True)


@pytest.mark.parametrize("case", ["missing", "empty", "foreign", "no shards", "broken json"])
def test_other_folders_are_one_sentence(tmp_path, corpus_path, case):
    folder = tmp_path / "folder"
    if case != "missing":
        folder.mkdir()
    if case == "foreign":
        (folder / "song.wav").write_bytes(b"")
    if case == "no shards":
        shutil.copy(corpus_path + "/corpus.json", folder)
    if case == "broken json":
        (folder / "corpus.json").write_text("{")
    with pytest.raises(InputError, match="folder"):
        open_corpus(folder)


def test_unknown_split_names_those_there_are(corpus):
    with pytest.raises(InputError, match="train, validation"):
        corpus.source("test")


def test_wrong_fields_are_one_sentence(corpus):
    fields = corpus_info_to_dict(corpus.info)
    with pytest.raises(InputError, match="corpus.json does not describe"):
        corpus_info_from_dict(fields | {"mel": {"hops": 3}}, "corpus.json")
    with pytest.raises(InputError, match="expected \\(4,\\)"):
        corpus_info_from_dict(fields | {"mel_min": [0.0]}, "corpus.json")


def test_a_bucket_is_asked_for_by_its_name():
    if any(find_spec(name) for name in ("gcsfs", "tensorflow")):
        pytest.skip("this would go to the network")
    with pytest.raises(InputError, match="cannot open gs://bucket/prepared: .*gcsfs"):
        open_corpus("gs://bucket/prepared")
