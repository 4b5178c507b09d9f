"""PLMS against its equations in float64, and against what is known for Gaussian data."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian_data import MEAN, STD, exact_x0

from diffsinger_jax.diffusion.samplers.plms import adams_bashforth, plms_sampler
from diffsinger_jax.diffusion.schedule import linear_schedule
from diffsinger_jax.diffusion.timesteps import interval_times


def in_float64(schedule, x, times):
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
    for t, t_next in itertools.pairwise(times):
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
    path, times = schedule.path, interval_times(schedule.path, k_step, interval)
    ours = plms_sampler(path, exact_x0(path), jnp.asarray(x, jnp.float32), None, times)
    np.testing.assert_allclose(ours, in_float64(schedule, x, times), atol=2e-5)


def test_ten_steps_are_almost_as_good_as_a_hundred():
    path = linear_schedule(100).path
    x = jax.random.normal(jax.random.key(0), (2, 40, 3))
    few, many = (
        plms_sampler(path, exact_x0(path), x, None, interval_times(path, 100, interval))
        for interval in (10, 1)
    )
    np.testing.assert_allclose(few, many, atol=0.02)


def test_even_steps_have_the_published_weights():
    weights = adams_bashforth(interval_times(linear_schedule(100).path, 61, 10)[:-1])
    expected = np.zeros((7, 4))
    expected[0, :1] = 1
    expected[1, :2] = 3 / 2, -1 / 2
    expected[2, :3] = 23 / 12, -16 / 12, 5 / 12
    expected[3:] = 55 / 24, -59 / 24, 37 / 24, -9 / 24
    np.testing.assert_array_equal(weights, expected.astype(np.float32))


def test_uneven_steps_still_integrate_polynomials():
    times = np.array([50, 47, 40, 38, 30, 10])
    weights = adams_bashforth(times)
    for i in range(3, len(times) - 1):
        for power in range(4):
            nodes = times[i - 3 : i + 1][::-1].astype(float)
            mean = np.diff(times[i : i + 2] ** (power + 1.0)) / (power + 1) / np.diff(times)[i]
            np.testing.assert_allclose(weights[i] @ nodes**power, mean, rtol=1e-4)
