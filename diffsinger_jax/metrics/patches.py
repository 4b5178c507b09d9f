"""Can a small classifier tell patches of samples from patches of recordings?

The area under its ROC curve on songs that it was not trained on: 0.5 is indistinguishable to it.
It sees the distribution of patches and not which recording a sample belongs to, so that a perfect
sampler has 0.5 however different its samples are from the recordings. It is a logistic regression
on the log powers of a patch's two-dimensional cosine transform and their products, so that it
sees how much detail of which kind there is, and whether it comes together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.fft
import scipy.optimize
import scipy.special
import scipy.stats

from diffsinger_jax.metrics.measures import natural_log, sounding_frames
from diffsinger_jax.types import MelSpec

PATCH_SEC = 0.16
PATCH_BINS = 20
RATE_BANDS = QUEFRENCY_BANDS = 5
"""Bands of the cosine transform: its first coefficient, then octaves."""
PENALTY = 1e-2
"""On the square of the weights of the standardised features."""
FLOOR = 1e-2
"""Least power, in squared nepers, that counts."""


class PatchClassifier(NamedTuple):
    """Weights of the standardised features: logit = (x - mean) / scale . weights + bias."""

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: float

    def logits(self, features: np.ndarray) -> np.ndarray:
        """f64[n] of features [n, F]; above 0 it takes a patch for a sample."""
        return (features - self.mean) / self.scale @ self.weights + self.bias


class Auc(NamedTuple):
    """Keeps all logits: no sums of parts give the order of the whole."""

    recordings: tuple[float, ...] = ()
    samples: tuple[float, ...] = ()

    def compute(self) -> float:
        """The chance that a sample's patch looks more like one than a recording's patch does.

        That is the area under the ROC curve, by the rank sum of Mann and Whitney; nan of nothing.
        """
        n, m = len(self.recordings), len(self.samples)
        if not n or not m:
            return float("nan")
        ranks = scipy.stats.rankdata((*self.samples, *self.recordings))
        return float((ranks[:m].sum() - m * (m + 1) / 2) / (n * m))


def patch_features(mel: np.ndarray, sounding: np.ndarray, spec: MelSpec) -> np.ndarray:
    """Features of all patches that begin and end on a sounding frame.

    Of each band of the patch's cosine transform: log of the mean power, and mean of the log
    powers, which is the lower the more of the power is in few coefficients. Patches of different
    regions of the mel scale have features of their own, 0 for the others.

    Args:
      mel: [T, M] log amplitude.
      sounding: bool[T], as of the recording, for the same patches of both.

    Returns:
      f64[n, F].
    """
    frames = max(round(PATCH_SEC * spec.frames_per_sec), 2)
    log_amplitude = natural_log(mel, spec)
    regions = spec.n_mels // PATCH_BINS
    bands = _band_matrix(frames)  # [bands, frames * PATCH_BINS]
    size = 2 * len(bands) + 1
    rows = []
    for first in range(0, len(mel) - frames + 1, frames):
        if not (sounding[first] and sounding[first + frames - 1]):
            continue
        patches = log_amplitude[first : first + frames, : regions * PATCH_BINS]
        patches = patches.reshape(frames, regions, PATCH_BINS).transpose(1, 0, 2)
        power = scipy.fft.dctn(patches, axes=(1, 2), norm="ortho") ** 2 + FLOOR
        power = power.reshape(regions, -1)
        described = np.hstack(
            [np.log(power @ bands.T), np.log(power) @ bands.T, np.ones((regions, 1))]
        )
        for region in range(regions):
            row = np.zeros((regions, size))
            row[region] = described[region]
            rows.append(row.ravel())
    return np.asarray(rows).reshape(-1, regions * size)


def train_classifier(recordings: np.ndarray, samples: np.ndarray) -> PatchClassifier:
    """Logistic regression with a penalty of `PENALTY` |weights|^2 on the mean loss.

    Args:
      recordings, samples: `patch_features` [n, F] of songs that it will not be applied to.
    """
    features = np.concatenate([recordings, samples])
    sign = np.repeat([-1.0, 1.0], [len(recordings), len(samples)])
    weight = np.repeat([0.5 / len(recordings), 0.5 / len(samples)], [len(recordings), len(samples)])
    mean, scale = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
    x = (features - mean) / scale

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (x @ theta[:-1] + theta[-1])
        slope = -weight * sign * scipy.special.expit(-margin)
        gradient = np.append(slope @ x + 2 * PENALTY * theta[:-1], slope.sum())
        value = weight @ np.logaddexp(0.0, -margin) + PENALTY * theta[:-1] @ theta[:-1]
        return float(value), gradient

    start = np.zeros(x.shape[1] + 1)
    theta = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B").x
    return PatchClassifier(mean, scale, theta[:-1], float(theta[-1]))


def patch_auc(
    classifier: PatchClassifier, true: np.ndarray, predicted: np.ndarray, spec: MelSpec
) -> Auc:
    """The classifier's answers on a recording and a sample, over the recording's sounding frames.

    Args:
      true, predicted: [T, M] log amplitude, of the same length.
    """
    sounding = sounding_frames(true, spec)
    logits = [
        tuple(classifier.logits(patch_features(mel, sounding, spec)).tolist())
        for mel in (true, predicted)
    ]
    return Auc(*logits)


def _band_matrix(frames: int) -> np.ndarray:
    """f64[bands, frames * PATCH_BINS], each row the mean over a band of coefficients.

    The first coefficient of both, the patch's level, is in no band.
    """
    rows, columns = _octaves(frames, RATE_BANDS), _octaves(PATCH_BINS, QUEFRENCY_BANDS)
    band = rows[:, None] * QUEFRENCY_BANDS + columns[None, :]
    one_hot = (band.ravel()[None] == np.arange(1, RATE_BANDS * QUEFRENCY_BANDS)[:, None]) * 1.0
    return one_hot / np.maximum(one_hot.sum(axis=1, keepdims=True), 1.0)


def _octaves(length: int, bands: int) -> np.ndarray:
    """i32[length]: 0 for index 0, 1 for 1, 2 for 2 and 3, 3 for 4 to 7, ... up to the last band."""
    return np.minimum(np.floor(np.log2(np.maximum(np.arange(length), 0.5))) + 1, bands - 1).astype(
        int
    )
