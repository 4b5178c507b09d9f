"""DPM-Solver++ (2M) and UniPC against their published steps, in float64."""

import jax.numpy as jnp
import numpy as np
import pytest
from gaussian_data import MEAN, STD, exact_x0

from diffsinger_jax.diffusion.samplers.exponential import (
    corrector_weights,
    dpm_solver_pp_2m_sampler,
    two_step_weights,
    unipc_sampler,
)
from diffsinger_jax.diffusion.schedule import linear_schedule
from diffsinger_jax.diffusion.timesteps import even_times


def published(schedule, x, times, *, corrects):
    """Algorithm 2 of DPM-Solver++ and algorithms 5 to 8 of UniPC (B_2, order 2), step by step."""
    alpha = np.sqrt(np.append(schedule.alpha_bar[times], 1.0))
    sigma = np.sqrt(1 - alpha**2)

    def x0_at(x, i):
        gain = alpha[i] * STD**2 / (alpha[i] ** 2 * STD**2 + sigma[i] ** 2)
        return np.clip(MEAN + gain * (x - alpha[i] * MEAN), -1, 1)

    log_snr = np.log(alpha[:-1] / sigma[:-1])
    estimates = [x0_at(x, 0)]
    for i in range(len(times) - 1):
        h = log_snr[i + 1] - log_snr[i]
        grown = np.expm1(-h)
        linear = sigma[i + 1] / sigma[i] * x - alpha[i + 1] * grown * estimates[-1]
        slope = 0.0
        if i:
            r = (log_snr[i - 1] - log_snr[i]) / h
            slope = (estimates[-2] - estimates[-1]) / r
        guess = linear - alpha[i + 1] * grown * 0.5 * slope
        there = x0_at(guess, i + 1)
        if corrects and i:
            phi_2 = grown / -h - 1
            phi_3 = phi_2 / -h - 0.5
            c = np.linalg.solve([[1, 1], [r, 1]], [phi_2 / grown, 2 * phi_3 / grown])
            change = c[0] * slope + c[1] * (there - estimates[-1])
            guess = linear - alpha[i + 1] * grown * change
        elif corrects:
            guess = linear - alpha[i + 1] * grown * 0.5 * (there - estimates[-1])
        x = guess
        estimates.append(there)
    return estimates[-1]


@pytest.mark.parametrize("sampler", [dpm_solver_pp_2m_sampler, unipc_sampler])
@pytest.mark.parametrize("k_step,steps", [(100, 10), (51, 51), (30, 2), (5, 1)])
def test_they_are_their_published_steps(sampler, k_step, steps):
    schedule = linear_schedule(100)
    path, times = schedule.path, even_times(schedule.path, k_step, steps)
    x = np.random.default_rng(0).normal(size=(3, 4, 2))
    ours = sampler(path, exact_x0(path), jnp.asarray(x, jnp.float32), None, times)
    expected = published(schedule, x, times[:-1], corrects=sampler is unipc_sampler)
    np.testing.assert_allclose(ours, expected, atol=2e-5)


def test_weights_leave_a_constant_estimate_alone():
    """If the model always says x0 = 1, all that is not noise becomes 1 and stays so."""
    path = linear_schedule(100).path
    times = even_times(path, 100, 17)
    alpha, _ = path.on_host(times)
    predictor = two_step_weights(path, times)
    np.testing.assert_allclose(
        predictor @ np.ones(3) - predictor[:, 0] * (1 - alpha[:-1]), alpha[1:]
    )
    corrector = corrector_weights(path, times)[1:]
    np.testing.assert_allclose(
        corrector @ np.ones(4) - corrector[:, 0] * (1 - alpha[:-2]), alpha[1:-1]
    )
