"""Residuals as a Gaussian field: stationary along time, with a full covariance over channels.

What an auxiliary mel lacks moves slowly and in broad strokes over the bins: neighbouring frames and
neighbouring bins are correlated by some .9. A linear estimate that knows this takes far more of the
noise away than one that looks at each bin of each frame by itself. How much of it moves fast
differs from place to place; see `places`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.diffusion.places import GROUPS, VARIANCES, Places

LAGS = 33
"""Autocovariances that are measured: lags 0 to 32 frames."""
PERIOD = 128
"""Frames of the transform between autocovariance and spectrum, more than twice the lags."""
FREQUENCIES = PERIOD // 2 + 1
REACH = 16
"""Frames to each side that the linear estimate looks at."""
FLOOR = 1e-7
"""Of the spectrum: a window of finite length may leave it a little below zero."""

SHRINKAGE = 300.0
"""Frames of all groups' spectrum that count beside each group's own."""
LEAST_SHARE = 0.02
"""Of all groups' spectrum: no group's falls below."""


def _cosines(frames: int) -> np.ndarray:
    """f64[FREQUENCIES, frames]: a symmetric spectrum times this is its sequence at 0, 1, 2 ..."""
    weight = np.full(FREQUENCIES, 2.0 / PERIOD)
    weight[[0, -1]] = 1.0 / PERIOD
    angles = 2 * np.pi * np.outer(np.arange(FREQUENCIES), np.arange(frames)) / PERIOD
    return weight[:, None] * np.cos(angles)


@dataclasses.dataclass(frozen=True, eq=False)
class GaussianField:
    """r = basis c, the D components c independent, each stationary along time in a group's frames.

    A place whose variance is v times its group's is estimated as if all places were such, and where
    groups meet, each frame as if all were its group's.

    Attributes:
      basis: f32[D, D], orthonormal columns: the principal components over channels.
      spectrum: f32[G, D, FREQUENCIES] > 0, for each group of frames the power of each component at
        0 to 1/2 cycles a frame, such that white noise of variance v has v everywhere.
    """

    basis: jax.Array
    spectrum: jax.Array

    def estimate(self, noisy: jax.Array, noise2: jax.Array, places: Places) -> jax.Array:
        """The best linear estimate of r from r + n: the Wiener filter S / (S + noise2) along time.

        Frames beyond the ends, and those of padding, must read as zero: then padding changes
        nothing.

        Args:
          noisy: [B, T, D] r plus white noise.
          noise2: f32[B, 1, 1], the noise's variance.
          places: what is known of each.

        Returns:
          [B, T, D].
        """
        frames = noisy.shape[1]
        padded = jnp.pad(noisy @ self.basis, ((0, 0), (REACH, REACH), (0, 0)))

        def estimate(variance: jax.Array) -> jax.Array:
            spectrum = self.spectrum[None]
            gain = spectrum / (spectrum + noise2[..., None] / variance)  # [B, G, D, FREQUENCIES]
            taps = gain @ jnp.asarray(_cosines(REACH + 1), jnp.float32)  # [B, G, D, REACH + 1]
            filtered = padded[:, REACH : REACH + frames] * _of_frames(taps[..., 0], places.group)
            for lag in range(1, REACH + 1):
                before, after = REACH - lag, REACH + lag
                both = padded[:, before : before + frames] + padded[:, after : after + frames]
                filtered += both * _of_frames(taps[..., lag], places.group)
            return filtered @ self.basis.T

        return _of_places(jax.lax.map(estimate, jnp.asarray(VARIANCES)), places.level)

    def error_spread(self, noise2: jax.Array, places: Places) -> jax.Array:
        """Standard deviation of r minus its estimate: f32[B, T, D], for noise2 f32[B, 1, 1]."""
        return self._spread(lambda spectrum, n: spectrum * n / (spectrum + n), noise2, places)

    def innovation_spread(self, noise2: jax.Array, places: Places) -> jax.Array:
        """Standard deviation of r + n minus the estimate of r: f32[B, T, D]."""
        return self._spread(lambda spectrum, n: n**2 / (spectrum + n), noise2, places)

    def _spread(
        self,
        power: Callable[[jax.Array, jax.Array], jax.Array],
        noise2: jax.Array,
        places: Places,
    ) -> jax.Array:
        """The root of the power of components, as spectrum and noise have it, summed over them."""
        each = []
        for variance in VARIANCES:
            spectra = variance * power(self.spectrum[None], noise2[..., None] / variance)
            components = spectra @ jnp.asarray(_cosines(1), jnp.float32)[:, 0]  # [B, G, D]
            of_channels = jnp.sqrt(components @ (self.basis**2).T)
            each.append(_of_frames(of_channels, places.group))
        return _of_places(each, places.level)


def _of_frames(values: jax.Array, group: jax.Array) -> jax.Array:
    """[B, G, D] of the groups -> [B, T, D] of the frames."""
    return jnp.take_along_axis(values, group[..., None], axis=1)


def _of_places(values: Sequence[jax.Array] | jax.Array, level: jax.Array) -> jax.Array:
    """[B, T, D] for each of VARIANCES -> [B, T, D] of each place's own."""
    chosen = values[0]
    for number in range(1, len(VARIANCES)):
        chosen = jnp.where(level == number, values[number], chosen)
    return chosen


