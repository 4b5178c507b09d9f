"""Samplers against what is known exactly: for Gaussian data the best estimate has a formula.

The same suite over all of them; what is particular to one family is in a file of its own.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian_data import MEAN, STD, exact_flow, exact_x0

from diffsinger_jax.diffusion.samplers import SAMPLERS, shallow_sample
from diffsinger_jax.diffusion.schedule import NoiseSchedule, linear_schedule
from diffsinger_jax.diffusion.walk import (
    interval_sequence,
    key_noise,
    log_snr_sequence,
    row_noise,
    start_walk,
    step_sequence,
)

METHODS = sorted(SAMPLERS)
DETERMINISTIC = [name for name in METHODS if not SAMPLERS[name].draws]
ORDERS = {"ddim": 1, "dpm_solver_pp_2m": 2, "plms": 2, "unipc": 2}
"""At which the error falls with the number of steps, at least."""


def fine_schedule(steps):
    """`linear_schedule(100)` in smaller steps: almost the same alpha_bar at t / S."""
    return NoiseSchedule(np.linspace(1e-4, 0.06, steps) * 100 / steps)


def sampled(schedule, z, keys, **how):
    """`shallow_sample` with the exact estimate, as one program."""
    run = jax.jit(lambda z, keys: shallow_sample(schedule, exact_x0(schedule), z, keys=keys, **how))
    return np.asarray(run(z, keys))


def walked(method, schedule, x, visits, noise_at):
    """A walk with the exact estimate, as one program."""
    run = jax.jit(
        lambda x: SAMPLERS[method].walk(schedule, exact_x0(schedule), x, noise_at, visits)
    )
    return np.asarray(run(x))


def no_noise(t):
    """Deterministic samplers never ask for noise, not even while they are traced."""
    raise AssertionError("noise was drawn")


@pytest.mark.parametrize("method", METHODS)
def test_gaussian_data_comes_back_with_its_mean_and_spread(method):
    schedule = linear_schedule(100)
    keys = jax.random.split(jax.random.key(0), 32)
    blurry = jnp.full((32, 40, 8), MEAN)  # an over-smoothed start: right mean, no spread
    # The posterior variance is the smallest admissible: 100 steps of DDPM lose 8 % of the spread.
    # First order in so many steps loses 4 %; the others need no more than 15 steps.
    steps, tolerance = {"ddpm": (100, 0.1), "ddim": (100, 0.06)}.get(method, (15, 0.03))
    z = sampled(schedule, blurry, keys, k_step=100, steps=steps, method=method)
    np.testing.assert_allclose(z.mean(), MEAN, atol=0.01)
    np.testing.assert_allclose(z.std(), STD, rtol=tolerance)


@pytest.mark.parametrize("method", METHODS)
def test_a_start_that_is_exact_stays_exact(method):
    """From the true distribution at any k the walk ends in that of the data."""
    schedule = linear_schedule(100)
    keys = jax.random.split(jax.random.key(1), 32)
    data = MEAN + STD * jax.random.normal(jax.random.key(2), (32, 40, 8))
    data = (data - data.mean()) / data.std() * STD + MEAN
    for k_step, tolerance in ((2, 0.02), (30, 0.1 if method == "ddpm" else 0.05)):
        z = sampled(schedule, data, keys, k_step=k_step, method=method)
        np.testing.assert_allclose(z.mean(), MEAN, atol=0.01)
        np.testing.assert_allclose(z.std(), STD, rtol=tolerance)


@pytest.mark.parametrize("method", DETERMINISTIC)
def test_the_flow_is_followed_at_the_order_of_the_method(method):
    schedule = fine_schedule(3200)
    x = jax.random.normal(jax.random.key(3), (1, 50, 1))
    errors = []
    for steps in (16, 32, 64):
        visits = log_snr_sequence(schedule, 3200, steps)
        z = walked(method, schedule, x, visits, no_noise)
        errors.append(float(jnp.abs(z - exact_flow(schedule, x, 3199)).max()))
    slope = np.log2(errors[0] / errors[-1]) / 2
    assert slope > ORDERS[method] - 0.2, (errors, slope)
    assert errors[-1] < {1: 0.05, 2: 5e-3}[ORDERS[method]], errors


@pytest.mark.parametrize("method", DETERMINISTIC)
def test_a_shallow_start_is_the_rest_of_the_whole_flow(method):
    """x_{k-1} of the flow from S ends where the flow from S ends, whatever came before."""
    schedule = linear_schedule(100)
    x = jax.random.normal(jax.random.key(4), (2, 30, 2))
    end = exact_flow(schedule, x, 99)
    for k_step in (100, 25):
        visits = step_sequence(k_step, k_step)
        x_k = exact_flow(schedule, x, 99, to=k_step - 1)
        z = walked(method, schedule, x_k, visits, no_noise)
        np.testing.assert_allclose(z, end, atol=0.03 if method == "ddim" else 0.01)


@pytest.mark.parametrize("method", METHODS)
def test_rows_do_not_see_each_other_nor_their_padding(method):
    schedule = linear_schedule(20)
    keys = jax.random.split(jax.random.key(6), 4)
    z = jax.random.normal(jax.random.key(7), (4, 30, 5)) * 0.1
    how = dict(k_step=10, steps=6, method=method)
    together = sampled(schedule, z, keys, **how)
    assert together.dtype == np.float32
    alone = sampled(schedule, jnp.pad(z[2:3], ((0, 0), (0, 13), (0, 0))), keys[2:3], **how)
    np.testing.assert_allclose(alone[:, :30], together[2:3], atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_the_model_stands_once_in_the_program_and_is_called_once_a_step(method):
    schedule, traced, called = linear_schedule(20), [], []
    predict = exact_x0(schedule)

    def counted(x, t):
        traced.append(t)
        jax.debug.callback(called.append, t[0])
        return predict(x, t)

    z, keys = jnp.zeros((1, 3, 2)), jax.random.split(jax.random.key(8), 1)
    how = dict(k_step=9, steps=5, method=method)
    jax.jit(lambda z, keys: shallow_sample(schedule, counted, z, keys=keys, **how))(z, keys)
    jax.effects_barrier()
    assert len(traced) == 1
    assert len(called) == 5 + SAMPLERS[method].extra_calls


@pytest.mark.parametrize("method", [name for name in METHODS if name != "plms"])
def test_one_step_is_the_estimate_itself(method):
    schedule = linear_schedule(50)
    x = jax.random.normal(jax.random.key(9), (2, 4, 3)) * 0.5
    z = walked(method, schedule, x, np.array([30]), lambda t: jnp.zeros((2, 4, 3)))
    np.testing.assert_allclose(z, exact_x0(schedule)(x, jnp.full(2, 30)), atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("k_step,steps", [(1, 1), (7, 7), (100, 13), (51, 40)])
def test_visits_fall_from_the_top(method, k_step, steps):
    visits = SAMPLERS[method].visits(linear_schedule(100), k_step, steps)
    assert len(visits) == steps and visits[0] == k_step - 1 and visits[-1] >= 0
    assert np.all(np.diff(visits) < 0)


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


def test_noise_belongs_to_a_row_a_step_and_a_temperature():
    keys = jax.random.split(jax.random.key(10), 3)
    one, half = (key_noise(keys, (3, 5, 2), temperature)(7) for temperature in (1.0, 0.5))
    np.testing.assert_allclose(half, 0.5 * one, rtol=1e-6)
    folded = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, 7)
    np.testing.assert_array_equal(one, row_noise(folded, (3, 5, 2)))
    assert jnp.abs(key_noise(keys, (3, 5, 2))(8) - one).min() > 0


def test_bad_numbers_are_named():
    with pytest.raises(ValueError, match="beta_max=1.5"):
        linear_schedule(100, beta_max=1.5)
    with pytest.raises(ValueError, match="k_step is 1 to 10"):
        z = jnp.zeros((1, 2, 3))
        shallow_sample(
            linear_schedule(10),
            lambda x, t: x,
            z,
            keys=jax.random.split(jax.random.key(0), 1),
            k_step=11,
        )
