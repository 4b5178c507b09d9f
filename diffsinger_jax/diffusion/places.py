"""Where residuals move fast, told by the auxiliary mel itself: groups of frames, heights of bins.

How much of what an auxiliary mel lacks moves fast depends on the frame, up to ten times as much
where the auxiliary mel moves as where it stands still, and there on the bin: fourteen times as much
between the harmonics of a held vowel as on them, where it is heard most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import gaussian_filter1d

SILENT_SHARE = 0.125
"""Of the frames: those with the lowest level are grouped apart from the others."""
MOVEMENTS = 4
"""Groups of as many frames each, by how fast the auxiliary mel moves."""
GROUPS = 2 * MOVEMENTS
HEIGHTS = 5
"""Classes of as many bins each, by how high they are above their neighbours."""
VARIANCES = (0.08, 0.2, 0.5, 1.0, 2.0)
"""By which a place's law may differ from that of its group."""
UNIT = VARIANCES.index(1.0)

LEVEL_WIDTH, MOVEMENT_WIDTH = 1.0, 2.0
"""Standard deviations in frames of the Gaussians by which both are smoothed."""
SMOOTHING_REACH = 8
NEIGHBOUR_WIDTH = 3.0
"""In bins, of the Gaussian that a bin's height is measured above."""
FAST_WIDTH = 1.5
"""In frames, of the Gaussian that takes away what moves slowly."""
TABLE_WIDTH = 2.0
"""In bins, by which the tables are smoothed."""
SHRINKAGE = 50.0
"""Frames of the group's own variance that count beside each class's."""


class Places(NamedTuple):
    """What is known of each place of a mel.

    Attributes:
      group: i32[B, T] of each frame, below GROUPS.
      level: i32[B, T, D], the place's variance as an index of VARIANCES.
    """

    group: jax.Array
    level: jax.Array


class PlaceTable(NamedTuple):
    """By what places are told apart.

    Attributes:
      edges: f32[MOVEMENTS] between groups of frames: of the level, then of movement.
      heights: f32[HEIGHTS - 1, D], edges between classes of height in each bin.
      variance: f32[GROUPS, HEIGHTS, D], of the class over that of the group.
    """

    edges: jax.Array
    heights: jax.Array
    variance: jax.Array

    def places(self, mel: jax.Array) -> Places:
        """Of an auxiliary mel [B, T, D], zero beyond its ends and on padding."""
        level, movement = frame_features(mel)
        group = frame_groups(level, movement, self.edges)
        height = height_class(local_height(mel), self.heights)
        bins = jnp.arange(mel.shape[-1])[None, None]
        variance = self.variance[group[..., None], height, bins]
        bounds = np.sqrt(np.multiply(VARIANCES[1:], VARIANCES[:-1]))
        index = sum((variance > bound).astype(jnp.int32) for bound in bounds)
        return Places(group, jnp.asarray(index))


def same_places(mel: jax.Array) -> Places:
    """All frames in the first group, all bins as their group."""
    return Places(jnp.zeros(mel.shape[:2], jnp.int32), jnp.full(mel.shape, UNIT, jnp.int32))


def frame_features(mel: jax.Array) -> tuple[jax.Array, jax.Array]:
    """By what frames are grouped: level and movement of an auxiliary mel.

    Args:
      mel: [B, T, D], zero beyond its ends and on padding: then padding changes nothing.

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


def local_height(mel: jax.Array) -> jax.Array:
    """How far each bin is above its neighbours: f32[B, T, D] for [B, T, D]."""
    bins = np.arange(mel.shape[-1])
    weights = np.exp(-0.5 * (np.subtract.outer(bins, bins) / NEIGHBOUR_WIDTH) ** 2)
    weights = np.eye(len(bins)) - weights / weights.sum(axis=0)
    return jnp.matmul(mel, jnp.asarray(weights, jnp.float32), precision="highest")


def frame_groups(level: jax.Array, movement: jax.Array, edges: jax.Array) -> jax.Array:
    """The group of each frame, i32[...] below GROUPS."""
    group = MOVEMENTS * (level <= edges[0]).astype(jnp.int32)
    for number in range(1, MOVEMENTS):
        group += (movement > edges[number]).astype(jnp.int32)
    return group


def height_class(height: jax.Array, edges: jax.Array) -> jax.Array:
    """The class of each bin, i32[B, T, D] below HEIGHTS, for edges f32[HEIGHTS - 1, D]."""
    return sum(
        ((height > edge[None, None]).astype(jnp.int32) for edge in edges),
        start=jnp.zeros(height.shape, jnp.int32),
    )


def measure_places(
    residuals: Sequence[np.ndarray], level: np.ndarray, movement: np.ndarray, height: np.ndarray
) -> PlaceTable:
    """The table for pieces of singing.

    Args:
      residuals: f32[T, D] of each piece.
      level, movement, height: f32[sum of T], the same, f32[sum of T, D] of all pieces together.
    """
    shares = np.arange(1, MOVEMENTS) / MOVEMENTS
    edges = np.asarray([np.quantile(level, SILENT_SHARE), *np.quantile(movement, shares)])
    shares = np.arange(1, HEIGHTS) / HEIGHTS
    heights = _over_bins(np.quantile(height[level > edges[0]], shares, axis=0))
    group = np.asarray(frame_groups(*map(jnp.asarray, (level, movement, edges))))
    classes = (height[:, None] > heights).sum(axis=1)  # [T, D]
    fast = np.concatenate([r - gaussian_filter1d(r, FAST_WIDTH, axis=0) for r in residuals]) ** 2
    variance = np.ones((GROUPS, HEIGHTS, height.shape[1]))
    for number in np.unique(group):
        inside = group == number
        of_group = _over_bins(fast[inside].mean(axis=0)) + 1e-12
        for j in range(HEIGHTS):
            member = classes[inside] == j
            count = _over_bins(member.sum(axis=0).astype(np.float64))
            total = _over_bins((fast[inside] * member).sum(axis=0).astype(np.float64))
            variance[number, j] = (total / of_group + SHRINKAGE) / (count + SHRINKAGE)
    return PlaceTable(*(jnp.asarray(x, jnp.float32) for x in (edges, heights, variance)))


def _over_bins(values: np.ndarray) -> np.ndarray:
    """[..., D], smoothed over bins."""
    return gaussian_filter1d(values, TABLE_WIDTH, axis=-1)
