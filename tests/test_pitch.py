"""Pitch arithmetic, the same in numpy and in JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffsinger_jax.pitch import cents, fill_unvoiced, hz_to_midi, midi_to_hz, semitones_to_ratio

F0 = np.array(
    [[0, 0, 100, 0, 0, 400, 200, 0], [0, 0, 0, 0, 0, 0, 0, 0], [220, 0, 0, 0, 0, 0, 0, 110]],
    np.float32,
)


@pytest.mark.parametrize("xp", [np, jnp])
def test_midi_and_hz(xp):
    midi = xp.asarray([69.0, 57.0, 60.0, 60.5])
    hz = midi_to_hz(midi)
    np.testing.assert_allclose(hz, [440, 220, 261.6256, 269.2918], rtol=1e-6)
    np.testing.assert_allclose(hz_to_midi(hz), midi, rtol=1e-6)
    np.testing.assert_allclose(cents(hz[3], hz[2]), 50, rtol=1e-3)
    np.testing.assert_allclose(hz[2] * semitones_to_ratio(0.5), hz[3], rtol=1e-6)
    assert isinstance(hz_to_midi(hz), type(midi))
    assert np.all(np.isfinite(hz_to_midi(xp.zeros(2))))


def test_plain_numbers():
    assert midi_to_hz(69) == 440 and hz_to_midi(880.0) == 81 and cents(880.0) == 1200


def test_unvoiced_stretches_are_lines_in_log2():
    expected = F0.astype(np.float64)
    for row in (0, 2):
        voiced = np.flatnonzero(F0[row])
        expected[row] = 2 ** np.interp(np.arange(8), voiced, np.log2(expected[row, voiced]))
    np.testing.assert_allclose(fill_unvoiced(F0), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(fill_unvoiced)(F0), expected, rtol=1e-5)
    assert fill_unvoiced(F0).dtype == np.float32
    for row in range(3):
        np.testing.assert_array_equal(fill_unvoiced(F0[row]), fill_unvoiced(F0)[row])
    assert fill_unvoiced(np.zeros(0, np.float32)).shape == (0,)
