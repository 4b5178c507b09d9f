"""Samplers against what is known exactly: for Gaussian data the best estimate has a formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian_data import MEAN, STD, exact_x0

from diffsinger_jax.diffusion.processes import EpsProcess, ResidualProcess, q_sample
from diffsinger_jax.diffusion.samplers import (
    reverse_step,
    row_noise,
    shallow_sample,
    step_sequence,
    step_weights,
)
from diffsinger_jax.diffusion.schedule import cosine_schedule, linear_schedule


@pytest.mark.parametrize("k_step", [25, 51, 100])
def test_gaussian_data_comes_back_with_its_mean_and_spread(k_step):
    schedule = linear_schedule(100)
    blurry = jnp.full((64, 100, 8), MEAN)  # an over-smoothed start: right mean, no spread
    keys = jax.random.split(jax.random.key(0), 64)

    z = shallow_sample(schedule, exact_x0(schedule), blurry, keys=keys, k_step=k_step)

    np.testing.assert_allclose(z.mean(), MEAN, atol=0.01)
    if k_step >= 51:  # deep enough for the spread to be made anew
        # The posterior variance is the smallest admissible: 100 steps lose about 8 % of the spread.
        np.testing.assert_allclose(z.std(), STD, rtol=0.1)


def test_few_steps_keep_the_mean():
    schedule = linear_schedule(100)
    keys = jax.random.split(jax.random.key(1), 16)
    z = shallow_sample(
        schedule,
        exact_x0(schedule),
        jnp.full((16, 50, 4), MEAN),
        keys=keys,
        k_step=60,
        steps=10,
        eta=0.0,
    )
    np.testing.assert_allclose(z.mean(), MEAN, atol=0.01)


def test_ancestral_step_is_ddpm_in_float64_numpy():
    """Ho et al. 2020, algorithm 2 and eq. 6-7, written out."""
    schedule = linear_schedule(100)
    betas = np.linspace(1e-4, 0.06, 100)
    abar = np.cumprod(1.0 - betas)
    rng = np.random.default_rng(0)
    x_t, x0, noise = rng.normal(size=(3, 2, 5, 3))
    x0 = np.clip(x0, -1, 1)
    for t in (1, 7, 99):
        mean = (
            np.sqrt(abar[t - 1]) * betas[t] / (1 - abar[t]) * x0
            + np.sqrt(1 - betas[t]) * (1 - abar[t - 1]) / (1 - abar[t]) * x_t
        )
        sigma = np.sqrt(betas[t] * (1 - abar[t - 1]) / (1 - abar[t]))
        ours = reverse_step(
            lambda x, t, x0=x0: jnp.asarray(x0, jnp.float32),
            jnp.asarray(x_t, jnp.float32),
            jnp.asarray(t),
            step_weights(schedule, np.asarray(t), np.asarray(t - 1)),
            jnp.asarray(noise, jnp.float32),
        )
        np.testing.assert_allclose(ours, mean + sigma * noise, atol=2e-6)


def test_shallow_walk_is_the_last_k_steps_of_the_full_one():
    schedule = linear_schedule(20)
    predict = exact_x0(schedule)
    keys = jax.random.split(jax.random.key(2), 3)
    start = jax.random.normal(jax.random.key(3), (3, 11, 4))

    def noise_at(t):
        return row_noise(jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, t), start.shape)

    def walk(x, top):
        for t in range(top, -1, -1):
            weights = step_weights(schedule, np.asarray(t), np.asarray(t - 1))
            x = reverse_step(predict, x, jnp.asarray(t), weights, noise_at(t))
            if t == 8:
                at_8 = x  # x_7, what a walk of 8 steps starts from
        return x, at_8

    x_start = q_sample(schedule, start, jnp.full(3, 19), noise_at(20))
    full, x_7 = walk(x_start, 19)
    np.testing.assert_allclose(
        shallow_sample(schedule, predict, start, keys=keys, k_step=20), full, atol=1e-5
    )
    # The same walk from x_7: choose the blurry mel whose diffusion to step 7 is x_7.
    signal, noise = schedule.signal_and_noise(jnp.full(3, 7))
    blurry = (x_7 - noise * noise_at(8)) / signal
    np.testing.assert_allclose(
        shallow_sample(schedule, predict, blurry, keys=keys, k_step=8), full, atol=1e-5
    )


def test_rows_do_not_see_each_other_nor_their_padding():
    schedule = linear_schedule(20)
    predict = exact_x0(schedule)
    keys = jax.random.split(jax.random.key(4), 4)
    z = jax.random.normal(jax.random.key(5), (4, 30, 5)) * 0.1

    @jax.jit
    def sample(z, keys):
        return shallow_sample(schedule, predict, z, keys=keys, k_step=10)

    together = sample(z, keys)
    for row in range(4):
        part = slice(row, row + 1)
        alone = sample(z[part], keys[part])
        np.testing.assert_array_equal(alone, together[part])
    padded = jnp.pad(z, ((0, 0), (0, 13), (0, 0)))
    longer = sample(padded, keys)
    np.testing.assert_array_equal(longer[:, :30], together)


def test_temperature_zero_and_eta_zero_need_no_key():
    schedule = linear_schedule(20)
    z = jnp.full((2, 5, 3), 0.1)
    one, two = (
        shallow_sample(
            schedule,
            exact_x0(schedule),
            z,
            keys=jax.random.split(jax.random.key(seed), 2),
            k_step=10,
            temperature=0.0,
        )
        for seed in (0, 1)
    )
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("k_step,steps", [(1, 1), (7, 7), (100, 13), (51, 10)])
def test_step_sequence_falls_from_the_top(k_step, steps):
    walk = step_sequence(k_step, steps)
    assert len(walk) == steps and walk[0] == k_step - 1 and walk[-1] >= 0
    assert np.all(np.diff(walk) < 0)


def test_processes_invert_their_target():
    schedule = cosine_schedule(50)
    keys = jax.random.split(jax.random.key(6), 3)
    x0, eps, prior = (jax.random.normal(k, (4, 9, 6)) for k in keys)
    t = jnp.asarray([0, 10, 30, 45])
    x_t = q_sample(schedule, x0, t, eps)
    for process in (EpsProcess(schedule), ResidualProcess(schedule, jnp.linspace(0.1, 0.5, 6))):
        target = process.target(x0, x_t, t, eps, prior)
        np.testing.assert_allclose(process.x0(target, x_t, t, prior), x0, atol=2e-4)


def test_residual_process_is_exact_for_gaussian_residuals_before_training():
    """Output 0 must be Bayes' answer, and input and target must have unit variance."""
    schedule = linear_schedule(100)
    scale, rows = 0.2, 4096
    process = ResidualProcess(schedule, jnp.full(2, scale))
    x_key, eps_key = jax.random.split(jax.random.key(7))
    prior = jnp.full((rows, 3, 2), 0.4)
    x0 = prior + scale * jax.random.normal(x_key, prior.shape)
    eps = jax.random.normal(eps_key, prior.shape)
    for step in (0, 20, 99):
        t = jnp.full(rows, step)
        x_t = q_sample(schedule, x0, t, eps)
        assert abs(float(process.trunk_input(x_t, t, prior).std()) - 1.0) < 0.03
        assert abs(float(process.target(x0, x_t, t, eps, prior).std()) - 1.0) < 0.03
        error = process.x0(jnp.zeros_like(x_t), x_t, t, prior) - x0
        assert abs(float((error * (x_t - prior)).mean())) < 0.01  # what is left is unpredictable


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
