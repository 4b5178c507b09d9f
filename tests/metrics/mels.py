"""Mels that move as singing does: smooth random fields over time and bins, and what spoils them."""

import numpy as np
import scipy.ndimage

from diffsinger_jax.types import MelSpec

SPEC = MelSpec(hop=256, n_fft=1024, win=1024)


def random_mel(seed, frames=400, spec=SPEC):
    """f64[T, M] log10 amplitude: a field correlated over 3 frames and 2 bins, about -1."""
    field = np.random.default_rng(seed).normal(size=(frames, spec.n_mels))
    field = scipy.ndimage.gaussian_filter(field, (1.5, 1.0))
    return -1 + 0.3 * field / field.std()


def blurred(mel):
    return scipy.ndimage.gaussian_filter(mel, (3.0, 2.0))


def noisy(mel, size=0.1, seed=9):
    return mel + size * np.random.default_rng(seed).normal(size=mel.shape)
