"""A piece becomes arrays whose notes stand where the score has them."""

import numpy as np
import pytest
from fake_voice import PHONEMES

from diffsinger_jax.errors import InputError
from diffsinger_jax.synthesis.arrays import piece_arrays, resample_f0
from diffsinger_jax.types import Curve, Note, Phoneme, Piece, Vocabulary

VOCABULARY = Vocabulary(PHONEMES)
FPS = 93.75


def piece_of(*syllables, durations=None):
    """Notes of (seconds, midi, "k a"); a rest has midi None and "SP"."""
    notes = tuple(Note(sec, midi) for sec, midi, _ in syllables)
    phonemes = []
    for index, (_, _, symbols) in enumerate(syllables):
        *leading, nucleus = symbols.split()
        phonemes += [Phoneme(s, index, onset=not phonemes) for s in leading]
        phonemes.append(Phoneme(nucleus, index, onset=True))
    if durations is not None:
        phonemes = [
            Phoneme(p.symbol, p.note_index, p.onset, duration)
            for p, duration in zip(phonemes, durations, strict=True)
        ]
    return Piece(0.0, notes, tuple(phonemes))


def symbols(arrays):
    return [phoneme.symbol for phoneme in arrays.phonemes]


def test_a_leading_consonant_has_the_numbers_of_its_own_note():
    piece = piece_of((0.5, None, "SP"), (0.4, 60, "k a"), (0.3, 62, "s a"), (0.5, None, "SP"))
    arrays = piece_arrays(piece, VOCABULARY, FPS)
    assert symbols(arrays) == ["SP", "k", "a", "s", "a", "SP"]
    np.testing.assert_array_equal(arrays.example["note_midi"], [0, 60, 60, 62, 62, 0])
    np.testing.assert_allclose(arrays.example["note_sec"], [0.5, 0.4, 0.4, 0.3, 0.3, 0.5])
    np.testing.assert_array_equal(arrays.example["onset"], [1, 0, 1, 0, 1, 1])
    assert arrays.head_frames == arrays.tail_frames == 0


def test_each_onset_is_within_half_a_frame_of_its_note_however_many_came_before():
    rng = np.random.default_rng(0)
    lengths = rng.uniform(0.05, 0.4, size=200)
    piece = piece_of((0.5, None, "SP"), *((sec, 60, "t a") for sec in lengths), (0.5, None, "SP"))
    arrays = piece_arrays(piece, VOCABULARY, FPS)
    frames = arrays.ph_frames(rng.uniform(1, 30, size=len(arrays.phonemes)))
    begins = (np.cumsum(frames) - frames)[arrays.example["onset"] == 1]
    expected = np.cumsum([0, 0.5, *lengths]) * FPS
    assert np.abs(begins - expected).max() <= 0.5
    assert frames.sum() == np.floor(piece.duration_sec * FPS + 0.5)


def test_leading_consonants_take_their_time_from_the_rest_before():
    piece = piece_of((0.5, None, "SP"), (0.5, 60, "k a"))
    frames = piece_arrays(piece, VOCABULARY, FPS).ph_frames(np.full(4, 6.0))
    np.testing.assert_array_equal(frames[:3], [47 - 6, 6, 47])


def test_a_piece_without_silence_gets_it_at_both_ends():
    piece = piece_of((0.5, 60, "k a"))
    arrays = piece_arrays(piece, VOCABULARY, FPS, room_sec=1.0)
    assert symbols(arrays) == ["SP", "k", "a", "SP"]
    np.testing.assert_array_equal(arrays.example["onset"], [1, 0, 1, 1])
    frames = arrays.ph_frames(np.full(4, 6.0))
    head = arrays.head_frames
    np.testing.assert_array_equal(frames, [head - 6, 6, 47, arrays.tail_frames])


def test_where_there_is_no_time_before_it_the_consonant_starts_with_the_note():
    piece = piece_of((0.5, 60, "k a"), (0.5, 62, "s a"))
    arrays = piece_arrays(piece, VOCABULARY, FPS, room_sec=0.0)
    frames = arrays.ph_frames(np.full(6, 6.0))
    head = arrays.head_frames
    assert not arrays.leads
    np.testing.assert_array_equal(frames, [head, 6, 47 - 12, 6, 47, arrays.tail_frames])


def test_given_durations_are_used_as_they_are():
    given = [0.1, 0.05, 0.31, 0.02, 0.5]
    piece = piece_of((0.1, None, "SP"), (0.5, 60, "k a"), (0.5, 62, "s a"), durations=given)
    arrays = piece_arrays(piece, VOCABULARY, FPS, room_sec=1.0)
    frames = arrays.ph_frames(np.full(6, 99.0))
    ends = np.cumsum(frames)[:-1]
    assert np.abs(ends - np.cumsum(given) * FPS).max() <= 0.5
    assert frames[-1] == arrays.tail_frames > 0


def test_a_piece_of_one_phoneme():
    arrays = piece_arrays(piece_of((0.2, 60, "N")), VOCABULARY, FPS)
    assert symbols(arrays) == ["SP", "N", "SP"]
    assert arrays.ph_frames(np.ones(3))[1] == 19


def test_half_given_durations_are_an_error_that_names_the_phoneme():
    piece = piece_of((0.5, 60, "k a"), durations=[0.1, None])
    with pytest.raises(InputError, match=r"phoneme 2 \(a\) has no duration"):
        piece_arrays(piece, VOCABULARY, FPS)


def test_an_unknown_phoneme_is_an_error_that_names_it():
    with pytest.raises(InputError, match="no phoneme 'q'"):
        piece_arrays(piece_of((0.5, 60, "q a")), VOCABULARY, FPS)


def test_f0_is_resampled_in_the_log_domain_and_held_at_the_end():
    rising = Curve(np.array([100.0, 200.0, 400.0], np.float32), 0.5)
    f0 = resample_f0(rising, 8, frames_per_sec=4.0)
    root = 2**0.5
    np.testing.assert_allclose(
        f0, [100, 100 * root, 200, 200 * root, 400, 400, 400, 400], rtol=1e-5
    )


def test_unvoiced_f0_stays_unvoiced_and_makes_up_no_pitch():
    curve = Curve(np.array([200, 200, 0, 0, 300, 300], np.float32), 0.01)
    f0 = resample_f0(curve, 24, frames_per_sec=400.0)
    assert set(np.round(f0[f0 > 0], 3)) == {200.0, 300.0}
    assert (f0[7:14] == 0).all()
