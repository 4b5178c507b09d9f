"""Residuals as a Gaussian field: stationary along time, with a full covariance over channels.

What an auxiliary mel lacks moves slowly and in broad strokes over the bins: neighbouring frames and
neighbouring bins are correlated by some .9. A linear estimate that knows this takes far more of the
noise away than one that looks at each bin of each frame by itself. How much of it moves fast
depends on the frame, up to ten times as much where the auxiliary mel moves as where it stands
still: frames are grouped by the auxiliary mel itself, and each group has a spectrum of its own.
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

SILENT_SHARE = 0.125
"""Of the frames: those with the lowest level are grouped apart from the others."""
MOVEMENTS = 4
"""Groups of as many frames each, by how fast the auxiliary mel moves."""
GROUPS = 2 * MOVEMENTS
LEVEL_WIDTH, MOVEMENT_WIDTH = 1.0, 2.0
"""Standard deviations in frames of the Gaussians by which both are smoothed."""
SMOOTHING_REACH = 8
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


def frame_features(mel: jax.Array) -> tuple[jax.Array, jax.Array]:
    """By what frames are grouped: level and movement of an auxiliary mel.

    Frames beyond the ends, and those of padding, must read as zero: then padding changes nothing.

    Args:
      mel: [B, T, D].

    Returns:
      f32[B, T]: the mean over channels; the logarithm of the mean square of the differences from
      frame to frame. Both smoothed along time.
    """
    frames, margin = mel.shape[1], SMOOTHING_REACH + 1
    padded = jnp.pad(mel.astype(jnp.float32), ((0, 0), (margin, margin), (0, 0)))
    moved = (jnp.diff(padded, axis=1) ** 2).mean(axis=-1)[:, : frames + 2 * SMOOTHING_REACH]
    level = padded.mean(axis=-1)[:, 1:-1]
    return _smoothed(level, LEVEL_WIDTH), jnp.log(_smoothed(moved, MOVEMENT_WIDTH) + 1e-5)


def _smoothed(values: jax.Array, width: float) -> jax.Array:
    """[B, T + 2 SMOOTHING_REACH] -> [B, T], under a Gaussian."""
    weights = np.exp(-0.5 * (np.arange(-SMOOTHING_REACH, SMOOTHING_REACH + 1) / width) ** 2)
    frames = values.shape[1] - 2 * SMOOTHING_REACH
    parts = (w * values[:, i : i + frames] for i, w in enumerate(weights / weights.sum()))
    return sum(parts, start=jnp.zeros((), values.dtype))


def group_edges(level: np.ndarray, movement: np.ndarray) -> np.ndarray:
    """The edges between groups, f32[MOVEMENTS]: of the level, then of movement; from all frames."""
    shares = np.arange(1, MOVEMENTS) / MOVEMENTS
    edges = [np.quantile(level, SILENT_SHARE), *np.quantile(movement, shares)]
    return np.asarray(edges, np.float32)


def frame_groups(level: jax.Array, movement: jax.Array, edges: jax.Array) -> jax.Array:
    """The group of each frame, i32[...] below GROUPS, from `frame_features` and `group_edges`."""
    group = MOVEMENTS * (level <= edges[0]).astype(jnp.int32)
    for number in range(1, MOVEMENTS):
        group += (movement > edges[number]).astype(jnp.int32)
    return group


@dataclasses.dataclass(frozen=True, eq=False)
class GaussianField:
    """r = basis c, the D components c independent, each stationary along time in a group's frames.

    Where groups meet, the estimate takes each frame for one of a field that is its group's alone.

    Attributes:
      basis: f32[D, D], orthonormal columns: the principal components over channels.
      spectrum: f32[G, D, FREQUENCIES] > 0, for each group of frames the power of each component at
        0 to 1/2 cycles a frame, such that white noise of variance v has v everywhere.
    """

    basis: jax.Array
    spectrum: jax.Array

    def estimate(self, noisy: jax.Array, noise2: jax.Array, group: jax.Array) -> jax.Array:
        """The best linear estimate of r from r + n: the Wiener filter S / (S + noise2) along time.

        Frames beyond the ends, and those of padding, must read as zero: then padding changes
        nothing.

        Args:
          noisy: [B, T, D] r plus white noise.
          noise2: f32[B, 1, 1], the noise's variance.
          group: i32[B, T] of each frame.

        Returns:
          [B, T, D].
        """
        spectrum = self.spectrum[None]
        gain = spectrum / (spectrum + noise2[..., None])  # [B, G, D, FREQUENCIES]
        taps = gain @ jnp.asarray(_cosines(REACH + 1), jnp.float32)  # [B, G, D, REACH + 1]
        components, frames = noisy @ self.basis, noisy.shape[1]
        padded = jnp.pad(components, ((0, 0), (REACH, REACH), (0, 0)))
        at = [padded[:, i : i + frames] for i in range(2 * REACH + 1)]
        filtered = components * _of_frames(taps[..., 0], group)
        for lag in range(1, REACH + 1):
            filtered += (at[REACH - lag] + at[REACH + lag]) * _of_frames(taps[..., lag], group)
        return filtered @ self.basis.T

    def error_spread(self, noise2: jax.Array, group: jax.Array) -> jax.Array:
        """Standard deviation of r minus its estimate: f32[B, T, D], for noise2 f32[B, 1, 1]."""
        spectrum, noise2 = self.spectrum[None], noise2[..., None]
        return self._spread(spectrum * noise2 / (spectrum + noise2), group)

    def innovation_spread(self, noise2: jax.Array, group: jax.Array) -> jax.Array:
        """Standard deviation of r + n minus the estimate of r: f32[B, T, D]."""
        spectrum, noise2 = self.spectrum[None], noise2[..., None]
        return self._spread(noise2**2 / (spectrum + noise2), group)

    def _spread(self, power: jax.Array, group: jax.Array) -> jax.Array:
        """[B, G, D, FREQUENCIES] of components -> f32[B, T, D] of channels."""
        variance = power @ jnp.asarray(_cosines(1), jnp.float32)[:, 0]
        return _of_frames(jnp.sqrt(variance @ (self.basis**2).T), group)


def _of_frames(values: jax.Array, group: jax.Array) -> jax.Array:
    """[B, G, D] of the groups -> [B, T, D] of the frames."""
    return jnp.take_along_axis(values, group[..., None], axis=1)


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
