"""Retakes: what is chosen of a score, and that nothing else changes by a bit."""

import dataclasses

import numpy as np
import pytest
from fake_voice import FakeVoice
from random_batches import INFO, SPEC
from small_variance import small_variance_voice

from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.errors import InputError
from diffsinger_jax.pipeline.collate import collate
from diffsinger_jax.pipeline.plan import Bucket
from diffsinger_jax.pitch import hz_to_midi
from diffsinger_jax.synthesis.arrays import piece_arrays
from diffsinger_jax.synthesis.expression import Expression
from diffsinger_jax.synthesis.retakes import Retake, parse_retake
from diffsinger_jax.synthesis.row_keys import row_keys
from diffsinger_jax.synthesis.score_notes import keys_of_words, notes_of_pieces
from diffsinger_jax.synthesis.sung_pitch import joined, sung_f0
from diffsinger_jax.synthesis.synthesizer import Synthesizer
from diffsinger_jax.types import Curve, Note, Phoneme, Piece, Score


def piece(first_measure, pitches, offset_sec=0.0):
    """A note a measure, None for a rest."""
    notes = tuple(
        Note(0.4, midi, "a" if midi else None, where=f"measure {first_measure + i}, note 1")
        for i, midi in enumerate(pitches)
    )
    phonemes = tuple(
        Phoneme(INFO.vocabulary.phonemes[1 if note.midi else 0], i, True)
        for i, note in enumerate(notes)
    )
    return Piece(offset_sec, notes, phonemes)


PIECES = [piece(1, [60.0, None, 62.0]), piece(4, [64.0, 65.0], 2.0)]


@pytest.mark.parametrize(
    "text,expected",
    [
        ("measure 3-4", [[0, 0, 1], [1, 0]]),
        ("bar 5", [[0, 0, 0], [0, 1]]),
        ("notes 2-3", [[0, 0, 1], [1, 0]]),
        ("measure 1, note 4", [[1, 0, 0], [0, 1]]),
    ],
)
def test_measures_and_sung_notes_are_counted_over_the_score(text, expected):
    chosen = parse_retake(text).chosen(PIECES, "song")
    assert [one.astype(int).tolist() for one in chosen] == expected


@pytest.mark.parametrize(
    "text,said",
    [
        ("verse 2", "expected measures or notes"),
        ("measure 5-2", "the first not above the last"),
        ("measure 0-2", "expected numbers from 1 on"),
        ("measure 5-9", "there is no measure 5 to 9 to take again; it has measure 1 to 5"),
        ("note 5", "there is no note 5 to take again; it has note 1 to 4"),
        ("measure 2", "has no note to take again"),
    ],
)
def test_what_is_not_there_is_one_sentence(text, said):
    with pytest.raises(InputError, match=said):
        parse_retake(text).chosen(PIECES, "song")


def test_a_score_without_measures_takes_notes():
    notes = tuple(dataclasses.replace(note, where="note 1") for note in PIECES[0].notes)
    bare = dataclasses.replace(PIECES[0], notes=notes)
    with pytest.raises(InputError, match="it says no measures"):
        parse_retake("measure 1").chosen([bare])
    assert parse_retake("note 1").chosen([bare])[0].tolist() == [True, False, False]


def test_a_voice_that_draws_no_pitch_takes_nothing_again():
    score = Score("song", "", tuple(PIECES))
    with pytest.raises(InputError, match="draws no pitch"):
        Synthesizer(FakeVoice())._chosen(score, [], Expression(retake=Retake((("note", 1, 1),))))


def test_joined_takes_keep_all_frames_outside_and_have_no_step():
    rng = np.random.default_rng(0)
    kept, anew = (200 + np.cumsum(rng.normal(size=80)).astype("f4") for _ in range(2))
    anew += 30
    kept[50:54] = anew[50:54] = 0  # unvoiced in both
    chosen = (np.arange(80) >= 30) & (np.arange(80) < 60)
    both = joined(kept, anew, chosen, 10)
    assert np.array_equal(both[~chosen], kept[~chosen]) and not both[50:54].any()
    assert np.abs(both - kept)[40:50].min() > 10
    steps = 100 * np.abs(np.diff(hz_to_midi(both[np.r_[26:34, 56:64]])))
    assert steps[[3, 4, 10, 11]].max() < 30
    assert np.array_equal(joined(np.zeros(80, "f4"), anew, chosen, 10), anew * chosen)


