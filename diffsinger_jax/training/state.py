"""What a training stage carries from step to step: arrays only."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

Params = dict[str, Any]


@struct.dataclass
class TrainState:
    """All that a resumed run needs; its random keys follow from the seed and `step`.

    Attributes:
      step: i32[], updates done.
      params: what the stage trains, f32.
      ema: their moving average, which is what sings.
      opt_state: of the optimizer.
    """

    step: jax.Array
    params: Params
    ema: Params
    opt_state: optax.OptState


def create_state(params: Params, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before step 0."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        ema=jax.tree.map(jnp.copy, params),  # a buffer of its own: the state is donated
        opt_state=optimizer.init(params),
    )


def split_params(params: Params, trained: tuple[str, ...]) -> tuple[Params, Params]:
    """Top-level entries into those that a stage trains and those that it leaves as they are."""
    return (
        {name: value for name, value in params.items() if name in trained},
        {name: value for name, value in params.items() if name not in trained},
    )