def lagged_covariances(residual: np.ndarray, group: np.ndarray, groups: int = GROUPS) -> np.ndarray:
    """Sums over the frames of one piece, for each group, of how they hang together with others.

    The mean of the products r_t r_{t+l}^T over the pairs that begin in the group and those that end
    there; the groups' sum is that over all pairs.

    Args:
      residual: [T, D].
      group: i32[T].

    Returns:
      f64[groups, LAGS, D, D].
    """
    residual = residual.astype(np.float64)
    member = group[:, None] == np.arange(groups)  # [T, G]
    sums = np.zeros((groups, LAGS, residual.shape[1], residual.shape[1]))
    for lag in range(min(LAGS, len(residual))):
        first, later = residual[: len(residual) - lag], residual[lag:]
        weight = (member[: len(first)].astype(np.float64) + member[lag:]) / 2
        for number in np.flatnonzero(weight.any(axis=0)):
            sums[number, lag] = (first * weight[:, number, None]).T @ later
    return sums


def field_of_covariances(sums: np.ndarray, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Basis and spectra of a field from its lagged covariances.

    The basis are the eigenvectors of the covariance of all frames; each component's spectrum is the
    transform of its autocovariance under a Hann window over the lags (Blackman and Tukey's
    estimate), a group's drawn towards that of all frames as far as it has few.

    Args:
      sums: f64[G, LAGS, D, D], see `lagged_covariances`.
      frames: f64[G], how many frames each group has.

    Returns:
      f32[D, D] and f32[G, D, FREQUENCIES], as `GaussianField` has them.
    """
    pooled = sums.sum(axis=0) / frames.sum()  # [LAGS, D, D]
    _, basis = np.linalg.eigh(pooled[0])
    basis = basis[:, ::-1]  # the largest first
    of_all = np.maximum(_spectra(pooled[None], basis), FLOOR)
    shrunk = (sums + SHRINKAGE * pooled) / (frames + SHRINKAGE)[:, None, None, None]
    spectra = np.maximum(_spectra(shrunk, basis), np.maximum(LEAST_SHARE * of_all, FLOOR))
    return basis.astype(np.float32), spectra.astype(np.float32)


def _spectra(covariances: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """f64[G, LAGS, D, D] -> f64[G, D, FREQUENCIES], a little below zero perhaps."""
    along_time = np.einsum("dk,glde,ek->gkl", basis, covariances, basis, optimize=True)
    window = np.cos(np.pi / 2 * np.arange(LAGS) / LAGS) ** 2
    sequence = np.zeros((*along_time.shape[:2], FREQUENCIES))
    sequence[..., :LAGS] = along_time * window
    return np.fft.hfft(sequence, n=PERIOD, axis=-1)[..., :FREQUENCIES]
