"""Mel cepstra of a recording's spectral envelope by WORLD, as most papers measure their MCD."""

from __future__ import annotations

import functools

import numpy as np

from diffsinger_jax.types import MelSpec

ORDER = 24


def mel_cepstrum(wav: np.ndarray, f0: np.ndarray, spec: MelSpec) -> np.ndarray:
    """f64[T, 24] coefficients 1 to 24, without the loudness c_0.

    CheapTrick's envelope (Morise, CheapTrick, a spectral envelope estimator for high-quality
    speech synthesis, 2015), its real cepstrum, warped by the all-pass that is nearest to the mel
    scale (Tokuda, Kobayashi, Masuko, Imai, Mel-generalized cepstral analysis, 1994).

    Args:
      wav: f32[L] at `spec.sample_rate`.
      f0: [T] Hz, 0 unvoiced.
      spec: gives the frames.
    """
    import pyworld  # late: it imports pkg_resources

    times = np.arange(len(f0)) / spec.frames_per_sec
    envelope = pyworld.cheaptrick(
        np.asarray(wav, np.float64), np.asarray(f0, np.float64), times, spec.sample_rate
    )  # [T, 1 + n_fft / 2] power
    cepstrum = np.fft.irfft(np.log(np.maximum(envelope, 1e-16)) / 2, axis=1)
    cepstrum = cepstrum[:, : envelope.shape[1]]
    cepstrum[:, 1:-1] *= 2  # one-sided: ln A(w) = sum c_n cos(n w)
    return (cepstrum @ warping_matrix(envelope.shape[1], mel_alpha(spec.sample_rate)))[:, 1:]


@functools.lru_cache(maxsize=8)
def warping_matrix(length: int, alpha: float) -> np.ndarray:
    """f64[length, 25]: a cepstrum times it is the cepstrum on the warped frequency axis.

    Oppenheim, Johnson, Discrete representation of signals, 1972; the recursion of SPTK's freqt,
    run for every unit vector at once.

    Args:
      length: coefficients of the cepstrum.
      alpha: of the all-pass (z^-1 - alpha) / (1 - alpha z^-1).
    """
    warped = np.zeros((ORDER + 1, length))
    for n in range(length - 1, -1, -1):
        before, warped = warped, np.zeros_like(warped)
        unit = np.zeros(length)
        unit[n] = 1.0
        warped[0] = unit + alpha * before[0]
        warped[1] = (1 - alpha**2) * before[0] + alpha * before[1]
        for m in range(2, ORDER + 1):
            warped[m] = before[m - 1] + alpha * (before[m] - warped[m - 1])
    warped.flags.writeable = False
    return warped.T


@functools.lru_cache(maxsize=8)
def mel_alpha(sample_rate: int) -> float:
    """The all-pass coefficient, to 3 digits, whose frequency axis is nearest to the mel scale.

    ln(1 + f / 1000), Fant, both axes scaled to end at 1; least squares.
    """
    omega = np.linspace(0, np.pi, 1000)
    mel = np.log1p(omega / np.pi * sample_rate / 2 / 1000)
    alphas = np.arange(0.0, 1.0, 0.001)[:, None]
    warped = omega + 2 * np.arctan(alphas * np.sin(omega) / (1 - alphas * np.cos(omega)))
    error = np.square(warped / np.pi - mel / mel[-1]).sum(axis=1)
    return float(alphas[error.argmin(), 0])
