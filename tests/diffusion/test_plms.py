"""PLMS against its equations in float64, and against what is known for Gaussian data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian_data import MEAN, STD, exact_x0

from diffsinger_jax.diffusion.plms import plms_walk
from diffsinger_jax.diffusion.samplers import interval_sequence, start_walk
from diffsinger_jax.diffusion.schedule import linear_schedule


def in_float64(schedule, x, walk):
    """Liu et al. 2022, eq. 11 to 13, with one list of estimates, for the data above."""
    abar = schedule.alpha_bar

    def eps_at(x, t):
        signal, noise = np.sqrt(abar[t]), np.sqrt(1 - abar[t])
        gain = signal * STD**2 / (signal**2 * STD**2 + noise**2)
        return (x - signal * (MEAN + gain * (x - signal * MEAN))) / noise

    def transfer(x, eps, t, t_next):
        a, b = abar[t], abar[t_next] if t_next >= 0 else 1.0
        between = np.sqrt((1 - b) * a) + np.sqrt((1 - a) * b)
        return x + (b - a) * (
            x / (np.sqrt(a) * (np.sqrt(a) + np.sqrt(b))) - eps / (np.sqrt(a) * between)
        )

    old = []
    for t, t_next in zip(walk, [*walk[1:], -1], strict=True):
        eps = eps_at(x, t)
        if not old:
            mixed = (eps + eps_at(transfer(x, eps, t, t_next), max(t_next, 0))) / 2
        elif len(old) == 1:
            mixed = (3 * eps - old[-1]) / 2
        elif len(old) == 2:
            mixed = (23 * eps - 16 * old[-1] + 5 * old[-2]) / 12
        else:
            mixed = (55 * eps - 59 * old[-1] + 37 * old[-2] - 9 * old[-3]) / 24
        x = transfer(x, mixed, t, t_next)
        old.append(eps)
    return x


@pytest.mark.parametrize("k_step,interval", [(100, 10), (51, 10), (60, 25), (7, 7), (3, 1)])
def test_it_is_its_equations_for_any_batch(k_step, interval):
    schedule = linear_schedule(100)
    x = np.random.default_rng(0).normal(size=(3, 4, 2))
    walk = interval_sequence(k_step, interval)
    ours = plms_walk(schedule, exact_x0(schedule), jnp.asarray(x, jnp.float32), walk)
    np.testing.assert_allclose(ours, in_float64(schedule, x, walk), atol=2e-5)


def test_ten_steps_are_almost_as_good_as_a_hundred():
    schedule = linear_schedule(100)
    x = jax.random.normal(jax.random.key(0), (2, 40, 3))
    few, many = (
        plms_walk(schedule, exact_x0(schedule), x, interval_sequence(100, interval))
        for interval in (10, 1)
    )
    np.testing.assert_allclose(few, many, atol=0.02)


def test_intervals_end_at_zero():
    np.testing.assert_array_equal(interval_sequence(51, 10), [50, 40, 30, 20, 10, 0])
    np.testing.assert_array_equal(interval_sequence(60, 10), [50, 40, 30, 20, 10, 0])
    with pytest.raises(ValueError, match="intervals 1 to 5, got 6"):
        interval_sequence(5, 6)


def test_a_gaussian_start_is_noise_alone():
    schedule, blurry = linear_schedule(10), jnp.full((1, 2, 3), 5.0)
    noise = jnp.ones((1, 2, 3))
    np.testing.assert_array_equal(
        start_walk(schedule, blurry, 10, lambda t: noise, "gaussian"), noise
    )
    assert start_walk(schedule, blurry, 10, lambda t: noise, "blurry").mean() > 3
    with pytest.raises(ValueError, match="'cold'"):
        start_walk(schedule, blurry, 10, lambda t: noise, "cold")
