import numpy as np
import pytest
import scipy.ndimage

from diffsinger_jax.metrics.nsim import RANGE_DB, nsim
from tests.metrics.mels import SPEC, blurred, noisy, random_mel


def reference(true, predicted):
    """Point by point, by the formula; 20 dB for one unit of log10."""
    weights = np.outer([0.1065, 0.787, 0.1065], [0.1065, 0.787, 0.1065])
    c1, c3 = (0.01 * RANGE_DB) ** 2, (0.03 * RANGE_DB) ** 2 / 2
    peak = np.maximum(true.max(1), predicted.max(1))[:, None]
    x, y = (
        np.pad(np.clip(20 * (m - peak) + RANGE_DB, 0, None), 1, "edge") for m in (true, predicted)
    )
    total = 0.0
    for t, m in np.ndindex(true.shape):
        a, b = x[t : t + 3, m : m + 3], y[t : t + 3, m : m + 3]
        mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
        s_a, s_b = (np.sqrt((weights * (v - (weights * v).sum()) ** 2).sum()) for v in (a, b))
        s_ab = (weights * (a - mean_a) * (b - mean_b)).sum()
        luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
        total += luminance * (s_ab + c3) / (s_a * s_b + c3)
    return total / true.size


def test_it_is_the_formula():
    true = random_mel(0, frames=20)
    for predicted in (noisy(true), blurred(true), random_mel(1, frames=20)):
        ours = nsim(true, predicted, SPEC).compute()
        # The weights add up to 1 but for their four digits.
        assert ours == pytest.approx(reference(true, predicted), abs=2e-3)


def test_an_equal_mel_is_1_and_an_unrelated_one_far_from_it():
    true = random_mel(0)
    assert nsim(true, true, SPEC).compute() == pytest.approx(1.0)
    unrelated = nsim(true, random_mel(1), SPEC).compute()
    assert unrelated < 0.5 < nsim(true, noisy(true, 0.02), SPEC).compute()


def test_the_more_blur_the_less():
    true = random_mel(0)
    values = [
        nsim(true, scipy.ndimage.gaussian_filter(true, sigma), SPEC).compute()
        for sigma in (0.5, 1.0, 2.0)
    ]
    assert 1 > values[0] > values[1] > values[2]


def test_silence_counts_for_nothing():
    true = random_mel(0, frames=60)
    silent = np.full((40, SPEC.n_mels), -5.0)
    with_silence = [np.concatenate([mel, silent]) for mel in (true, noisy(true))]
    with_silence[1][70:] += 0.5  # a noise in it
    inner = slice(0, 59)  # the last sounding frame has the silence in its window
    expected = nsim(true[inner], noisy(true)[inner], SPEC).compute()
    assert nsim(*with_silence, SPEC).compute() == pytest.approx(expected, abs=0.01)
