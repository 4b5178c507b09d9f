"""Rectified flow: straight lines from noise to data, and the methods that follow them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian_data import MEAN, STD, exact_flow, exact_x0

from diffsinger_jax.diffusion.noise import key_noise
from diffsinger_jax.diffusion.processes import (
    STRAIGHT,
    VelocityProcess,
    logit_normal_weights,
)
from diffsinger_jax.diffusion.samplers import FLOW_SAMPLERS, SAMPLERS, make_sampler
from diffsinger_jax.diffusion.samplers.runge_kutta import TABLEAUS, stage_times
from diffsinger_jax.diffusion.sampling import Sampling, shallow_sample
from diffsinger_jax.diffusion.timesteps import even_times

PROCESS = VelocityProcess()
ORDERS = {"euler": 1, "rk2": 2, "rk4": 4, "rk5": 5}


def exact_velocity(x_t, t):
    """E[x_0 - eps | x_t] for x_0 ~ N(MEAN, STD^2), by hand from Bayes' rule."""
    alpha, sigma = STRAIGHT.coefficients(t)
    gain = (alpha * STD**2 - sigma) / (alpha**2 * STD**2 + sigma**2)
    return MEAN + gain * (x_t - alpha * MEAN)


def stepped(method, velocity, x, depth, steps):
    times = even_times(STRAIGHT, depth, steps)
    run = FLOW_SAMPLERS[method].run
    return np.asarray(jax.jit(lambda x: run(STRAIGHT, velocity, x, None, times))(x))


def normal(seed, shape=(3, 7, 2)):
    return jax.random.normal(jax.random.key(seed), shape)


def test_target_and_estimate_undo_each_other():
    x0, eps, t = normal(0), normal(1), jnp.asarray([0.0, 0.3, 1.0])
    x_t = PROCESS.marginal(x0, t, eps)
    target = PROCESS.target(x0, x_t, t, eps, x0)
    np.testing.assert_allclose(PROCESS.x0(target, x_t, t, x0), x0, atol=1e-6)
    np.testing.assert_allclose(x_t[0], eps[0])
    np.testing.assert_allclose(x_t[2], x0[2])
    # It is the slope of the marginal.
    later = PROCESS.marginal(x0, t + 1e-2, eps)
    np.testing.assert_allclose((later - x_t) / 1e-2, target, atol=1e-4)
    np.testing.assert_array_equal(PROCESS.trunk_time(t), 1000.0 * t)


def test_training_times_start_where_shallow_sampling_does():
    place = jnp.linspace(0.0, 0.999, 50)
    t = PROCESS.training_times(place, 0.6)
    np.testing.assert_allclose(t, 0.4 + 0.6 * place, rtol=1e-6)


@pytest.mark.parametrize("method", sorted(ORDERS))
@pytest.mark.parametrize("steps", [1, 3])
def test_paths_to_a_point_are_straight(method, steps):
    point, x = jnp.full((3, 7, 2), 0.7), normal(2)

    def to_the_point(x_t, t):  # x_0 - eps with eps = (x_t - t x_0) / (1 - t), never asked at 1
        return (point - x_t) / jnp.maximum(1.0 - t, 1e-6)[:, None, None]

    if method in ("euler", "rk2"):
        np.testing.assert_allclose(stepped(method, to_the_point, x, 1.0, steps), point, atol=1e-5)
    # Along a straight line the velocity does not change: all methods are exact.
    slope = point - x
    np.testing.assert_allclose(
        stepped(method, lambda x_t, t: slope, x, 1.0, steps), point, atol=1e-5
    )


@pytest.mark.parametrize("method,order", sorted(ORDERS.items()))
def test_the_error_falls_with_the_order_of_the_method(method, order):
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 3)))
        times = [np.linspace(0.0, 1.0, n + 1) for n in (10, 20)]
        exact = exact_flow(STRAIGHT, np.asarray(x), 0.0, 1.0)
        errors = []
        for steps in times:
            out = FLOW_SAMPLERS[method].run(STRAIGHT, exact_velocity, x, None, steps)
            errors.append(np.abs(np.asarray(out) - exact).max())
    if method == "rk5":  # near the rounding of the weights and times in float32
        assert errors[1] < errors[0] / 8
    else:
        assert errors[0] / errors[1] > 0.7 * 2**order


