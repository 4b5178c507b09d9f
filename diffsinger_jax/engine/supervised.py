"""One update of a stage's params, as a pure function: the same on every layout of devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from diffsinger_jax.engine.metrics import Mean
from diffsinger_jax.engine.state import Params, TrainState, join_params
from diffsinger_jax.tasks.acoustic.stage_losses import LossFn
from diffsinger_jax.types import Batch

MicrobatchReduction = Callable[[Callable[[Any, Any], Any], Any, Any], Any]
"""(function, fixed, by rows) -> the sum of function(fixed, a group's rows) over all groups."""


def single_microbatch(function: Callable[[Any, Any], Any], fixed: Any, by_rows: Any) -> Any:
    """All rows at once, see `MicrobatchReduction`."""
    return function(fixed, by_rows)


CompileIsolation = Callable[[Callable[[Any, Any], Any], Any, Any, jax.Array], Any]
"""(function, start, given, a number) -> function(start, given), compiled in some way."""


def compile_inline(
    function: Callable[[Any, Any], Any], start: Any, given: Any, number: jax.Array
) -> Any:
    """As it comes, see `CompileIsolation`."""
    return function(start, given)


def ema_update(ema: Params, params: Params, step: jax.Array, decay: float) -> Params:
    """decay' ema + (1 - decay') params, decay' = min(decay, (1 + step) / (10 + step))."""
    step = step.astype(jnp.float32)
    decay = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return optax.incremental_update(params, ema, 1.0 - decay)


def keep_if_finite(finite: jax.Array, after: Any, before: Any) -> tuple[Any, jax.Array]:
    """`after`, or `before` where not all is finite; and f32[] 1 where it is that."""
    kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, before)
    return kept, 1.0 - finite.astype(jnp.float32)


def train_step(
    state: TrainState,
    frozen: Params,
    batch: Batch,
    key: jax.Array,
    *,
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
    microbatch_sum: MicrobatchReduction = single_microbatch,
    isolate: CompileIsolation = compile_inline,
) -> tuple[TrainState, dict]:
    """One update, or none where the loss or its gradient is not finite; `step` counts on.

    The loss is sum_n weight_n * total_n / count_n. The counts follow from the masks and come
    first, so that the gradient of a group of rows is its exact part of the whole batch's.

    Args:
      state: before.
      frozen: the params that this stage does not train.
      batch: of any shape.
      key: of the run; the step's own is folded in from it.
      loss_fn: of the stage.
      optimizer: of the stage.
      ema_decay: of the moving average; it warms up as (1 + step) / (10 + step).
      microbatch_sum: how the batch is computed.
      isolate: how the gradient of a group, and the update after it, are compiled.

    Returns:
      The state after it, and metrics: a `Mean` for each loss, "loss", "gradient_norm" and
      "skipped", 1 where the update was left out.
    """
    step_key = jax.random.fold_in(key, state.step)
    rows = jnp.arange(batch.tokens.shape[0])
    # Nothing but the counts is used of this, so nothing else of it is computed.
    counted = loss_fn.parts(join_params(frozen, state.params), batch, step_key, rows, True)
    counts = {name: part.count for name, part in counted.items()}

    def microbatch_gradient(fixed: Any, group: Any) -> tuple[Params, dict]:
        params, frozen, counts, step_key, number = fixed

        def gradient(_: Any, given: Any) -> tuple[Params, dict]:
            params, frozen, counts, (batch, rows) = given

            def objective(params: Params) -> tuple[jax.Array, dict]:
                parts = loss_fn.parts(join_params(frozen, params), batch, step_key, rows, True)
                totals = {name: part.total for name, part in parts.items()}
                return loss_fn.weighted(_means(totals, counts)), totals

            return jax.grad(objective, has_aux=True)(params)

        empty = (jax.tree.map(jnp.zeros_like, params), dict.fromkeys(counts, _ZERO))
        return isolate(gradient, empty, (params, frozen, counts, group), number)

    fixed = (state.params, frozen, counts, step_key, state.step)
    gradients, totals = microbatch_sum(microbatch_gradient, fixed, (batch, rows))

    def updated(before: tuple[TrainState, dict], given: Any) -> tuple[TrainState, dict]:
        (state, _), (gradients, totals, counts) = before, given
        parts = _means(totals, counts)
        loss, norm = loss_fn.weighted(parts), optax.tree.norm(gradients)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema = ema_update(state.ema, params, state.step, ema_decay)
        after = TrainState(state.step, params, ema, opt_state)
        finite = jnp.isfinite(loss) & jnp.isfinite(norm)
        after, skipped = keep_if_finite(finite, after, state)
        metrics = {**parts, "loss": loss, "gradient_norm": norm, "skipped": skipped}
        return after.replace(step=state.step + 1), metrics

    empty = {name: Mean(_ZERO, _ZERO) for name in counts}
    empty |= dict.fromkeys(("loss", "gradient_norm", "skipped"), _ZERO)
    return isolate(updated, (state, empty), (gradients, totals, counts), state.step)


_ZERO = np.float32(0.0)


def _means(totals: dict, counts: dict) -> dict[str, Mean]:
    return {name: Mean(total, counts[name]) for name, total in totals.items()}
