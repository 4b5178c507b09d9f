"""One update of a generator and of the discriminators it learns against, as a pure function.

Goodfellow et al. 2014; which losses they have is the task's. The order is fixed:

    1. discriminators: gradient of their loss on data and generated samples -> their update
    2. generator: gradient of its losses against the *new* discriminators -> its update

Samples are data for the discriminators, so that their loss has no gradient for the generator;
the generator's losses are taken with the discriminators' params held.

Losses are masked means, as those of `engine.supervised`: what they count follows from the batch
alone and comes first, so that a microbatch's gradient is its exact part of the whole batch's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from diffsinger_jax.engine.losses import Losses, row_numbers
from diffsinger_jax.engine.metrics import Mean
from diffsinger_jax.engine.microbatches import WHOLE_BATCH, Microbatching
from diffsinger_jax.engine.state import Params, ema_update, join_params, keep_if_finite
from diffsinger_jax.engine.supervised import ZERO

GENERATOR, DISCRIMINATORS = "generator", "discriminators"
"""The two sides: names of their params, optimizers and optimizer states."""
Scalars = dict[str, Any]
"""f32[] by name."""
Side = tuple[Params, optax.OptState]


class AdversarialLosses(NamedTuple):
    """What is made small on both sides; a sample is any pytree of floating arrays [B, ...].

    Attributes:
      generate: (generator params, the frozen ones among them, batch, rows i32[B], key) -> sample;
        what is drawn for a row follows from the key and the row's number alone. Whatever else is
        drawn, as the places that discriminators look at, is part of the sample.
      discriminator: (discriminator params, batch, sample) -> the discriminators' loss. A
        conditional discriminator finds its condition in the batch.
      reconstruction: (batch, sample) -> the generator's losses that need no discriminators; what
        has no weight is only reported.
      adversarial: (discriminator params, batch, sample) -> those that do.
      weights: of the generator's losses, by name.
      starts_after: so many steps are by reconstruction alone; the discriminators rest.
    """

    generate: Callable[[Params, Any, jax.Array, jax.Array], Any]
    discriminator: Callable[[Params, Any, Any], Mean]
    reconstruction: Callable[[Any, Any], Losses]
    adversarial: Callable[[Params, Any, Any], Losses]
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
    frozen: Params,
    batch: Any,
    key: jax.Array,
    *,
    losses: AdversarialLosses,
    optimizers: Mapping[str, optax.GradientTransformation],
    ema_decay: float,
    microbatching: Microbatching = WHOLE_BATCH,
) -> tuple[AdversarialState, dict]:
    """One update of both sides; if a loss or a gradient of either is not finite, neither moves.

    `step` counts on all the same.

    Args:
      state: before.
      frozen: params that the generator needs and that are not trained.
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
    counts = _counts(losses, (generator, frozen, discriminators), batch, rows, step_key)

    def summed(gradient_of: Callable, discriminators: Params, empty: Any) -> Any:
        return _summed(
            functools.partial(gradient_of, losses),
            ((generator, frozen, discriminators, counts), step_key, state.step),
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
        *gradients, counts = given
        return _apply(
            before[0], gradients, counts, losses.weights, optimizers[GENERATOR], ema_decay
        )

    empty: Any = (_zeros(discriminators), jnp.zeros((), jnp.float32))
    of_discriminators = summed(discriminator_gradient, discriminators, empty)
    before = (discriminators, state.opt_state[DISCRIMINATORS])
    after = microbatching.isolate(moved, before, of_discriminators[0], state.step)

    names = [name for name in counts if name != DISCRIMINATORS]
    empty = (_zeros(generator), dict.fromkeys(names, ZERO))
    of_generator = summed(generator_gradient, after[0], empty)
    before = (state, _no_metrics(counts))
    given = (after, of_discriminators, of_generator, counts)
    return microbatching.isolate(updated, before, given, state.step)


def _counts(
    losses: AdversarialLosses,
    params: tuple[Params, Params, Params],
    batch: Any,
    rows: jax.Array,
    step_key: jax.Array,
) -> Scalars:
    """What the losses count in the whole batch, by name; nothing else of them is computed."""
    generator, frozen, discriminators = params
    sample = losses.generate(join_params(frozen, generator), batch, rows, step_key)
    parts = losses.reconstruction(batch, sample)
    parts |= losses.adversarial(discriminators, batch, sample)
    parts |= {DISCRIMINATORS: losses.discriminator(discriminators, batch, sample)}
    return {name: part.count for name, part in parts.items()}


def discriminator_gradient(
    losses: AdversarialLosses, step_key: jax.Array, step: jax.Array, given: Any
) -> tuple[Params, jax.Array]:
    """A microbatch's part of the discriminators' gradient, and of the total of their loss.

    Args:
      losses: of both sides.
      step_key: of the step.
      step: i32[], updates done.
      given: ((generator params, frozen ones, discriminator params, what the losses count in the
        whole batch), (rows of the batch, their numbers)).
    """
    (generator, frozen, discriminators, counts), (batch, rows) = given

    def started(discriminators: Params) -> tuple[Params, jax.Array]:
        sample = losses.generate(join_params(frozen, generator), batch, rows, step_key)
        sample = jax.lax.stop_gradient(sample)

        def loss(discriminators: Params) -> tuple[jax.Array, jax.Array]:
            total = losses.discriminator(discriminators, batch, sample).total
            return Mean(total, counts[DISCRIMINATORS]).share(), jnp.asarray(total)

        return jax.grad(loss, has_aux=True)(discriminators)

    def resting(discriminators: Params) -> tuple[Params, jax.Array]:
        return _zeros(discriminators), jnp.zeros((), jnp.float32)

    return _once_started(losses, step, started, resting, discriminators)


def generator_gradient(
    losses: AdversarialLosses, step_key: jax.Array, step: jax.Array, given: Any
) -> tuple[Params, Scalars]:
    """A microbatch's part of the generator's gradient, and of the total of each of its losses."""
    (generator, frozen, discriminators, counts), (batch, rows) = given

    def weighted(parts: Losses) -> tuple[jax.Array, Scalars]:
        shares = [
            weight * Mean(parts[name].total, counts[name]).share()
            for name, weight in losses.weights.items()
            if name in parts
        ]
        totals = {name: ZERO for name in counts if name != DISCRIMINATORS}
        totals |= {name: jnp.asarray(part.total) for name, part in parts.items()}
        return jnp.asarray(sum(shares)), totals

    def started(sample: Any) -> tuple[jax.Array, Scalars]:
        against = losses.adversarial(discriminators, batch, sample)
        return weighted({**losses.reconstruction(batch, sample), **against})

    def resting(sample: Any) -> tuple[jax.Array, Scalars]:
        return weighted(losses.reconstruction(batch, sample))

    def generate(generator: Params) -> Any:
        return losses.generate(join_params(frozen, generator), batch, rows, step_key)

    sample, pull_back = jax.vjp(generate, generator)
    of_sample, totals = _once_started(
        losses, step, jax.grad(started, has_aux=True), jax.grad(resting, has_aux=True), sample
    )
    return pull_back(of_sample)[0], totals


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
    gradients: list[Any],
    counts: Scalars,
    weights: Mapping[str, float],
    optimizer: optax.GradientTransformation,
    ema_decay: float,
) -> tuple[AdversarialState, dict]:
    """The state with both sides moved, or as it was where not all is finite; and the metrics."""
    discriminators, of_discriminators, of_generator = gradients
    generator, opt_state = _updated(
        optimizer, of_generator[0], state.params[GENERATOR], state.opt_state[GENERATOR]
    )
    after = AdversarialState(
        step=state.step,
        params={GENERATOR: generator, DISCRIMINATORS: discriminators[0]},
        ema=ema_update(state.ema, generator, state.step, ema_decay),
        opt_state={GENERATOR: opt_state, DISCRIMINATORS: discriminators[1]},
    )
    totals = {**of_generator[1], DISCRIMINATORS: of_discriminators[1]}
    parts = {name: Mean(total, counts[name]) for name, total in totals.items()}
    numbers = {
        "loss": jnp.asarray(sum(w * parts[name].share() for name, w in weights.items())),
        "gradient_norm": optax.tree.norm(of_generator[0]),
        "discriminators_norm": optax.tree.norm(of_discriminators[0]),
    }
    finite = jnp.isfinite(jnp.stack([of_discriminators[1], *numbers.values()])).all()
    after, skipped = keep_if_finite(finite, after, state)
    return after.replace(step=state.step + 1), {**parts, **numbers, "skipped": skipped}


def _no_metrics(counts: Scalars) -> dict:
    """Of the shapes of those of a step."""
    means = {name: Mean(ZERO, ZERO) for name in counts}
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
