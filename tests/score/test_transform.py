"""Transposing, another tempo, and cutting at rests."""

import dataclasses
import runpy
from pathlib import Path

import numpy as np
import pytest

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.dictionary import Dictionary, phonemize
from diffsinger_jax.score.reader import read_score
from diffsinger_jax.score.transform import change_tempo, is_silent, split_at_rests, transpose
from diffsinger_jax.types import Curve, Note, Phoneme, Piece, Score, Vocabulary

HERE = Path(__file__).parent


def random_piece(rng, with_phonemes, with_curves):
    notes, phonemes = [], []
    for i in range(int(rng.integers(1, 30))):
        rest = rng.random() < 0.35
        sec = float(rng.uniform(0.1, 4.0))
        notes.append(Note(sec, None if rest else 60.0, None if rest else "あ", where=f"{i}"))
        given = 0.75 * sec if rng.random() < 0.5 else None
        phonemes.append(Phoneme("SP" if rest else "a", i, True, given))
        if rest and rng.random() < 0.3:
            phonemes.append(Phoneme("AP", i, False, given and sec - given))
    total = sum(note.duration_sec for note in notes)
    curves = {}
    if with_curves:
        steps = np.arange(int(total / 0.01) + 1, dtype=np.float32)
        curves = {"f0": Curve(steps, 0.01), "gender": Curve(np.ones(1, np.float32), total)}
    offset = float(rng.uniform(0, 9))
    return Piece(offset, tuple(notes), tuple(phonemes) if with_phonemes else None, curves)


def joined(pieces):
    """(midi, seconds) of the notes, rests that touch as one."""
    notes = []
    for note in (note for piece in pieces for note in piece.notes):
        if notes and note.midi is None and notes[-1][0] is None:
            notes[-1][1] += note.duration_sec
        else:
            notes.append([note.midi, note.duration_sec])
    return notes


@pytest.mark.parametrize("with_phonemes", [False, True])
def test_cutting_loses_and_moves_no_time(with_phonemes):
    rng = np.random.default_rng(1)
    for _ in range(100):
        piece = random_piece(rng, with_phonemes, with_curves=True)
        score = Score("song", "ja", (piece,))
        limit = float(rng.uniform(0.5, 20))
        pieces = split_at_rests(score, max_piece_sec=limit).pieces
        end = piece.offset_sec
        for part in pieces:
            assert part.offset_sec == pytest.approx(end)
            end = part.offset_sec + part.duration_sec
            assert all(note.duration_sec > 0 for note in part.notes)
            # Each part of the curve is the curve from where the part starts.
            f0 = part.curves["f0"].values
            assert abs(f0[0] * 0.01 - (part.offset_sec - piece.offset_sec)) <= 0.0051
            assert len(f0) * 0.01 >= part.duration_sec - 0.0201
            assert part.curves["gender"].timestep_sec == pytest.approx(part.duration_sec)
            if with_phonemes:
                assert part.phonemes[0].onset
                assert sorted({p.note_index for p in part.phonemes}) == list(range(len(part.notes)))
            if part.duration_sec > limit and not is_silent(part):
                inner = part.notes[1:-1]
                assert all(n.midi is not None or n.duration_sec < 4 / 3 * 0.3 for n in inner) or (
                    with_phonemes
                )
        assert end == pytest.approx(piece.offset_sec + piece.duration_sec)
        np.testing.assert_allclose([x[1] for x in joined(pieces)], [x[1] for x in joined((piece,))])
        if with_phonemes:
            before = sum(p.duration_sec or 0.0 for p in piece.phonemes)
            after = sum(p.duration_sec or 0.0 for part in pieces for p in part.phonemes)
            # A silence without given duration stays without.
            assert after == pytest.approx(before)


def test_long_rests_become_silent_pieces():
    score = read_score(HERE / "odd.musicxml")
    pieces = split_at_rests(score, max_piece_sec=60.0).pieces
    assert [is_silent(piece) for piece in pieces] == [False, True, False]
    assert [p.notes[-1].duration_sec for p in pieces[:1]] == [0.5]
    assert pieces[2].notes[0].duration_sec == pytest.approx(0.5)
    assert pieces[0].notes[0].lyric == "さ" and pieces[2].notes[1].lyric == "つ"


def test_a_four_minute_song_comes_in_pieces_that_fit(tmp_path):
    path = tmp_path / "long.musicxml"
    path.write_text(runpy.run_path(str(HERE / "make_odd.py"))["long_song"](), "utf-8")
    score = read_score(path)
    pieces = split_at_rests(score, max_piece_sec=12.0).pieces
    assert all(piece.duration_sec <= 12.0 for piece in pieces)
    assert sum(piece.duration_sec for piece in pieces) == pytest.approx(score.duration_sec)
    assert len(pieces) <= 242 / 9


def test_cutting_and_reading_lyrics_commute():
    score = read_score(HERE / "odd.musicxml")
    vocabulary = Vocabulary(
        ("SP", *"a i u e o N cl k s sh t ts ch n h f m y r w g z j d b p ky".split())
    )
    dictionary = Dictionary.of("ja")
    first = split_at_rests(phonemize(score, dictionary, vocabulary))
    last = phonemize(split_at_rests(score), dictionary, vocabulary)
    assert first == last


def test_transpose_and_back():
    rng = np.random.default_rng(2)
    score = Score("song", "ja", (random_piece(rng, True, True),))
    up = transpose(score, 12)
    assert all(
        a.midi is None or b.midi == a.midi + 12
        for a, b in zip(score.pieces[0].notes, up.pieces[0].notes, strict=True)
    )
    np.testing.assert_allclose(
        up.pieces[0].curves["f0"].values, 2 * score.pieces[0].curves["f0"].values, rtol=1e-6
    )
    assert transpose(up, -12).pieces[0].notes == score.pieces[0].notes


def test_tempo_scales_all_times():
    rng = np.random.default_rng(3)
    score = Score("song", "ja", (random_piece(rng, True, True),))
    fast = change_tempo(score, 2.0)
    assert fast.duration_sec == pytest.approx(score.duration_sec / 2)
    assert fast.pieces[0].curves["f0"].timestep_sec == 0.005
    back = change_tempo(fast, 0.5)
    assert dataclasses.replace(back.pieces[0], curves={}) == dataclasses.replace(
        score.pieces[0], curves={}
    )
    for factor in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="above 0"):
            change_tempo(score, factor)
