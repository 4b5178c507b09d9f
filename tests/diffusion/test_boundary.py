"""The boundary k: against brute force on analytic Gaussians, in its limits, and as it grows."""

import numpy as np
import pytest

from diffsinger_jax.diffusion.boundary import (
    closed_form_boundary,
    divergence,
    divergence_from_noise,
    earliest_boundaries,
    has_learned,
    learned_boundary,
)
from diffsinger_jax.diffusion.schedule import cosine_schedule, linear_schedule

SCHEDULES = [linear_schedule(100), linear_schedule(60, 1e-3, 0.1), cosine_schedule(80)]


def gaussian_kl(mean_1, variance_1, mean_2, variance_2):
    """KL(N_1 || N_2) by numerical integration of p log(p / q)."""
    x = mean_1 + np.sqrt(variance_1) * np.linspace(-12, 12, 2001)

    def log_density(mean, variance):
        return -((x - mean) ** 2) / (2 * variance) - np.log(2 * np.pi * variance) / 2

    one, two = log_density(mean_1, variance_1), log_density(mean_2, variance_2)
    return np.trapezoid(np.exp(one) * (one - two), x)


def brute_force(schedule, mels, auxiliary):
    """Diffuses every element to every step and adds up integrals; the paper, word for word."""

    def at(t, mel, other):
        signal, variance = np.sqrt(schedule.alpha_bar[t]), 1 - schedule.alpha_bar[t]
        return gaussian_kl(signal * mel, variance, signal * other, variance)

    last, end = schedule.alpha_bar[-1], schedule.steps - 1
    limit = sum(gaussian_kl(np.sqrt(last) * m, 1 - last, 0.0, 1.0) for m in mels)
    for t in range(schedule.steps):
        if sum(at(t, m, b) for m, b in zip(mels, auxiliary, strict=True)) <= limit:
            return t + 1
    return end + 1


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("error", [0.02, 0.1, 0.5])
def test_the_closed_form_is_what_brute_force_finds(schedule, error):
    rng = np.random.default_rng(0)
    mels = rng.normal(-0.3, 0.5, 3)
    auxiliary = mels + error * rng.normal(size=3)
    distance, square = np.sum((mels - auxiliary) ** 2), np.sum(mels**2)
    expected = brute_force(schedule, mels, auxiliary)
    assert closed_form_boundary(schedule.path, distance, square, count=3) == expected
    assert closed_form_boundary(schedule.path, distance / 3, square / 3) == expected  # as means


def test_divergences_are_those_of_gaussians():
    schedule, mel, auxiliary = linear_schedule(100), 0.7, 0.5
    for t in (0, 50, 99):
        a = schedule.alpha_bar[t]
        expected = gaussian_kl(np.sqrt(a) * mel, 1 - a, np.sqrt(a) * auxiliary, 1 - a)
        np.testing.assert_allclose(
            divergence(schedule.path, (mel - auxiliary) ** 2)[t], expected, rtol=1e-6
        )
    a = schedule.alpha_bar[-1]
    np.testing.assert_allclose(
        divergence_from_noise(schedule.path, mel**2),
        gaussian_kl(np.sqrt(a) * mel, 1 - a, 0.0, 1.0),
        rtol=1e-6,
    )


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_k_grows_with_the_error_from_one_to_the_whole_schedule(schedule):
    errors = np.geomspace(1e-14, 1e3, 60)
    found = [closed_form_boundary(schedule.path, error, square=0.3) for error in errors]
    assert found == sorted(found) and len(set(found)) > 10
    assert closed_form_boundary(schedule.path, 0.0, square=0.3) == 1
    assert found[0] == 1 and found[-1] == schedule.steps


def test_the_error_on_pure_scale_does_not_hang_on_the_size_of_the_corpus():
    schedule = linear_schedule(100)
    once = closed_form_boundary(schedule.path, 12.0, 300.0, count=1000)
    assert closed_form_boundary(schedule.path, 12e6, 300e6, count=1e9) == once


def test_the_rule_of_95_percent():
    same, apart = 0.1, 0.9
    margins = np.full((5, 100), same)
    margins[1, :60] = apart  # told apart for 60 steps: the 3 last of them are forgiven, of 43
    margins[2] = apart
    margins[3, 0] = apart  # one of a hundred
    margins[4, 97:] = apart  # at the end none is forgiven but by those before it
    by_hand = [
        next(
            (k + 1 for k in range(100) if np.mean(row[k:] < 0.4) >= 0.95),
            100,
        )
        for row in margins
    ]
    assert by_hand == [1, 59, 100, 1, 1]
    np.testing.assert_array_equal(earliest_boundaries(margins), by_hand)
    assert learned_boundary(margins) == 32  # (1 + 59 + 100 + 1 + 1) / 5 = 32.4
    assert has_learned(margins) and not has_learned(margins[:, 70:80] * 0.1)


def test_a_better_predictor_moves_the_boundary_out():
    t = np.arange(100)
    found = [
        learned_boundary(np.exp(-((t / reach) ** 2))[None].repeat(3, 0)) for reach in (5, 20, 60)
    ]
    assert found == sorted(found) and found[0] < found[-1] < 100
