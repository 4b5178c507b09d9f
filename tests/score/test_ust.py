"""UTAU songs: encodings, rests, aliases of voice banks, tempo changes and drawn pitch."""

import numpy as np
import pytest

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.reader import read_score


def ust(*notes, head="Tempo=120"):
    body = "".join(f"[#{i:04}]\n{note}\n" for i, note in enumerate(notes))
    return f"[#VERSION]\nUST Version1.2\n[#SETTING]\n{head}\n{body}[#TRACKEND]\n"


def note(lyric, length=480, pitch=60, more=""):
    return f"Length={length}\nLyric={lyric}\nNoteNum={pitch}\n{more}"


def heard(path, **options):
    notes = read_score(path, **options).pieces[0].notes
    return [("-" if n.slur else n.lyric, n.midi, pytest.approx(n.duration_sec)) for n in notes]


SONG = ust(
    note("R"), note("か"), note("a さ", pitch=62), note("ー", 240, 64), note("た_C4", 240, 65)
)
HEARD = [
    (None, None, 0.5), ("か", 60, 0.5), ("さ", 62, 0.5), ("-", 64, 0.25), ("た", 65, 0.25)
]  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932", "utf-16"])
def test_the_encoding_is_found(tmp_path, encoding):
    path = tmp_path / "song.ust"
    path.write_bytes(SONG.encode(encoding))
    assert heard(path) == HEARD


def test_an_encoding_that_is_said_is_taken(tmp_path):
    path = tmp_path / "song.ust"
    path.write_bytes(ust(note("你"), note("好")).encode("gbk"))
    assert [lyric for lyric, _, _ in heard(path, encoding="gbk")] == ["你", "好"]
    with pytest.raises(InputError, match="not text in utf-8; say how it is encoded"):
        read_score(path, encoding="utf-8")


def test_tempo_changes_at_its_note(tmp_path):
    path = tmp_path / "song.ust"
    path.write_text(ust(note("か"), note("さ", more="Tempo=60"), note("た")), "utf-8")
    assert [sec for _, _, sec in heard(path)] == [0.5, 1.0, 1.0]


def test_drawn_pitch_glides_from_the_note_before(tmp_path):
    path = tmp_path / "song.ust"
    glide = "PBS=-50\nPBW=100\nPBY=0\nPBM=s"
    path.write_text(ust(note("か", pitch=69), note("さ", pitch=81, more=glide)), "utf-8")
    curve = read_score(path).pieces[0].curves["f0"]
    at = {ms: curve.values[round(ms / 1000 / curve.timestep_sec)] for ms in (100, 500, 900)}
    # Half way up, by a straight line in semitones, where the second note begins.
    np.testing.assert_allclose(list(at.values()), [440, 440 * 2**0.5, 880], rtol=1e-4)


def test_a_song_without_drawn_pitch_leaves_it_to_the_voice(tmp_path):
    path = tmp_path / "song.ust"
    path.write_text(SONG, "utf-8")
    assert read_score(path).pieces[0].curves == {}
