"""Learning rates and the optimizer, by the names in a config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import optax


def rsqrt(peak: float, warmup_steps: int) -> optax.Schedule:
    """Rises on a line to `peak`, then falls with 1 / sqrt(step) (Vaswani et al. 2017)."""

    def learning_rate(step):
        n = jnp.asarray(step, jnp.float32) + 1.0
        return peak * jnp.minimum(n / warmup_steps, jnp.sqrt(warmup_steps / n))

    return learning_rate


def halving(peak: float, every_steps: int) -> optax.Schedule:
    """`peak`, halved every so many steps."""
    return optax.exponential_decay(peak, every_steps, 0.5, staircase=True)


def cosine(peak: float, warmup_steps: int, total_steps: int) -> optax.Schedule:
    """Rises on a line to `peak`, then falls on a cosine to a hundredth of it."""
    return optax.warmup_cosine_decay_schedule(
        0.0, peak, warmup_steps, total_steps, end_value=0.01 * peak
    )


LEARNING_RATES = {"rsqrt": rsqrt, "halving": halving, "cosine": cosine}
"""The schedules that a config can name."""


def make_learning_rate(settings: Mapping[str, Any]) -> optax.Schedule:
    """The schedule called `name` with the other settings as its arguments."""
    arguments = dict(settings)
    return LEARNING_RATES[arguments.pop("name")](**arguments)


def make_optimizer(
    learning_rate: optax.Schedule,
    *,
    betas: tuple[float, float],
    weight_decay: float,
    clip_norm: float,
) -> optax.GradientTransformation:
    """AdamW behind a bound on the gradient's global norm."""
    return optax.chain(
        optax.clip_by_global_norm(clip_norm),
        optax.adamw(learning_rate, b1=betas[0], b2=betas[1], weight_decay=weight_decay),
    )
