"""The samplers of DDPM (Ho et al. 2020) and of DDIM (Song et al. 2021): x_0 and fresh noise."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.diffusion.noise import NoiseAt
from diffsinger_jax.diffusion.path import Path
from diffsinger_jax.diffusion.samplers.estimates import X0_BOUND, PredictX0, clipped_x0


class StepWeights(NamedTuple):
    """One reverse step is x_next = x0 * estimate + x_t * x_t + noise * noise; f32[...] each."""

    x0: np.ndarray
    x_t: np.ndarray
    noise: np.ndarray


def step_weights(path: Path, t: np.ndarray, t_next: np.ndarray, *, eta: float = 1.0) -> StepWeights:
    """The weights of a step x_t -> x_{t_next} (Song et al. 2021, DDIM, eq. 12 and 16).

        s = eta (sigma_next / sigma_t) sqrt(sigma_t^2 - (alpha_t / alpha_next)^2 sigma_next^2)
        x_next = alpha_next x_0 + sqrt(sigma_next^2 - s^2) eps + s noise

    with eps written as what x_0 leaves of x_t. With eta = 1 and neighbouring steps of a schedule
    this is the ancestral step of DDPM with the posterior variance; eta = 0 is deterministic.
    Worked out in float64, where the small differences do no harm.

    Args:
      path: that is stepped along.
      t: [...] times.
      t_next: [...] times nearer to the data; at the data itself x_0 is returned.
      eta: share of the noise that is drawn anew, in [0, 1].
    """
    alpha, sigma = path.on_host(t)
    alpha_next, sigma_next = path.on_host(t_next)
    forward2 = sigma**2 - (alpha / alpha_next * sigma_next) ** 2  # of q(x_t | x_next)
    drawn2 = eta**2 * (sigma_next / sigma) ** 2 * forward2
    of_x_t = np.sqrt(np.maximum(sigma_next**2 - drawn2, 0.0)) / sigma
    weights = alpha_next - of_x_t * alpha, of_x_t, np.sqrt(drawn2)
    return StepWeights(*(np.asarray(weight, np.float32) for weight in weights))


def reverse_step(
    predict_x0: PredictX0,
    x_t: jax.Array,
    t: jax.Array,
    weights: StepWeights,
    noise: jax.Array,
    bound: float | None = X0_BOUND,
) -> jax.Array:
    """One step x_t -> x_{t_next}.

    Args:
      predict_x0: the model's estimate, which is clipped here.
      x_t: [B, T, D], kept in float32 whatever the model computes in.
      t: [], the same time for the whole batch.
      weights: of this step, f32[] each, see `step_weights`.
      noise: [B, T, D] standard normal.
      bound: of the estimates; None leaves them as they are.

    Returns:
      x_{t_next}: [B, T, D].
    """
    x0 = clipped_x0(predict_x0, x_t, t, bound)
    return weights.x0 * x0 + weights.x_t * x_t + weights.noise * noise


def ancestral_sampler(
    path: Path,
    predict_x0: PredictX0,
    x: jax.Array,
    noise_at: NoiseAt,
    times: np.ndarray,
    *,
    eta: float = 1.0,
    bound: float | None = X0_BOUND,
) -> jax.Array:
    """`reverse_step` along `times`; no noise is drawn where eta is 0.

    Args:
      path: that is stepped along.
      predict_x0: the model's estimate.
      x: [B, T, D] at times[0].
      noise_at: of each step.
      times: [steps + 1], from noise to data.
      eta: see `step_weights`.
      bound: see `reverse_step`.

    Returns:
      x: [B, T, D] at times[-1].
    """
    weights = step_weights(path, times[:-1], times[1:], eta=eta)
    return _stepped(predict_x0, x, noise_at if eta else None, times, weights, bound)


def consistency_sampler(
    path: Path,
    predict_x0: PredictX0,
    x: jax.Array,
    noise_at: NoiseAt,
    times: np.ndarray,
    *,
    bound: float | None = X0_BOUND,
) -> jax.Array:
    """x_next = alpha_next f(x_t, t) + sigma_next noise: to the data, and noise put back.

    Of models whose estimate is where the flow ends (Song et al. 2023, algorithm 1); an estimate
    that is the mean of the data loses its spread. Arguments as of `ancestral_sampler`.
    """
    alpha, sigma = path.on_host(times[1:])
    weights = (np.asarray(one, np.float32) for one in (alpha, np.zeros_like(alpha), sigma))
    return _stepped(predict_x0, x, noise_at, times, StepWeights(*weights), bound)


def _stepped(
    predict_x0: PredictX0,
    x: jax.Array,
    noise_at: NoiseAt | None,
    times: np.ndarray,
    weights: StepWeights,
    bound: float | None,
) -> jax.Array:
    """`reverse_step` along `times`, with noise if there is some."""

    def body(x_t: jax.Array, step: tuple[jax.Array, StepWeights]) -> tuple[jax.Array, None]:
        t, weights = step
        noise = jnp.zeros_like(x_t) if noise_at is None else noise_at(t)
        return reverse_step(predict_x0, x_t, t, weights, noise, bound), None

    return jax.lax.scan(body, x, jax.tree.map(jnp.asarray, (times[:-1], weights)))[0]
