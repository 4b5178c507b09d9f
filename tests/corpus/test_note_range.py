"""The range that a corpus is sung in."""

from pathlib import Path

from diffsinger_jax.corpus.notes import note_range
from diffsinger_jax.corpus.songs import SungPhoneme, SungSong


def song(*notes):
    phonemes = [
        SungPhoneme("a", 0.0, seconds, midi, seconds, False, True) for midi, seconds in notes
    ]
    return SungSong("a", "a", Path("a"), (), tuple(phonemes), "x", "ja")


def test_the_range_leaves_out_what_is_hardly_sung():
    songs = [song((60.0, 50.0), (40.0, 0.9), (0.0, 30.0)), song((67.0, 48.0), (80.0, 0.9))]
    assert note_range(songs) == (60.0, 67.0)
    assert note_range([*songs, song((40.0, 0.5))]) == (40.0, 67.0)


def test_without_notes_there_is_no_range():
    assert note_range([song((0.0, 1.0)), song((None, 1.0))]) is None
