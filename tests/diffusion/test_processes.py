"""What the denoiser predicts, and back: exact inverses, and Bayes' answer before training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffsinger_jax.diffusion.processes import EpsProcess, ResidualProcess
from diffsinger_jax.diffusion.samplers import SAMPLERS
from diffsinger_jax.diffusion.schedule import cosine_schedule, linear_schedule


def test_processes_invert_their_target():
    path = cosine_schedule(50).path
    keys = jax.random.split(jax.random.key(6), 3)
    x0, eps, prior = (jax.random.normal(k, (4, 9, 6)) for k in keys)
    t = jnp.asarray([0, 10, 30, 45])
    for process in (EpsProcess(path), ResidualProcess(path, jnp.linspace(0.1, 0.5, 6))):
        x_t = process.marginal(x0, t, eps)
        target = process.target(x0, x_t, t, eps, prior)
        np.testing.assert_allclose(process.x0(target, x_t, t, prior), x0, atol=2e-4)


def test_residual_process_is_exact_for_gaussian_residuals_before_training():
    """Output 0 must be Bayes' answer, and input and target must have unit variance."""
    path = linear_schedule(100).path
    scale, rows = 0.2, 4096
    process = ResidualProcess(path, jnp.full(2, scale))
    x_key, eps_key = jax.random.split(jax.random.key(7))
    prior = jnp.full((rows, 3, 2), 0.4)
    x0 = prior + scale * jax.random.normal(x_key, prior.shape)
    eps = jax.random.normal(eps_key, prior.shape)
    for step in (0, 20, 99):
        t = jnp.full(rows, step)
        x_t = process.marginal(x0, t, eps)
        assert abs(float(process.trunk_input(x_t, t, prior).std()) - 1.0) < 0.03
        assert abs(float(process.target(x0, x_t, t, eps, prior).std()) - 1.0) < 0.03
        error = process.x0(jnp.zeros_like(x_t), x_t, t, prior) - x0
        assert abs(float((error * (x_t - prior)).mean())) < 0.01  # what is left is unpredictable


@pytest.mark.parametrize("method", sorted(SAMPLERS))
def test_every_sampler_steps_around_the_auxiliary_mel(method):
    """Residuals of another spread in each channel, around a prior that changes from place to place:
    an untrained network (output 0) is exact for them, so sampling has to end in their law."""
    schedule, scale = linear_schedule(100), np.array([0.1, 0.25], np.float32)
    path = schedule.path
    process = ResidualProcess(path, jnp.asarray(scale))
    prior_key, eps_key, noise_key = jax.random.split(jax.random.key(8), 3)
    prior = jax.random.uniform(prior_key, (8, 200, 2), minval=-0.4, maxval=0.4)
    t = jnp.full(8, 99)
    spread = jnp.asarray(np.sqrt(schedule.alpha_bar[99] * scale**2 + 1 - schedule.alpha_bar[99]))
    x = path.coefficients(t)[0] * prior
    x += spread[None, None] * jax.random.normal(eps_key, prior.shape)

    def predict_x0(x_t, t):
        return process.x0(jnp.zeros_like(x_t), x_t, t, prior)

    def noise_at(t):
        return jax.random.normal(jax.random.fold_in(noise_key, t), prior.shape)

    sampler = SAMPLERS[method]
    z = sampler.run(path, predict_x0, x, noise_at, sampler.times(path, 100, 50))
    residual = z - prior
    np.testing.assert_allclose(residual.mean(axis=(0, 1)), 0.0, atol=0.02)
    tolerance = {"ddpm": 0.3, "ddim": 0.15}.get(method, 0.05)  # for 50 even steps
    np.testing.assert_allclose(residual.std(axis=(0, 1)), scale, rtol=tolerance, err_msg=method)
