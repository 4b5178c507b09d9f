"""Steering of pitch: the line at 0, what was sung at 1, and vibrato of known rate and depth."""

import numpy as np
import pytest

from diffsinger_jax.errors import InputError
from diffsinger_jax.metrics.liveliness import SungNote, notes_within, vibrato
from diffsinger_jax.pitch import hz_to_midi, midi_to_hz
from diffsinger_jax.synthesis.expression import Expression, spliced

RATE = 93.75
COUNT = 160
NOTE = np.repeat([0, 1, 2, 0], [20, COUNT, COUNT, 20])
LINE = np.repeat([60.0, 60.0, 64.0, 64.0], [20, COUNT, COUNT, 20])
TIME = np.arange(len(LINE)) / RATE
NOTES = [SungNote(20, 20 + COUNT, 60.0), SungNote(20 + COUNT, 20 + 2 * COUNT, 64.0)]


def performance(depth=0.5, rate=5.0, apart=0.35):
    """Vibrato on notes that are sung sharp, with unvoiced frames."""
    midi = LINE + apart + depth * np.sin(2 * np.pi * rate * TIME)
    f0 = midi_to_hz(midi)
    f0[:15] = f0[100:104] = 0
    return f0.astype(np.float32)


def steered(f0, **asked):
    return Expression(**asked).applied(f0, LINE, NOTE, RATE)


def depth(f0):
    return np.mean([vibrato(f0, note, RATE).rms_cents for note in NOTES])


def test_nothing_asked_for_changes_no_bit():
    assert np.array_equal(steered(performance()), performance())


def test_no_expressiveness_is_the_line_and_more_is_deeper():
    f0 = performance()
    flat = steered(f0, expressiveness=0.0)
    np.testing.assert_allclose(hz_to_midi(flat[f0 > 0]), LINE[f0 > 0], atol=1e-4)
    assert not flat[f0 == 0].any()
    depths = [depth(steered(f0, expressiveness=e)) for e in (0.0, 0.3, 0.7, 1.0, 1.5)]
    assert np.all(np.diff(depths) > 1) and depths[-1] == pytest.approx(1.5 * depths[3], rel=0.01)


def test_full_correction_moves_each_note_onto_the_score_and_keeps_its_movement():
    f0 = performance(apart=0.7)
    assert notes_within(f0, NOTES) == 0
    corrected = steered(f0, correction=1.0)
    assert notes_within(corrected, NOTES, 10.0) == 1
    assert depth(corrected) == pytest.approx(depth(f0), rel=0.03)


def test_a_voice_corrects_by_itself_unless_told_otherwise():
    own = Expression().of_voice(0.4)
    assert own == Expression(correction=0.4) and own.of_voice(0.1) == own
    assert Expression(correction=0.0).of_voice(0.4).is_neutral


def test_correction_hears_a_note_by_its_middle_not_by_how_it_is_reached():
    f0 = performance(apart=0.0)
    reached = slice(20 + COUNT, 20 + COUNT + COUNT // 5)
    f0[reached] *= 2 ** (-4 / 12)  # a long slide up to the second note
    assert notes_within(steered(f0, correction=1.0), NOTES, 10.0) == 1


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.6])
def test_depth_of_vibrato_is_scaled_and_nothing_else(factor):
    f0 = performance()
    changed = steered(f0, vibrato_depth=factor)
    assert depth(changed) == pytest.approx(factor * depth(f0), abs=2.5)
    for note in NOTES:
        middle = slice(note.first + 20, note.last - 20)
        means = [hz_to_midi(x[middle][f0[middle] > 0]).mean() for x in (f0, changed)]
        assert means[0] == pytest.approx(means[1], abs=0.06)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_rate_of_vibrato_is_scaled(factor):
    changed = steered(performance(), vibrato_rate=factor)
    for note in NOTES:
        assert vibrato(changed, note, RATE).rate_hz == pytest.approx(5.0 * factor, abs=0.25)
    assert depth(changed) == pytest.approx(depth(performance()), rel=0.12)


@pytest.mark.parametrize(
    "asked", [{"expressiveness": -0.1}, {"correction": 1.5}, {"vibrato_rate": 5.0}]
)
def test_what_is_out_of_range_is_one_sentence(asked):
    with pytest.raises(InputError, match=next(iter(asked))):
        Expression(**asked)


def test_a_retake_leaves_the_rest_bit_for_bit_and_has_no_jump():
    rng = np.random.default_rng(0)
    kept, retake = (60 + np.cumsum(rng.normal(size=100) * 0.02) for _ in range(2))
    retake += 1.5
    chosen = np.zeros(100, bool)
    chosen[30:70] = True
    result = spliced(kept, retake, chosen, 8)
    assert np.array_equal(result[~chosen], kept[~chosen])
    assert np.max(np.abs(np.diff(result))) < 0.3
    assert np.array_equal(result[40:60], retake[40:60])