@pytest.mark.parametrize("method", sorted(set(SAMPLERS) - {"plms"}))
def test_samplers_by_estimates_of_the_data_follow_flows_too(method):
    sampling = Sampling(1.0, 40, method, start="gaussian")
    keys = jax.random.split(jax.random.key(0), 64)
    predict = exact_x0(STRAIGHT)
    z = jax.jit(
        lambda keys: shallow_sample(PROCESS, predict, jnp.zeros((64, 20, 8)), keys, sampling)
    )(keys)
    np.testing.assert_allclose(z.mean(), MEAN, atol=0.02)
    np.testing.assert_allclose(z.std(), STD, rtol=0.2)  # "ddpm" loses some


def test_shallow_sampling_starts_on_the_line_to_the_auxiliary_mel():
    prior, keys = normal(3), jax.random.split(jax.random.key(1), 3)
    sampling = Sampling(0.4, 1, "euler")
    seen = []

    def velocity(x_t, t):
        seen.append((x_t, t))
        return jnp.zeros_like(x_t)

    # One call of the scan, traced by hand.
    with jax.disable_jit():
        z = shallow_sample(PROCESS, velocity, prior, keys, sampling)
    (x_t, t) = seen[0]
    np.testing.assert_allclose(t, 0.6)
    noise = (x_t - 0.6 * prior) / 0.4
    assert abs(float(noise.std()) - 1.0) < 0.3
    np.testing.assert_allclose(z, x_t)


def test_nearly_no_depth_is_the_auxiliary_mel():
    prior, keys = normal(4), jax.random.split(jax.random.key(1), 3)
    z = shallow_sample(PROCESS, exact_velocity, prior, keys, Sampling(1e-4, 1, "rk4"))
    np.testing.assert_allclose(z, prior, atol=1e-3)


@pytest.mark.parametrize("name", sorted(TABLEAUS))
def test_tableaus_are_consistent(name):
    tableau = TABLEAUS[name]
    rows = tableau.weights()
    np.testing.assert_allclose(rows[-1].sum(), 1.0)
    np.testing.assert_allclose(rows[:-1].sum(axis=1), tableau.c[1:])
    times = stage_times(tableau, np.array([0.5, 0.75, 1.0], np.float32))
    assert times.shape == (2, tableau.stages) and times.dtype == np.float32
    np.testing.assert_allclose(times[1], 0.75 + 0.25 * np.asarray(tableau.c))
    found = Sampling(0.5, 2, name).model_times(STRAIGHT)
    assert set(found) == set(times.reshape(-1))
    assert make_sampler(name).calls_per_step == tableau.stages


def test_the_weights_are_a_density():
    t = (jnp.arange(20_000) + 0.5) / 20_000
    weights = logit_normal_weights(t)
    np.testing.assert_allclose(weights.mean(), 1.0, rtol=1e-3)
    np.testing.assert_allclose(weights, weights[::-1], rtol=1e-3)
    assert np.isfinite(logit_normal_weights(jnp.asarray([0.0, 1.0]))).all()


def test_noise_is_no_matter_to_deterministic_methods():
    keys = jax.random.split(jax.random.key(0), 2)
    noise_at = key_noise(keys, (2, 3, 4))
    times = even_times(STRAIGHT, 1.0, 2)
    x = normal(5, (2, 3, 4))
    a = FLOW_SAMPLERS["euler"].run(STRAIGHT, exact_velocity, x, noise_at, times)
    b = FLOW_SAMPLERS["euler"].run(STRAIGHT, exact_velocity, x, None, times)
    np.testing.assert_array_equal(a, b)
