"""One update by a loss, as a pure function: the same on every layout of devices."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from diffsinger_jax.engine.losses import LossFn, row_numbers
from diffsinger_jax.engine.metrics import Mean
from diffsinger_jax.engine.microbatches import WHOLE_BATCH, Microbatching
from diffsinger_jax.engine.state import (
    Params,
    TrainState,
    ema_update,
    join_params,
    keep_if_finite,
)


def train_step(
    state: TrainState,
    frozen: Params,
    batch: Any,
    key: jax.Array,
    *,
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
    microbatching: Microbatching = WHOLE_BATCH,
) -> tuple[TrainState, dict]:
    """One update, or none where the loss or its gradient is not finite; `step` counts on.

    The loss is sum_n weight_n * total_n / count_n. The counts follow from the masks and come
    first, so that the gradient of a microbatch is its exact part of the whole batch's.

    Args:
      state: before.
      frozen: the params that this stage does not train.
      batch: a pytree of arrays [B, ...].
      key: of the run; the step's own is folded in from it.
      loss_fn: what is made small.
      optimizer: of the params.
      ema_decay: see `ema_update`.
      microbatching: how the batch is computed.

    Returns:
      The state after it, and metrics: a `Mean` for each loss, "loss", "gradient_norm" and
      "skipped", 1 where the update was left out.
    """
    step_key, rows = jax.random.fold_in(key, state.step), row_numbers(batch)
    # Nothing but the counts is used of this, so nothing else of it is computed.
    counted = loss_fn.parts(join_params(frozen, state.params), batch, step_key, rows, True)
    counts = {name: part.count for name, part in counted.items()}

    def microbatch_gradient(fixed: Any, microbatch: Any) -> tuple[Params, dict]:
        *given, step_key, number = fixed
        empty = (jax.tree.map(jnp.zeros_like, given[0]), dict.fromkeys(counts, ZERO))

        def gradient(_: Any, given: Any) -> tuple[Params, dict]:
            return _gradient(loss_fn, step_key, *given)

        return microbatching.isolate(gradient, empty, (*given, *microbatch), number)

    fixed = (state.params, frozen, counts, step_key, state.step)
    gradients, totals = microbatching.sum(microbatch_gradient, fixed, (batch, rows))

    def updated(before: tuple[TrainState, dict], given: Any) -> tuple[TrainState, dict]:
        (state, _), (gradients, totals, counts) = before, given
        parts = _means(totals, counts)
        return _apply(state, gradients, loss_fn.weighted(parts), parts, optimizer, ema_decay)

    empty: dict[str, Any] = {name: Mean(ZERO, ZERO) for name in counts}
    empty |= dict.fromkeys(("loss", "gradient_norm", "skipped"), ZERO)
    given = (gradients, totals, counts)
    return microbatching.isolate(updated, (state, empty), given, state.step)


def _gradient(
    loss_fn: LossFn,
    step_key: jax.Array,
    params: Params,
    frozen: Params,
    counts: dict[str, jax.Array],
    batch: Any,
    rows: jax.Array,
) -> tuple[Params, dict[str, jax.Array]]:
    """A microbatch's part of the gradient, and of the total of each loss."""

    def objective(params: Params) -> tuple[jax.Array, dict]:
        parts = loss_fn.parts(join_params(frozen, params), batch, step_key, rows, True)
        totals = {name: part.total for name, part in parts.items()}
        return loss_fn.weighted(_means(totals, counts)), totals

    return jax.grad(objective, has_aux=True)(params)


def _apply(
    state: TrainState,
    gradients: Params,
    loss: jax.Array,
    parts: dict[str, Mean],
    optimizer: optax.GradientTransformation,
    ema_decay: float,
) -> tuple[TrainState, dict]:
    """The state after these gradients, or as it was where they or the loss are not finite."""
    norm = optax.tree.norm(gradients)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    ema = ema_update(state.ema, params, state.step, ema_decay)
    after = TrainState(state.step, params, ema, opt_state)
    after, skipped = keep_if_finite(jnp.isfinite(loss) & jnp.isfinite(norm), after, state)
    metrics = {**parts, "loss": loss, "gradient_norm": norm, "skipped": skipped}
    return after.replace(step=state.step + 1), metrics


ZERO: Any = np.float32(0.0)


def _means(totals: dict, counts: dict) -> dict[str, Mean]:
    return {name: Mean(total, counts[name]) for name, total in totals.items()}