class Singer(FakeVoice):
    """With a small variance model."""


@pytest.fixture(scope="module")
def singer():
    voice = Singer()
    voice.info = INFO
    voice.variance = small_variance_voice(Sampling(1.0, 2, "euler", start="gaussian"))
    return voice


def sung(voice, curves=None, *, chosen=(), retake_seed=1, expression=None):
    one = dataclasses.replace(PIECES[0], curves=curves or {})
    arrays = piece_arrays(one, INFO.vocabulary, SPEC.frames_per_sec)
    example = {**arrays.example, "ph_frames": arrays.ph_frames(np.ones(len(arrays.phonemes)))}
    bucket = Bucket(rows=1, frames=arrays.frames, phonemes=len(arrays.phonemes))
    batch = collate([example], bucket, INFO.mel.n_mels)
    keys, retake_keys = (row_keys(seed, [0], 1)[0] for seed in (0, retake_seed))
    return sung_f0(
        voice,
        batch,
        [arrays],
        keys,
        expression or Expression(),
        retake_keys=retake_keys,
        chosen=chosen,
    )[0]


def test_a_retake_of_a_note_changes_its_frames_alone_and_repeats_exactly(singer):
    whole = sung(singer)
    chosen = [np.array([False, False, True])]
    again = sung(singer, chosen=chosen)
    other = sung(singer, chosen=chosen, retake_seed=5)
    changed = whole != again
    voiced_last = np.flatnonzero(whole > 0)
    assert changed.any() and np.flatnonzero(changed).min() > voiced_last[len(voiced_last) // 3]
    assert np.array_equal(again, sung(singer, chosen=chosen))
    assert not np.array_equal(again, other) and np.array_equal(again[~changed], other[~changed])
    steered = Expression(correction=1.0, vibrato_depth=2.0)
    ours, theirs = (sung(singer, chosen=c, expression=steered) for c in (chosen, ()))
    assert np.array_equal(ours[~changed], theirs[~changed])


def test_a_given_pitch_is_kept_but_where_its_retake_curve_says(singer):
    frames = round(1.2 * SPEC.frames_per_sec)
    step = 1 / SPEC.frames_per_sec
    given = Curve(np.linspace(250, 260, frames, dtype=np.float32), step)
    kept = sung(singer, {"f0": given})
    mask = Curve((np.arange(frames) < frames // 3).astype("f4"), step)
    again = sung(singer, {"f0": given, "retake": mask})
    changed = np.flatnonzero(kept != again)
    assert changed.size and changed.max() <= frames // 3 + 1


def test_a_score_may_say_how_expressive_it_is(singer):
    frames = round(1.2 * SPEC.frames_per_sec)
    flat = Curve(np.zeros(frames, np.float32), 1 / SPEC.frames_per_sec)
    full = Curve(np.ones(frames, np.float32), 1 / SPEC.frames_per_sec)
    assert np.array_equal(sung(singer), sung(singer, {"expr": full}))
    assert not np.array_equal(sung(singer), sung(singer, {"expr": flat}))


def test_a_model_that_learned_notes_is_shown_those_of_a_slur():
    """openvpi's voices have a word on two notes: the line goes over both, the key is their mean."""
    notes = (Note(0.4, 60.0, "a"), Note(0.2, 66.0, None, slur=True), Note(0.4, None))
    symbols = ("b", "b", "a")
    phonemes = tuple(Phoneme(symbol, i, True) for i, symbol in enumerate(symbols))
    arrays = piece_arrays(
        Piece(0.0, notes, phonemes), INFO.vocabulary, SPEC.frames_per_sec, timing="openvpi"
    )
    assert len(arrays.phonemes) == 2  # the vowel once
    frames = arrays.ph_frames(np.ones(2))
    bucket = Bucket(rows=2, frames=arrays.frames + 3, phonemes=4)
    batch = collate([{**arrays.example, "ph_frames": frames}], bucket, INFO.mel.n_mels)
    shown = notes_of_pieces([arrays], batch)
    assert shown.midi[0, :4].tolist() == [60, 66, 66, -1] and shown.rest[0, 2]
    assert shown.frames.sum() == arrays.frames and shown.midi.shape == (2, 16)
    assert np.array_equal(shown.mel2note[0] > 0, batch.mask[0]) and not shown.mel2note[1].any()
    assert keys_of_words([arrays], batch)[0].tolist() == [62, 66, 0, 0]
