"""Residuals as a Gaussian field: stationary along time, with a full covariance over channels.

What an auxiliary mel lacks moves slowly and in broad strokes over the bins: neighbouring frames and
neighbouring bins are correlated by some .9. A linear estimate that knows this takes far more of the
noise away than one that looks at each bin of each frame by itself.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

LAGS = 33
"""Autocovariances that are measured: lags 0 to 32 frames."""
PERIOD = 128
"""Frames of the transform between autocovariance and spectrum, more than twice the lags."""
FREQUENCIES = PERIOD // 2 + 1
REACH = 16
"""Frames to each side that the linear estimate looks at."""
FLOOR = 1e-7
"""Of the spectrum: a window of finite length may leave it a little below zero."""


def _cosines(frames: int) -> np.ndarray:
    """f64[FREQUENCIES, frames]: a symmetric spectrum times this is its sequence at 0, 1, 2 ..."""
    weight = np.full(FREQUENCIES, 2.0 / PERIOD)
    weight[[0, -1]] = 1.0 / PERIOD
    angles = 2 * np.pi * np.outer(np.arange(FREQUENCIES), np.arange(frames)) / PERIOD
    return weight[:, None] * np.cos(angles)


@dataclasses.dataclass(frozen=True, eq=False)
class GaussianField:
    """r = basis c, where the D components c are independent, each stationary along time.

    Attributes:
      basis: f32[D, D], orthonormal columns: the principal components over channels.
      spectrum: f32[D, FREQUENCIES] > 0, the power of each component at 0 to 1/2 cycles a frame,
        such that white noise of variance v has v everywhere.
    """

    basis: jax.Array
    spectrum: jax.Array

    def estimate(self, noisy: jax.Array, noise2: jax.Array) -> jax.Array:
        """The best linear estimate of r from r + n: the Wiener filter S / (S + noise2) along time.

        Frames beyond the ends, and those of padding, must read as zero: then padding changes
        nothing.

        Args:
          noisy: [B, T, D] r plus white noise.
          noise2: f32[B, 1, 1], the noise's variance.

        Returns:
          [B, T, D].
        """
        gain = self.spectrum[None] / (self.spectrum[None] + noise2)  # [B, D, FREQUENCIES]
        taps = gain @ jnp.asarray(_cosines(REACH + 1), jnp.float32)  # [B, D, REACH + 1]
        components, frames = noisy @ self.basis, noisy.shape[1]
        padded = jnp.pad(components, ((0, 0), (REACH, REACH), (0, 0)))
        at = [padded[:, i : i + frames] for i in range(2 * REACH + 1)]
        filtered = components * taps[:, None, :, 0]
        for lag in range(1, REACH + 1):
            filtered += (at[REACH - lag] + at[REACH + lag]) * taps[:, None, :, lag]
        return filtered @ self.basis.T

    def error_spread(self, noise2: jax.Array) -> jax.Array:
        """Standard deviation of r minus its estimate: f32[B, 1, D], for noise2 f32[B, 1, 1]."""
        error = self.spectrum[None] * noise2 / (self.spectrum[None] + noise2)  # [B, D, FREQUENCIES]
        variance = error @ jnp.asarray(_cosines(1), jnp.float32)[:, 0]  # [B, D], of components
        return jnp.sqrt(variance @ (self.basis**2).T)[:, None, :]


def lagged_covariances(residual: jax.Array) -> jax.Array:
    """Sums over rows and frames of r_t r_{t+l}^T for l = 0 .. LAGS - 1.

    Args:
      residual: [B, T, D], zero on padding.

    Returns:
      f32[LAGS, D, D].
    """
    frames = residual.shape[1]
    padded = jnp.pad(residual, ((0, 0), (0, LAGS - 1), (0, 0)))
    return jnp.stack(
        [jnp.einsum("btd,bte->de", residual, padded[:, lag : lag + frames]) for lag in range(LAGS)]
    )


def field_of_covariances(covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Basis and spectrum of a field from its lagged covariances.

    The basis are the eigenvectors of the covariance; each component's spectrum is the transform of
    its autocovariance under a Hann window over the lags (Blackman and Tukey's estimate).

    Args:
      covariances: f64[LAGS, D, D], means over frames.

    Returns:
      f32[D, D] and f32[D, FREQUENCIES], as `GaussianField` has them.
    """
    _, basis = np.linalg.eigh(covariances[0])
    basis = basis[:, ::-1]  # the largest first
    along_time = np.einsum("dk,lde,ek->kl", basis, covariances, basis, optimize=True)
    window = np.cos(np.pi / 2 * np.arange(LAGS) / LAGS) ** 2
    sequence = np.zeros((len(basis), PERIOD // 2 + 1))
    sequence[:, :LAGS] = along_time * window
    spectrum = np.fft.hfft(sequence, n=PERIOD, axis=-1)[:, :FREQUENCIES]
    return basis.astype(np.float32), np.maximum(spectrum, FLOOR).astype(np.float32)
