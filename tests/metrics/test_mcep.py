import numpy as np
import pytest

from diffsinger_jax.metrics.mcep import mel_alpha, mel_cepstrum, warping_matrix
from diffsinger_jax.metrics.measures import cepstral_distance
from diffsinger_jax.types import MelSpec


@pytest.mark.parametrize("rate,alpha", [(16_000, 0.41), (22_050, 0.455), (44_100, 0.544)])
def test_the_coefficients_that_are_in_use(rate, alpha):
    assert mel_alpha(rate) == pytest.approx(alpha, abs=0.005)


def test_warping_moves_the_envelope_along_the_frequency_axis():
    alpha, cepstrum = 0.45, np.zeros(300)
    cepstrum[:5] = 0.5, 0.4, -0.3, 0.2, 0.1
    warped = cepstrum @ warping_matrix(300, alpha)
    omega = np.linspace(0, np.pi, 50)
    there = omega + 2 * np.arctan(alpha * np.sin(omega) / (1 - alpha * np.cos(omega)))
    before = np.cos(np.outer(omega, np.arange(300))) @ cepstrum
    after = np.cos(np.outer(there, np.arange(25))) @ warped
    np.testing.assert_allclose(before, after, atol=1e-3)


def test_a_louder_sound_has_the_same_shape_and_a_darker_one_another():
    spec = MelSpec()
    t = np.arange(24_000) / spec.sample_rate
    f0 = np.full(1 + len(t) // spec.hop, 200.0)

    def buzz(slope):
        harmonics = np.arange(1, 50)
        return 0.1 * (np.sin(2 * np.pi * 200 * np.outer(t, harmonics)) * harmonics**slope).sum(1)

    def coefficients(wav):
        return mel_cepstrum(wav, f0, spec)[20:-20]

    bright = coefficients(buzz(-1.0))
    assert bright.shape == (len(f0) - 40, 24)
    assert cepstral_distance(bright, coefficients(0.5 * buzz(-1.0))).max() < 0.3
    # Amplitudes h^-1 and h^-1.5 differ by 10 log10 h dB, about log-linear over the mel scale.
    assert cepstral_distance(bright, coefficients(buzz(-1.5))).mean() > 2
