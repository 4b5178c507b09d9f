"""Songs without a rest are cut, and nothing is lost or moved by it."""

import dataclasses

import pytest

from diffsinger_jax.synthesis.phrases import split_long_phrases
from diffsinger_jax.types import Note, Phoneme, Piece, Score


def breathless(count, slur_every=4):
    notes = tuple(
        Note(0.5, 60.0, None if slur else "か", slur=slur)
        for slur in (i % slur_every == slur_every - 1 for i in range(count))
    )
    phonemes = []
    for i, note in enumerate(notes):
        phonemes += [] if note.slur else [Phoneme("k", i, onset=False)]
        phonemes.append(Phoneme("a", i, onset=True))
    phonemes[:2] = [Phoneme("k", 0, onset=True), Phoneme("a", 0, onset=False)]
    return Score("x", "ja", (Piece(2.0, notes, tuple(phonemes)),))


def test_every_note_and_phoneme_stays_where_it_was():
    score = breathless(500)
    cut = split_long_phrases(score, 30.0)
    assert all(piece.duration_sec <= 30 for piece in cut.pieces)
    assert [n for piece in cut.pieces for n in piece.notes] == list(score.pieces[0].notes)
    symbols = [p.symbol for piece in cut.pieces for p in piece.phonemes]
    assert symbols == [p.symbol for p in score.pieces[0].phonemes]
    end = 2.0
    for piece in cut.pieces:
        assert piece.offset_sec == pytest.approx(end)
        end += piece.duration_sec
        assert not piece.notes[0].slur
        assert [p.onset for p in piece.phonemes if p.note_index == 0] == [True, False]
        assert {p.note_index for p in piece.phonemes} == set(range(len(piece.notes)))


def test_short_pieces_and_given_durations_stay_whole():
    assert split_long_phrases(breathless(50), 30.0) == breathless(50)
    piece = breathless(500).pieces[0]
    given = tuple(dataclasses.replace(p, duration_sec=0.1) for p in piece.phonemes)
    score = Score("x", "ja", (dataclasses.replace(piece, phonemes=given),))
    assert split_long_phrases(score, 30.0) == score
