"""One update of a generator and of the discriminators it learns against, as a pure function.

Goodfellow et al. 2014; which losses they have is the task's. The order is fixed:

    1. discriminators: gradient of their loss on data and generated samples -> their update
    2. generator: gradient of its losses against the *new* discriminators -> its update

Samples are data for the discriminators, so that their loss has no gradient for the generator;
the generator's losses are taken with the discriminators' params held.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from diffsinger_jax.engine.losses import row_numbers
from diffsinger_jax.engine.metrics import Mean
from diffsinger_jax.engine.microbatches import WHOLE_BATCH, Microbatching
from diffsinger_jax.engine.state import Params, ema_update, keep_if_finite
from diffsinger_jax.engine.supervised import ZERO

GENERATOR, DISCRIMINATORS = "generator", "discriminators"
"""The two sides: names of their params, optimizers and optimizer states."""
Scalars = dict[str, Any]
"""Losses f32[] by name, each a mean over rows that count alike (a mask is used within a row)."""
Side = tuple[Params, optax.OptState]


class AdversarialLosses(NamedTuple):
    """What is made small on both sides; a sample is any pytree of floating arrays [B, ...].

    Attributes:
      generate: (generator params, batch, rows i32[B], key) -> sample; what is drawn for a row
        follows from the key and the row's number alone.
      discriminator: (discriminator params, batch, sample) -> f32[], the discriminators' loss. A
        conditional discriminator finds its condition in the batch.
      reconstruction: (batch, sample) -> the generator's losses that need no discriminators.
      adversarial: (discriminator params, batch, sample) -> those that do.
      weights: of the generator's losses, by name.
      starts_after: so many steps are by reconstruction alone; the discriminators rest.
    """

    generate: Callable[[Params, Any, jax.Array, jax.Array], Any]
    discriminator: Callable[[Params, Any, Any], jax.Array]
    reconstruction: Callable[[Any, Any], Scalars]
    adversarial: Callable[[Params, Any, Any], Scalars]
    weights: Mapping[str, float]
    starts_after: int = 0


@struct.dataclass
class AdversarialState:
    """All that a resumed run needs; its random keys follow from the seed and `step`.

    Attributes:
      step: i32[], updates done.
      params: {"generator", "discriminators"}, f32.
      ema: moving average of the generator's params, which is what sings.
      opt_state: of the two optimizers, by the same names.
    """

    step: jax.Array
    params: Params
    ema: Params
    opt_state: dict[str, optax.OptState]


def create_adversarial_state(
    params: Params, optimizers: Mapping[str, optax.GradientTransformation]
) -> AdversarialState:
    """The state before step 0, of params and optimizers by "generator" and "discriminators"."""
    return AdversarialState(
        step=jnp.zeros((), jnp.int32),
        params=dict(params),
        ema=jax.tree.map(jnp.copy, params[GENERATOR]),
        opt_state={name: one.init(params[name]) for name, one in optimizers.items()},
    )


def adversarial_step(
    state: AdversarialState,
    batch: Any,
    key: jax.Array,
    *,
    losses: AdversarialLosses,
    optimizers: Mapping[str, optax.GradientTransformation],
    ema_decay: float,
    microbatching: Microbatching = WHOLE_BATCH,
) -> tuple[AdversarialState, dict]:
    """One update of both sides; if a loss or a gradient of either is not finite, neither moves.

    `step` counts on all the same. The mean over the batch is that of equal microbatches' means.

    Args:
      state: before.
      batch: a pytree of arrays [B, ...].
      key: of the run; the step's own is folded in from it.
      losses: of both sides.
      optimizers: by "generator" and "discriminators".
      ema_decay: see `ema_update`.
      microbatching: how the batch is computed.

    Returns:
      The state after it, and metrics: a `Mean` of each loss, "loss", "gradient_norm" (the
      generator's), "discriminators_norm" and "skipped", 1 where the update was left out.
    """
    step_key, rows = jax.random.fold_in(key, state.step), row_numbers(batch)
    generator, discriminators = state.params[GENERATOR], state.params[DISCRIMINATORS]

    def summed(gradient_of: Callable, params: tuple[Params, Params], empty: Any) -> Any:
        return _summed(
            functools.partial(gradient_of, losses, len(rows)),
            (params, step_key, state.step),
            (batch, rows),
            empty,
            microbatching,
        )

    def moved(before: Side, gradient: Params) -> Side:
        optimizer = optimizers[DISCRIMINATORS]
        return _once_started(
            losses, state.step, lambda: _updated(optimizer, gradient, *before), lambda: before
        )

    def updated(before: Any, given: Any) -> tuple[AdversarialState, dict]:
        how = losses.weights, optimizers[GENERATOR], ema_decay
        state, metrics = _apply(before[0], given, *how)
        return state, _counted(metrics, losses.weights, len(rows))

    empty: Any = (_zeros(discriminators), jnp.zeros((), jnp.float32))
    of_discriminators = summed(discriminator_gradient, (generator, discriminators), empty)
    before = (discriminators, state.opt_state[DISCRIMINATORS])
    after = microbatching.isolate(moved, before, of_discriminators[0], state.step)

    empty = (_zeros(generator), dict.fromkeys(losses.weights, ZERO))
    of_generator = summed(generator_gradient, (generator, after[0]), empty)
    before = (state, _no_metrics(losses.weights))
    given = (after, of_discriminators, of_generator)
    return microbatching.isolate(updated, before, given, state.step)


def discriminator_gradient(
    losses: AdversarialLosses, count: int, step_key: jax.Array, step: jax.Array, given: Any
) -> tuple[Params, jax.Array]:
    """A microbatch's part of the discriminators' gradient and loss.

    Args:
      losses: of both sides.
      count: rows of the whole batch.
      step_key: of the step.
      step: i32[], updates done.
      given: ((generator params, discriminator params), (rows of the batch, their numbers)).
    """
    (generator, discriminators), (batch, rows) = given

    def started(discriminators: Params) -> tuple[Params, jax.Array]:
        sample = jax.lax.stop_gradient(losses.generate(generator, batch, rows, step_key))

        def loss(discriminators: Params) -> jax.Array:
            return losses.discriminator(discriminators, batch, sample) * (len(rows) / count)

        value, gradient = jax.value_and_grad(loss)(discriminators)
        return gradient, value

    def resting(discriminators: Params) -> tuple[Params, jax.Array]:
        return _zeros(discriminators), jnp.zeros((), jnp.float32)

    return _once_started(losses, step, started, resting, discriminators)


def generator_gradient(
    losses: AdversarialLosses, count: int, step_key: jax.Array, step: jax.Array, given: Any
) -> tuple[Params, Scalars]:
    """A microbatch's part of the generator's gradient and losses, see `discriminator_gradient`."""
    (generator, discriminators), (batch, rows) = given

    def weighted(parts: Scalars) -> tuple[jax.Array, Scalars]:
        parts = {name: (len(rows) / count) * part for name, part in parts.items()}
        total = sum(losses.weights[name] * part for name, part in parts.items())
        return jnp.asarray(total), parts

    def started(sample: Any) -> tuple[jax.Array, Scalars]:
        against = losses.adversarial(discriminators, batch, sample)
        return weighted({**losses.reconstruction(batch, sample), **against})

    def resting(sample: Any) -> tuple[jax.Array, Scalars]:
        parts = losses.reconstruction(batch, sample)
        return weighted({**parts, **{n: ZERO for n in losses.weights if n not in parts}})

    sample, pull_back = jax.vjp(lambda p: losses.generate(p, batch, rows, step_key), generator)
    of_sample, parts = _once_started(
        losses, step, jax.grad(started, has_aux=True), jax.grad(resting, has_aux=True), sample
    )
    return pull_back(of_sample)[0], parts


def _summed(
    gradient_of: Callable, fixed: Any, batched: Any, empty: Any, microbatching: Microbatching
) -> Any:
    """The sum of gradient_of(step key, step, (params, rows)) over the microbatches."""

    def of_microbatch(fixed: Any, microbatch: Any) -> Any:
        params, step_key, step = fixed
        gradient = functools.partial(gradient_of, step_key, step)
        return microbatching.isolate(
            lambda _, given: gradient(given), empty, (params, microbatch), step
        )

    return microbatching.sum(of_microbatch, fixed, batched)


def _once_started(
    losses: AdversarialLosses, number: jax.Array, started: Callable, resting: Callable, *given: Any
) -> Any:
    """started(*given), or resting(*given) in the first `starts_after` steps."""
    if not losses.starts_after:
        return started(*given)
    return jax.lax.cond(number >= losses.starts_after, started, resting, *given)


def _apply(
    state: AdversarialState,
    given: tuple[Side, tuple[Params, jax.Array], tuple[Params, Scalars]],
    weights: Mapping[str, float],
    optimizer: optax.GradientTransformation,
    ema_decay: float,
) -> tuple[AdversarialState, Scalars]:
    """The state with both sides moved, or as it was where not all is finite; and the metrics."""
    discriminators, of_discriminators, of_generator = given
    generator, opt_state = _updated(
        optimizer, of_generator[0], state.params[GENERATOR], state.opt_state[GENERATOR]
    )
    after = AdversarialState(
        step=state.step,
        params={GENERATOR: generator, DISCRIMINATORS: discriminators[0]},
        ema=ema_update(state.ema, generator, state.step, ema_decay),
        opt_state={GENERATOR: opt_state, DISCRIMINATORS: discriminators[1]},
    )
    numbers = {
        "loss": sum(weights[name] * part for name, part in of_generator[1].items()),
        "gradient_norm": optax.tree.norm(of_generator[0]),
        "discriminators_norm": optax.tree.norm(of_discriminators[0]),
    }
    finite = jnp.isfinite(jnp.stack([of_discriminators[1], *numbers.values()])).all()
    after, skipped = keep_if_finite(finite, after, state)
    losses = {**of_generator[1], DISCRIMINATORS: of_discriminators[1]}
    return after.replace(step=state.step + 1), {**losses, **numbers, "skipped": skipped}


def _counted(metrics: Scalars, weights: Mapping[str, float], count: int) -> dict:
    """The same with each loss as a `Mean` over so many rows."""
    rows, names = jnp.float32(count), (*weights, DISCRIMINATORS)
    return {**metrics, **{name: Mean(metrics[name] * rows, rows) for name in names}}


def _no_metrics(weights: Mapping[str, float]) -> dict:
    """Of the shapes of those of a step."""
    means = {name: Mean(ZERO, ZERO) for name in (*weights, DISCRIMINATORS)}
    return means | dict.fromkeys(("loss", "gradient_norm", "discriminators_norm", "skipped"), ZERO)


def _zeros(params: Params) -> Params:
    return jax.tree.map(jnp.zeros_like, params)


def _updated(
    optimizer: optax.GradientTransformation,
    gradient: Params,
    params: Params,
    opt_state: optax.OptState,
) -> Side:
    updates, opt_state = optimizer.update(gradient, opt_state, params)
    return optax.apply_updates(params, updates), opt_state
