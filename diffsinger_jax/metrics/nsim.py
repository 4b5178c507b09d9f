"""Neurogram similarity on log-mels: is the fine pattern of the spectrum there? Blur lowers it."""

from __future__ import annotations

import numpy as np
import scipy.ndimage

from diffsinger_jax.metrics.measures import Ratio, natural_log, sounding_frames
from diffsinger_jax.types import MelSpec

RANGE_DB = 45.0
"""What lies further below the louder of the two frames' peaks is not compared."""
_WINDOW = np.array([0.1065, 0.787, 0.1065])  # a Gaussian of three points, along each axis
_LUMINANCE = (0.01 * RANGE_DB) ** 2
_STRUCTURE = (0.03 * RANGE_DB) ** 2 / 2


def nsim(true: np.ndarray, predicted: np.ndarray, spec: MelSpec) -> Ratio:
    """Mean similarity of two mels in 3 x 3 points, over the true mel's sounding frames.

    (2 mu mu^ + C1) / (mu^2 + mu^^2 + C1) * (s_xy + C3) / (s_x s_y + C3), with Gaussian-weighted
    means, deviations and covariance of the two mels in dB above a floor that lies `RANGE_DB`
    below the louder frame's peak. Hines, Harte, Speech intelligibility prediction using a
    neurogram similarity index measure, 2012; used so by ViSQOL, on gammatone spectrograms.

    Args:
      true, predicted: [T, M] log amplitude, of the same length.

    Returns:
      1 for equal mels, near 0 for unrelated ones.
    """
    x, y = (natural_log(mel, spec) * (20 / np.log(10.0)) for mel in (true, predicted))
    peak = np.maximum(x.max(axis=1, keepdims=True), y.max(axis=1, keepdims=True))
    x, y = (np.maximum(decibels - peak + RANGE_DB, 0.0) for decibels in (x, y))
    mean_x, mean_y = _local_mean(x), _local_mean(y)
    variance_x = np.maximum(_local_mean(x * x) - mean_x**2, 0.0)
    variance_y = np.maximum(_local_mean(y * y) - mean_y**2, 0.0)
    covariance = _local_mean(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _LUMINANCE) / (mean_x**2 + mean_y**2 + _LUMINANCE)
    structure = (covariance + _STRUCTURE) / (np.sqrt(variance_x * variance_y) + _STRUCTURE)
    similarity = (luminance * structure)[sounding_frames(true, spec)]
    return Ratio(float(similarity.sum()), float(similarity.size))


def _local_mean(x: np.ndarray) -> np.ndarray:
    """Weighted mean of 3 x 3 points; the edge's values go on beyond it."""
    along_time = scipy.ndimage.correlate1d(x, _WINDOW, axis=0, mode="nearest")
    return scipy.ndimage.correlate1d(along_time, _WINDOW, axis=1, mode="nearest")
