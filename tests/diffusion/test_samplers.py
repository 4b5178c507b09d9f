"""Samplers against what is known exactly: for Gaussian data the best estimate has a formula.

The same suite over all of them; what is particular to one family is in a file of its own.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian_data import MEAN, STD, exact_flow, exact_x0

from diffsinger_jax.diffusion.noise import key_noise, row_noise
from diffsinger_jax.diffusion.processes import EpsProcess
from diffsinger_jax.diffusion.samplers import SAMPLERS
from diffsinger_jax.diffusion.sampling import Sampling, shallow_sample, shallow_start
from diffsinger_jax.diffusion.schedule import NoiseSchedule, linear_schedule
from diffsinger_jax.diffusion.timesteps import even_times, interval_times, log_snr_times

METHODS = sorted(SAMPLERS)
DETERMINISTIC = [name for name in METHODS if not SAMPLERS[name].draws]
ORDERS = {"ddim": 1, "dpm_solver_pp_2m": 2, "plms": 2, "unipc": 2}
"""At which the error falls with the number of steps, at least."""


def fine_path(steps):
    """That of `linear_schedule(100)` in smaller steps: almost the same alpha_bar at t / S."""
    return NoiseSchedule(np.linspace(1e-4, 0.06, steps) * 100 / steps).path


def sampled(path, z, keys, sampling, predict=None):
    """`shallow_sample` with the exact estimate, as one program."""
    predict = predict or exact_x0(path)
    run = jax.jit(lambda z, keys: shallow_sample(EpsProcess(path), predict, z, keys, sampling))
    return np.asarray(run(z, keys))


def stepped(method, path, x, times, noise_at):
    """A sampler's run with the exact estimate, as one program."""
    run = jax.jit(lambda x: SAMPLERS[method].run(path, exact_x0(path), x, noise_at, times))
    return np.asarray(run(x))


def no_noise(t):
    """Deterministic samplers never ask for noise, not even while they are traced."""
    raise AssertionError("noise was drawn")


@pytest.mark.parametrize("method", METHODS)
def test_gaussian_data_comes_back_with_its_mean_and_spread(method):
    path = linear_schedule(100).path
    keys = jax.random.split(jax.random.key(0), 32)
    prior = jnp.full((32, 40, 8), MEAN)  # an over-smoothed start: right mean, no spread
    # The posterior variance is the smallest admissible: 100 steps of DDPM lose 8 % of the spread.
    # First order in so many steps loses 4 %; the others need no more than 15 steps.
    steps, tolerance = {"ddpm": (100, 0.1), "ddim": (100, 0.06)}.get(method, (15, 0.03))
    z = sampled(path, prior, keys, Sampling(100, steps, method))
    np.testing.assert_allclose(z.mean(), MEAN, atol=0.01)
    np.testing.assert_allclose(z.std(), STD, rtol=tolerance)


@pytest.mark.parametrize("method", METHODS)
def test_a_start_that_is_exact_stays_exact(method):
    """From the true distribution at any k sampling ends in that of the data."""
    path = linear_schedule(100).path
    keys = jax.random.split(jax.random.key(1), 32)
    data = MEAN + STD * jax.random.normal(jax.random.key(2), (32, 40, 8))
    data = (data - data.mean()) / data.std() * STD + MEAN
    for k_step, tolerance in ((2, 0.02), (30, 0.1 if method == "ddpm" else 0.05)):
        z = sampled(path, data, keys, Sampling(k_step, k_step, method))
        np.testing.assert_allclose(z.mean(), MEAN, atol=0.01)
        np.testing.assert_allclose(z.std(), STD, rtol=tolerance)


@pytest.mark.parametrize("method", DETERMINISTIC)
def test_the_flow_is_followed_at_the_order_of_the_method(method):
    path = fine_path(3200)
    x = jax.random.normal(jax.random.key(3), (1, 50, 1))
    errors = []
    for steps in (16, 32, 64):
        times = log_snr_times(path, 3200, steps)
        z = stepped(method, path, x, times, no_noise)
        errors.append(float(jnp.abs(z - exact_flow(path, x, 3199)).max()))
    slope = np.log2(errors[0] / errors[-1]) / 2
    assert slope > ORDERS[method] - 0.2, (errors, slope)
    assert errors[-1] < {1: 0.05, 2: 5e-3}[ORDERS[method]], errors


