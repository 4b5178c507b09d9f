"""Measures of liveliness on pitch whose vibrato, overshoot and distances are known."""

import numpy as np
import pytest

from diffsinger_jax.metrics.liveliness import (
    SungNote,
    changes,
    distances,
    notes_of_frames,
    notes_within,
    take_spread,
    vibrato,
    wasserstein,
)
from diffsinger_jax.pitch import midi_to_hz

RATE = 93.75


def sung(midi, cents):
    """f0 of notes and of cents beside them."""
    return midi_to_hz(np.asarray(midi) + np.asarray(cents) / 100.0)


@pytest.mark.parametrize("hertz,depth", [(4.0, 40.0), (5.5, 80.0), (7.0, 25.0)])
def test_a_sinusoid_has_its_rate_and_depth(hertz, depth):
    time = np.arange(round(1.5 * RATE)) / RATE
    f0 = sung(np.full(len(time), 62.0), depth * np.sin(2 * np.pi * hertz * time) + 20 * time)
    found = vibrato(f0, SungNote(0, len(f0), 62.0), RATE)
    assert found.rate_hz == pytest.approx(hertz, abs=0.15)
    assert found.rms_cents == pytest.approx(depth / 2**0.5, rel=0.08)
    assert found.is_vibrato


def test_what_is_straight_slow_short_or_broken_is_no_vibrato():
    time = np.arange(round(1.5 * RATE)) / RATE
    note = SungNote(0, len(time), 62.0)
    line = np.full(len(time), 62.0)
    assert not vibrato(sung(line, 30 * time), note, RATE).is_vibrato
    assert not vibrato(sung(line, 40 * np.sin(2 * np.pi * 1.2 * time)), note, RATE).is_vibrato
    noise = np.random.default_rng(0).normal(size=len(time)) * 40
    assert not vibrato(sung(line, noise), note, RATE).is_vibrato
    assert vibrato(sung(line, 0 * time), SungNote(0, 40, 62.0), RATE) is None
    assert vibrato(np.where(time % 0.2 < 0.05, 0.0, 300.0), note, RATE) is None


def test_preparation_and_overshoot_are_measured_against_the_notes_own_level():
    midi = np.concatenate([np.full(80, 60.0), np.full(80, 63.0), np.full(80, 58.0)])
    cents = np.full(240, 10.0)
    cents[75:80] -= 30  # down before going up
    cents[80:86] += 45  # beyond the higher note
    cents[155:160] += 20  # up before going down
    cents[160:166] -= 60
    notes = notes_of_frames(midi, np.zeros(240, bool))
    first, second = changes(sung(midi, cents), notes, RATE)
    assert first == pytest.approx((30, 45), abs=1e-6)
    assert second == pytest.approx((20, 60), abs=1e-6)
    silent = sung(midi, cents) * (midi != 63)
    assert changes(silent, notes, RATE) == []


def test_notes_are_cut_at_onsets_and_rests():
    midi = np.array([0, 0, 60, 60, 60, 60, 62, 62, 0.0])
    onset = np.zeros(9, bool)
    onset[[0, 2, 4]] = True
    assert notes_of_frames(midi, onset) == [(2, 4, 60.0), (4, 6, 60.0), (6, 8, 62.0)]


def test_the_distance_of_distributions_is_how_far_one_has_to_be_moved():
    rng = np.random.default_rng(1)
    x = rng.normal(size=4000)
    assert wasserstein(x, x) == 0
    assert wasserstein(x, x + 7) == pytest.approx(7)
    assert wasserstein(x, 3 * x) == pytest.approx(2 * np.sqrt(2 / np.pi), rel=0.05)
    assert np.isnan(wasserstein(x, x[:0]))


def test_accuracy_is_of_the_middle_of_notes_and_wild_frames_do_not_count():
    midi = np.repeat([60.0, 64.0], 40)
    notes = notes_of_frames(midi, np.zeros(80, bool))
    cents = np.repeat([40.0, 60.0], 40)
    cents[[0, 1, 79]] = 900
    f0 = sung(midi, cents)
    assert notes_within(f0, notes) == 0.5 and notes_within(f0, notes, 100.0) == 1.0
    assert len(distances(f0, notes)) == 77
    f0[:3] = 0
    assert len(distances(f0, notes)) == 76


def test_takes_that_differ_have_a_spread():
    f0 = np.full(50, 220.0)
    assert take_spread([f0, f0]) == 0
    assert take_spread([f0, sung(57.0, np.full(50, 30.0))]) == pytest.approx(15, rel=1e-6)
    assert np.isnan(take_spread([f0, f0 * 0]))
