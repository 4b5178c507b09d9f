"""What a training stage carries from step to step: arrays only."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct, traverse_util

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


def split_params(
    params: Params, trained: tuple[str, ...], freeze: tuple[str, ...] = ()
) -> tuple[Params, Params]:
    """Those that a stage trains, and those that it leaves as they are.

    Args:
      params: all of the model's.
      trained: top-level names that the stage trains.
      freeze: paths below them that it leaves all the same, as "encoder/phoneme".
    """
    flat = traverse_util.flatten_dict(params, sep="/")

    def is_trained(path: str) -> bool:
        return path.split("/")[0] in trained and not is_below(path, freeze)

    parts = (
        {path: value for path, value in flat.items() if is_trained(path) == wanted}
        for wanted in (True, False)
    )
    mine, others = (traverse_util.unflatten_dict(part, sep="/") for part in parts)
    return mine, others


def join_params(*parts: Params) -> Params:
    """The inverse of `split_params`; of what is in two parts, the later one's."""
    flat = [traverse_util.flatten_dict(part) for part in parts]
    return traverse_util.unflatten_dict({k: v for part in flat for k, v in part.items()})


def is_below(path: str, tops: tuple[str, ...]) -> bool:
    """Whether a path of names is one of `tops` or inside one."""
    return any(path == top or path.startswith(top + "/") for top in tops)


def ema_update(ema: Params, params: Params, step: jax.Array, decay: float) -> Params:
    """decay' ema + (1 - decay') params, decay' = min(decay, (1 + step) / (10 + step))."""
    step = step.astype(jnp.float32)
    warmed_up = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return optax.incremental_update(params, ema, 1.0 - warmed_up)


def keep_if_finite(finite: jax.Array, after: Any, before: Any) -> tuple[Any, jax.Array]:
    """`after`, or `before` where not all is finite; and f32[] 1 where it is that."""
    kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, before)
    return kept, 1.0 - finite.astype(jnp.float32)
