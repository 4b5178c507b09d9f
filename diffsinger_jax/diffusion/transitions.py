"""Neighbouring times of a discrete path: pairs (x_{t-1}, x_t), forward and backward.

With r = alpha_t / alpha_{t-1} a step of the diffusion is

    q(x_t | x_{t-1}) = N(r x_{t-1}, (sigma_t^2 - r^2 sigma_{t-1}^2) I).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from diffsinger_jax.diffusion.path import Path
from diffsinger_jax.diffusion.samplers.ancestral import step_weights


class Pair(NamedTuple):
    """x_{t-1} and x_t, [B, T, D] each."""

    before: jax.Array
    x_t: jax.Array


def forward_pair(
    path: Path, x0: jax.Array, t: jax.Array, noise: jax.Array, noise_between: jax.Array
) -> Pair:
    """x_{t-1} ~ q(. | x_0), then x_t ~ q(. | x_{t-1}).

    Two independent draws from x_0 would be another law: given x_t, the one before it is near.

    Args:
      path: a discrete one.
      x0: [B, T, D] data.
      t: i32[B] times of the path, none of them the data's.
      noise: [B, T, D] standard normal, of x_{t-1}.
      noise_between: [B, T, D] standard normal, of the step.
    """
    before = path.marginal(x0, t - 1, noise)
    (alpha, sigma), (alpha_before, sigma_before) = path.coefficients(t), path.coefficients(t - 1)
    ratio = alpha / alpha_before
    spread = jnp.sqrt(jnp.maximum(sigma**2 - (ratio * sigma_before) ** 2, 0.0))
    return Pair(before, ratio * before + spread * noise_between)


def posterior_pair(
    path: Path, x0: jax.Array, x_t: jax.Array, t: jax.Array, noise: jax.Array
) -> Pair:
    """x_{t-1} ~ q(. | x_t, x_0) of an estimate of the data, beside the x_t that it came of.

    Args:
      path: a discrete one.
      x0: [B, T, D], the estimate.
      x_t: [B, T, D].
      t: i32[B] times of x_t.
      noise: [B, T, D] standard normal.
    """
    times = path.grid()
    weights = step_weights(path, times, times - 1)
    of_x0, of_x_t, of_noise = (jnp.asarray(one)[t - times[0]][:, None, None] for one in weights)
    return Pair(of_x0 * x0 + of_x_t * x_t + of_noise * noise, x_t)
