"""DDPM and DDIM against their papers, and shallow sampling against whole one, noise and all."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from gaussian_data import MEAN, exact_x0

from diffsinger_jax.diffusion.noise import key_noise
from diffsinger_jax.diffusion.processes import EpsProcess
from diffsinger_jax.diffusion.samplers.ancestral import reverse_step, step_weights
from diffsinger_jax.diffusion.sampling import Sampling, shallow_sample
from diffsinger_jax.diffusion.schedule import linear_schedule


def test_ancestral_step_is_ddpm_in_float64_numpy():
    """Ho et al. 2020, algorithm 2 and eq. 6-7, written out."""
    path = linear_schedule(100).path
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
            step_weights(path, np.asarray(t), np.asarray(t - 1)),
            jnp.asarray(noise, jnp.float32),
        )
        np.testing.assert_allclose(ours, mean + sigma * noise, atol=2e-6)


def test_shallow_sampling_is_the_last_k_steps_of_the_full_one():
    path = linear_schedule(20).path
    process, predict = EpsProcess(path), exact_x0(path)
    keys = jax.random.split(jax.random.key(2), 3)
    start = jax.random.normal(jax.random.key(3), (3, 11, 4))
    noise_at = key_noise(keys, start.shape)

    @functools.partial(jax.jit, static_argnums=1)
    def step_down(x, top):
        for t in range(top, -1, -1):
            weights = step_weights(path, np.asarray(t), np.asarray(t - 1))
            x = reverse_step(predict, x, jnp.asarray(t), weights, noise_at(t))
            if t == 8:
                at_8 = x  # x_7, what 8 steps start from
        return x, at_8

    x_start = process.marginal(start, jnp.full(3, 19), noise_at(20))
    full, x_7 = step_down(x_start, 19)

    def sample(z, k_step):
        sampling = Sampling(k_step, k_step)
        return jax.jit(lambda z: shallow_sample(process, predict, z, keys, sampling))(z)

    np.testing.assert_allclose(sample(start, 20), full, atol=1e-5)
    # The same from x_7: choose the auxiliary mel whose diffusion to step 7 is x_7.
    alpha, sigma = path.coefficients(jnp.full(3, 7))
    auxiliary = (x_7 - sigma * noise_at(8)) / alpha
    np.testing.assert_allclose(sample(auxiliary, 8), full, atol=1e-5)


def test_eta_goes_from_ddim_to_ddpm():
    path = linear_schedule(100).path
    keys, z = jax.random.split(jax.random.key(4), 8), jnp.full((8, 50, 4), MEAN)

    def sample(**how):
        def run(z, keys):
            sampling = Sampling(60, 30, **how)
            return shallow_sample(EpsProcess(path), exact_x0(path), z, keys, sampling)

        return np.asarray(jax.jit(run)(z, keys))

    np.testing.assert_array_equal(sample(method="ddim", eta=1.0), sample(method="ddpm"))
    np.testing.assert_array_equal(sample(method="ddim", eta=0.0), sample(method="ddim"))
    spreads = [sample(method="ddim", eta=eta).std() for eta in (0.0, 0.5, 1.0)]
    assert spreads == sorted(spreads, reverse=True)  # the posterior variance loses some


def test_temperature_zero_needs_no_key():
    path, z = linear_schedule(20).path, jnp.full((2, 5, 3), 0.1)

    @jax.jit
    def sample(keys):
        sampling = Sampling(10, 10, temperature=0.0)
        return shallow_sample(EpsProcess(path), exact_x0(path), z, keys, sampling)

    one, two = (sample(jax.random.split(jax.random.key(seed), 2)) for seed in (0, 1))
    np.testing.assert_array_equal(one, two)