@pytest.mark.parametrize("method", DETERMINISTIC)
def test_a_shallow_start_is_the_rest_of_the_whole_flow(method):
    """x at any time of the flow from S ends where the flow from S ends, whatever came before."""
    path = linear_schedule(100).path
    x = jax.random.normal(jax.random.key(4), (2, 30, 2))
    end = exact_flow(path, x, 99)
    for k_step in (100, 25):
        times = even_times(path, k_step, k_step)
        x_k = exact_flow(path, x, 99, to=k_step - 1)
        z = stepped(method, path, x_k, times, no_noise)
        np.testing.assert_allclose(z, end, atol=0.03 if method == "ddim" else 0.01)


@pytest.mark.parametrize("method", METHODS)
def test_rows_do_not_see_each_other_nor_their_padding(method):
    path = linear_schedule(20).path
    keys = jax.random.split(jax.random.key(6), 4)
    z = jax.random.normal(jax.random.key(7), (4, 30, 5)) * 0.1
    sampling = Sampling(10, 6, method)
    together = sampled(path, z, keys, sampling)
    assert together.dtype == np.float32
    padded = jnp.pad(z[2:3], ((0, 0), (0, 13), (0, 0)))
    alone = sampled(path, padded, keys[2:3], sampling)
    np.testing.assert_allclose(alone[:, :30], together[2:3], atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_the_model_stands_once_in_the_program_and_is_called_once_a_step(method):
    path, traced, called = linear_schedule(20).path, [], []
    predict = exact_x0(path)

    def counted(x, t):
        traced.append(t)
        jax.debug.callback(called.append, t[0])
        return predict(x, t)

    z, keys = jnp.zeros((1, 3, 2)), jax.random.split(jax.random.key(8), 1)
    sampling = Sampling(9, 5, method)
    sampled(path, z, keys, sampling, counted)
    jax.effects_barrier()
    assert len(traced) == 1
    assert len(called) == 5 + SAMPLERS[method].extra_calls
    assert set(map(int, called)) == set(sampling.model_times(path).tolist())


@pytest.mark.parametrize("method", [name for name in METHODS if name != "plms"])
def test_one_step_is_the_estimate_itself(method):
    path = linear_schedule(50).path
    x = jax.random.normal(jax.random.key(9), (2, 4, 3)) * 0.5
    z = stepped(method, path, x, np.array([30, -1]), lambda t: jnp.zeros((2, 4, 3)))
    np.testing.assert_allclose(z, exact_x0(path)(x, jnp.full(2, 30)), atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("k_step,steps", [(1, 1), (7, 7), (100, 13), (51, 40)])
def test_times_fall_from_the_top_to_the_data(method, k_step, steps):
    times = SAMPLERS[method].times(linear_schedule(100).path, k_step, steps)
    assert times.dtype == np.int32 and len(times) == steps + 1
    assert times[0] == k_step - 1 and times[-1] == -1
    assert np.all(np.diff(times) < 0)


def test_intervals_end_at_zero():
    path = linear_schedule(100).path
    np.testing.assert_array_equal(interval_times(path, 51, 10), [50, 40, 30, 20, 10, 0, -1])
    np.testing.assert_array_equal(interval_times(path, 60, 10), [50, 40, 30, 20, 10, 0, -1])
    with pytest.raises(ValueError, match="intervals are 1 to 5, got 6"):
        interval_times(path, 5, 6)


def test_a_gaussian_start_is_noise_alone():
    process, prior = EpsProcess(linear_schedule(10).path), jnp.full((1, 2, 3), 5.0)
    noise, t = jnp.ones((1, 2, 3)), jnp.asarray(9)
    np.testing.assert_array_equal(shallow_start(process, prior, t, noise, "gaussian"), noise)
    assert shallow_start(process, prior, t, noise, "auxiliary").mean() > 3
    with pytest.raises(ValueError, match="'cold'"):
        shallow_start(process, prior, t, noise, "cold")


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
        keys = jax.random.split(jax.random.key(0), 1)
        sampled(linear_schedule(10).path, jnp.zeros((1, 2, 3)), keys, Sampling(11, 11))
