"""The walk of DDPM (Ho et al. 2020) and of DDIM (Song et al. 2021): x_0 and fresh noise."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.diffusion.schedule import NoiseSchedule
from diffsinger_jax.diffusion.walk import NoiseAt, PredictX0, clipped_x0


class StepWeights(NamedTuple):
    """One reverse step is x_next = x0 * estimate + x_t * x_t + noise * noise; f32[...] each."""

    x0: np.ndarray
    x_t: np.ndarray
    noise: np.ndarray


def step_weights(
    schedule: NoiseSchedule, t: np.ndarray, t_next: np.ndarray, *, eta: float = 1.0
) -> StepWeights:
    """The weights of a step x_t -> x_{t_next} (Song et al. 2021, DDIM, eq. 12 and 16).

        sigma = eta sqrt((1 - abar_next) / (1 - abar_t)) sqrt(1 - abar_t / abar_next)
        x_next = sqrt(abar_next) x_0 + sqrt(1 - abar_next - sigma^2) eps + sigma noise

    with eps written as what x_0 leaves of x_t. With eta = 1 and t_next = t - 1 this is the
    ancestral step of DDPM with the posterior variance; eta = 0 is deterministic. Worked out in
    float64, where the small differences do no harm.

    Args:
      schedule: of length S.
      t: int[...] in [0, S).
      t_next: int[...] < t; -1 is the data itself, where x_0 is returned.
      eta: share of the noise that is drawn anew, in [0, 1].
    """
    abar = schedule.alpha_bar[t]
    abar_next = np.where(t_next >= 0, schedule.alpha_bar[np.maximum(t_next, 0)], 1.0)
    sigma2 = eta**2 * (1.0 - abar_next) / (1.0 - abar) * (1.0 - abar / abar_next)
    of_x_t = np.sqrt(np.maximum(1.0 - abar_next - sigma2, 0.0) / (1.0 - abar))
    weights = np.sqrt(abar_next) - of_x_t * np.sqrt(abar), of_x_t, np.sqrt(sigma2)
    return StepWeights(*(np.asarray(weight, np.float32) for weight in weights))


def reverse_step(
    predict_x0: PredictX0, x_t: jax.Array, t: jax.Array, weights: StepWeights, noise: jax.Array
) -> jax.Array:
    """One step x_t -> x_{t_next}.

    Args:
      predict_x0: the model's estimate, which is clipped here.
      x_t: [B, T, D], kept in float32 whatever the model computes in.
      t: i32[], the same step for the whole batch.
      weights: of this step, f32[] each, see `step_weights`.
      noise: [B, T, D] standard normal.

    Returns:
      x_{t_next}: [B, T, D].
    """
    x0 = clipped_x0(predict_x0, x_t, t)
    return weights.x0 * x0 + weights.x_t * x_t + weights.noise * noise


def ancestral_walk(
    schedule: NoiseSchedule,
    predict_x0: PredictX0,
    x: jax.Array,
    noise_at: NoiseAt,
    visits: np.ndarray,
    *,
    eta: float = 1.0,
) -> jax.Array:
    """`reverse_step` along `visits`; no noise is drawn where eta is 0.

    Args:
      schedule: of length S.
      predict_x0: the model's estimate.
      x: [B, T, D] at step visits[0].
      noise_at: of each step.
      visits: i32[steps], falling.
      eta: see `step_weights`.

    Returns:
      z: [B, T, D].
    """

    def body(x_t, step):
        t, weights = step
        noise = noise_at(t) if eta else jnp.zeros_like(x_t)
        return reverse_step(predict_x0, x_t, t, weights, noise), None

    weights = step_weights(schedule, visits, np.append(visits[1:], -1), eta=eta)
    return jax.lax.scan(body, x, jax.tree.map(jnp.asarray, (visits, weights)))[0]
