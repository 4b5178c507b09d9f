"""Estimates of the data, which are all that a sampler asks a model for."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

PredictX0 = Callable[[jax.Array, jax.Array], jax.Array]
"""(x_t [B, T, D], t [B]) -> estimate of x_0 [B, T, D]; condition and process closed over."""

PredictVelocity = PredictX0
"""(x_t [B, T, D], t [B]) -> estimate of dx/dt [B, T, D] along the probability flow."""

X0_BOUND = 1.0
"""Estimates of x_0 are clipped to [-1, 1], the range that mels are scaled to."""


def clipped_x0(
    predict_x0: PredictX0, x_t: jax.Array, t: jax.Array, bound: float | None = X0_BOUND
) -> jax.Array:
    """The estimate of x_0 at one time t [] for the whole batch, within +-bound if there is one."""
    x0 = predict_x0(x_t, jnp.full(x_t.shape[:1], t))
    return x0 if bound is None else jnp.clip(x0, -bound, bound)
