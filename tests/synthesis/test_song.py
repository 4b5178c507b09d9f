"""Pieces on their way to one song: places, silence, cuts and the peak."""

import numpy as np
import pytest
from fake_voice import PHONEMES, SPEC

from diffsinger_jax.synthesis.arrays import piece_arrays
from diffsinger_jax.synthesis.mixing import PEAK
from diffsinger_jax.synthesis.song import SungPiece, assemble, filled_piece
from diffsinger_jax.types import Note, Phoneme, Piece, Score, Vocabulary

RATE, FPS = SPEC.sample_rate, SPEC.frames_per_sec


def sung(offset_sec, *parts, room_sec=1.0, level=0.5):
    """A piece of (seconds, "a" or "SP") whose wav is `level` throughout, and f0 220 Hz."""
    notes = tuple(Note(sec, None if symbol == "SP" else 57.0) for sec, symbol in parts)
    phonemes = tuple(Phoneme(symbol, i, onset=True) for i, (_, symbol) in enumerate(parts))
    piece = Piece(offset_sec, notes, phonemes)
    arrays = piece_arrays(piece, Vocabulary(PHONEMES), FPS, room_sec=room_sec)
    ph_frames = arrays.ph_frames(np.ones(len(arrays.phonemes)))
    frames = int(ph_frames.sum())
    return SungPiece(
        arrays=arrays,
        ph_frames=ph_frames,
        f0=np.full(frames, 220.0, np.float32),
        mel=np.full((frames, SPEC.n_mels), -2.0, np.float32),
        wav=np.full(frames * SPEC.hop, level, np.float32),
    )


def song_of(*pieces):
    return assemble(Score("song", "ja", tuple(p.arrays.piece for p in pieces)), pieces, SPEC)


def level_at(song, seconds):
    return float(np.abs(song.wav[round(seconds * RATE)]))


def test_pieces_stand_at_their_offsets_with_silence_between():
    song = song_of(sung(1.0, (0.5, "a")), sung(3.0, (0.5, "a")))
    assert len(song.wav) == round(3.5 * RATE)
    assert abs(len(song.mel) / FPS - 3.5) <= 1 / FPS
    for sounding in (1.02, 1.48, 3.02, 3.45):
        assert level_at(song, sounding) == pytest.approx(0.5, abs=1e-3)
    for silent in (0.1, 0.7, 1.8, 2.7):
        assert level_at(song, silent) == 0.0
    assert [round(p.start_sec, 2) for p in song.phonemes] == [1.0, 3.0]
    assert [p.label for p in song.phonemes] == ["a", "a"]


def test_long_rests_inside_a_piece_are_silent_and_short_ones_are_left_alone():
    song = song_of(
        sung(0.0, (0.3, "SP"), (0.5, "a"), (1.0, "SP"), (0.5, "a"), (0.1, "SP"), (0.5, "a"))
    )
    np.testing.assert_array_equal(song.wav[round(1.0 * RATE) : round(1.6 * RATE)], 0.0)
    assert level_at(song, 2.35) == pytest.approx(0.5, abs=1e-3)


def test_no_sample_jumps():
    song = song_of(
        sung(0.0, (0.5, "a"), room_sec=0.0), sung(0.5, (0.5, "a"), room_sec=0.0, level=0.3)
    )
    assert np.abs(np.diff(song.wav, prepend=0.0, append=0.0)).max() < 0.01


def test_what_lies_before_the_song_is_cut():
    song = song_of(sung(0.0, (0.5, "a"), room_sec=0.0))
    assert len(song.wav) == round(0.5 * RATE)
    assert level_at(song, 0.02) == pytest.approx(0.5)
    assert song.f0.min() > 0


def test_a_loud_piece_is_turned_down_not_clipped_and_others_are_left_alone():
    quiet, loud = sung(0.0, (0.5, "a"), level=0.5), sung(2.0, (0.5, "a"), level=2.0)
    song = song_of(quiet, loud)
    assert np.abs(song.wav).max() == pytest.approx(PEAK)
    alone = song_of(quiet)
    both = len(alone.wav) - RATE // 10
    np.testing.assert_array_equal(song.wav[:both], alone.wav[:both])


def test_a_filled_piece_keeps_its_lead_in_where_there_was_room():
    piece = filled_piece(sung(1.0, (0.5, "a")), SPEC)
    assert [p.symbol for p in piece.phonemes] == ["SP", "a"]
    assert piece.offset_sec + piece.notes[0].duration_sec == pytest.approx(1.0)
    assert piece.duration_sec == pytest.approx(
        sum(p.duration_sec for p in piece.phonemes), abs=0.01
    )
    assert len(piece.curves["f0"].values) == round(piece.duration_sec * FPS)


def test_a_filled_piece_at_the_very_start_begins_with_its_note():
    piece = filled_piece(sung(0.0, (0.5, "a"), room_sec=0.0), SPEC)
    assert [p.symbol for p in piece.phonemes] == ["a"]
    assert piece.offset_sec == 0.0 and piece.phonemes[0].onset
    assert piece.phonemes[0].duration_sec == pytest.approx(0.5, abs=0.5 / FPS)


def test_an_empty_score_is_an_empty_song():
    assert assemble(Score("nothing", "", ()), [], SPEC).wav.size == 0
