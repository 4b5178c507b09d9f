"""Pitch as the reference does it, against plain numpy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffsinger_jax.modules.layers import espnet_relative_table
from diffsinger_jax.modules.reference_pitch import (
    FIRST_HZ,
    WAVELET_SCALES,
    FramePitchPredictor,
    WaveletPitchPredictor,
    inverse_wavelet,
    pitch_bins,
)
from diffsinger_jax.pitch import fill_unvoiced, hz_to_midi


def test_bins_are_equal_steps_of_mel_from_50_to_1100_hz():
    f0 = np.array([[0.0, 20.0, 50.0, 110.0, 440.0, 1099.0, 1100.0, 5000.0]], np.float32)
    mel = 1127 * np.log(1 + f0.astype("f8") / 700)
    low, high = (1127 * np.log(1 + edge / 700) for edge in (50.0, 1100.0))
    expected = np.floor(np.clip((mel - low) * 254 / (high - low) + 1, 1, 255) + 0.5)
    np.testing.assert_array_equal(jax.jit(pitch_bins)(f0), expected)
    assert expected[0, 0] == 1 and expected[0, -1] == 255


def test_unvoiced_stretches_are_lines_in_log_f0():
    f0 = np.array([[0, 0, 100, 0, 0, 0, 400, 200, 0], [0] * 9], np.float32)
    places = np.flatnonzero(f0[0])
    expected = 2 ** np.interp(np.arange(9), places, np.log2(f0[0, places]))
    filled = jax.jit(fill_unvoiced)(f0)
    np.testing.assert_allclose(filled[0], expected, rtol=1e-6)
    np.testing.assert_array_equal(pitch_bins(filled[1]), 1)


@pytest.mark.parametrize("predictor", (FramePitchPredictor, WaveletPitchPredictor))
def test_predictors_begin_where_people_speak(predictor):
    made = predictor(layers=1, hidden=4, kernel_size=3, dropout=0.0)
    arguments = jnp.ones((1, 5, 4)), jnp.ones((1, 4)), jnp.zeros((1, 5)), jnp.ones((1, 5), bool)
    params = jax.jit(functools.partial(made.init, train=False))(jax.random.key(0), *arguments)
    silent = jax.tree.map(lambda x: x if x.ndim == 1 else 0 * x, params)  # biases alone
    midi, _ = jax.jit(functools.partial(made.apply, train=False))(silent, *arguments)
    np.testing.assert_allclose(midi, hz_to_midi(FIRST_HZ), atol=1e-3)


def mexican_hat_transform(x):
    """[T] -> [T, 10] by direct sums, scales 0.01 s to 5.12 s at 5 ms a frame."""
    time = np.arange(len(x))
    columns = []
    for scale in 2.0 * 2.0 ** np.arange(WAVELET_SCALES):  # in frames
        u = (time[None, :] - time[:, None]) / scale
        hat = 2 / (np.sqrt(3) * np.pi**0.25) * (1 - u**2) * np.exp(-(u**2) / 2)
        columns.append(hat @ x / np.sqrt(scale))
    return np.stack(columns, axis=1)


def test_the_inverse_wavelet_finds_the_curve_again():
    rng = np.random.default_rng(0)
    smooth = np.convolve(rng.normal(size=460), np.hanning(61), mode="valid")
    curve = (smooth - smooth.mean()) / smooth.std()
    coefficients = mexican_hat_transform(curve)[None].astype("f4")
    found = np.asarray(jax.jit(inverse_wavelet)(coefficients, np.ones((1, 400), bool)))[0]
    # The approximate inverse is what it is in the reference too: near, not equal.
    assert np.corrcoef(found, curve)[0, 1] > 0.9
    np.testing.assert_allclose(found.mean(), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(ddof=1), 1, atol=1e-5)


def test_the_inverse_wavelet_sees_no_padding():
    coefficients = np.random.default_rng(1).normal(size=(1, 50, 10)).astype("f4")
    mask = np.arange(50)[None] < 30
    inverse = jax.jit(inverse_wavelet)
    padded, short = inverse(coefficients, mask), inverse(coefficients[:, :30], mask[:, :30])
    np.testing.assert_allclose(padded[:, :30], short, atol=1e-6)
    assert not np.any(padded[:, 30:])


def test_the_espnet_table_counts_down_from_4999():
    table = np.asarray(espnet_relative_table(7, 8))[0]
    for i in (0, 6):
        angles = (4999 - i) * 10_000.0 ** (-np.arange(0, 8, 2) / 8)
        # float32 rates at position 4999 leave three digits and a half
        np.testing.assert_allclose(table[i, 0::2], np.sin(angles), atol=5e-4)
        np.testing.assert_allclose(table[i, 1::2], np.cos(angles), atol=5e-4)
    assert espnet_relative_table(5003, 4).shape == (1, 5003, 4)
    assert jnp.allclose(espnet_relative_table(5003, 4)[0, -1], jnp.array([0.0, 1.0, 0.0, 1.0]))
