"""One update of a vocoder and of those who tell its sound from recordings, as a pure function.

Mao et al. 2017 (least squares GAN), Kumar et al. 2019 (feature matching), Kong, Kim, Bae 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from diffsinger_jax.engine.metrics import Mean
from diffsinger_jax.engine.state import Params
from diffsinger_jax.engine.supervised import (
    CompileIsolation,
    MicrobatchReduction,
    compile_inline,
    ema_update,
    keep_if_finite,
    single_microbatch,
)
from diffsinger_jax.models.discriminators import Discriminators, Judgement
from diffsinger_jax.models.nsf_hifigan import NsfHifigan
from diffsinger_jax.modules.spectrum import magnitudes

LOSSES = ("mel", "features", "adversarial")
"""Of the generator."""
LOG_FLOOR = 1e-5
"""Of the mels that are compared."""


class Segments(NamedTuple):
    """Cuts of recordings; a pytree.

    Attributes:
      wav: f32[B, T * hop].
      mel: f32[B, T, M] log amplitude.
      f0: f32[B, T] Hz, 0 unvoiced.
    """

    wav: jax.Array
    mel: jax.Array
    f0: jax.Array


class MelView(NamedTuple):
    """One resolution at which mels are compared.

    Attributes:
      n_fft: of the transform; a quarter of it is the hop.
      filterbank: f32[bins, 1 + n_fft // 2].
    """

    n_fft: int
    filterbank: jax.Array


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
        ema=jax.tree.map(jnp.copy, params["generator"]),
        opt_state={name: one.init(params[name]) for name, one in optimizers.items()},
    )


def discriminator_loss(real: Sequence[Judgement], fake: Sequence[Judgement]) -> jax.Array:
    """Mean over the discriminators of E[(1 - D(real))^2] + E[D(fake)^2]."""
    losses = [
        jnp.mean((1 - r[-1]) ** 2) + jnp.mean(f[-1] ** 2) for r, f in zip(real, fake, strict=True)
    ]
    return sum(losses) / len(losses)


def adversarial_loss(fake: Sequence[Judgement]) -> jax.Array:
    """Mean over the discriminators of E[(1 - D(fake))^2]."""
    return sum(jnp.mean((1 - one[-1]) ** 2) for one in fake) / len(fake)


def feature_loss(real: Sequence[Judgement], fake: Sequence[Judgement]) -> jax.Array:
    """Mean over the discriminators of the sum over layers of E|features(real) - features(fake)|."""
    distances = [
        sum(jnp.mean(jnp.abs(a - b)) for a, b in zip(r[:-1], f[:-1], strict=True))
        for r, f in zip(real, fake, strict=True)
    ]
    return sum(distances) / len(distances)


def mel_loss(wav: jax.Array, true_wav: jax.Array, views: Sequence[MelView]) -> jax.Array:
    """Mean over the resolutions of E|ln mel(wav) - ln mel(true_wav)|.

    Args:
      wav, true_wav: f32[B, L].
      views: the resolutions.
    """

    def log_mel(x: jax.Array, view: MelView) -> jax.Array:
        mel = magnitudes(x, n_fft=view.n_fft, hop=view.n_fft // 4) @ view.filterbank.T
        return jnp.log(jnp.maximum(mel, LOG_FLOOR))

    distances = [jnp.mean(jnp.abs(log_mel(wav, v) - log_mel(true_wav, v))) for v in views]
    return sum(distances) / len(distances)


def adversarial_step(
    state: AdversarialState,
    batch: Segments,
    key: jax.Array,
    *,
    generator: NsfHifigan,
    discriminators: Discriminators,
    optimizers: Mapping[str, optax.GradientTransformation],
    views: Sequence[MelView],
    weights: Mapping[str, float],
    ema_decay: float,
    judged_after: int = 0,
    microbatch_sum: MicrobatchReduction = single_microbatch,
    isolate: CompileIsolation = compile_inline,
) -> tuple[AdversarialState, dict]:
    """One update of both: the discriminators first, then the generator against the new ones.

    The discriminators see the sound as data, so that their loss has no gradient for the generator;
    the generator's loss is taken with the discriminators' params held. If a loss or a gradient of
    either is not finite, neither moves; `step` counts on.

    All losses are means over rows that are equally long, so the mean over the batch is the mean of
    those over equal groups of rows; the draws of a row follow from its number alone.

    Args:
      state: before.
      batch: cuts of recordings.
      key: of the run; the step's own is folded in from it.
      generator: the vocoder.
      discriminators: its judges.
      optimizers: by "generator" and "discriminators".
      views: of the mel loss.
      weights: of the generator's losses: "mel", "features", "adversarial".
      ema_decay: see `ema_update`.
      judged_after: so many steps are by the mel loss alone; the discriminators rest.
      microbatch_sum: how the batch is computed.
      isolate: how the gradients of a group, and the updates after them, are compiled.

    Returns:
      The state after it, and metrics: a `Mean` of each loss, "loss", "gradient_norm" (the
      generator's), "discriminators_norm" and "skipped", 1 where the update was left out.
    """
    step_key, count = jax.random.fold_in(key, state.step), len(batch.wav)
    by_rows = (batch, jnp.arange(count))
    makers, judges = state.params["generator"], state.params["discriminators"]

    def generate(params: Params, batch: Segments, rows: jax.Array, step_key: jax.Array):
        def row(mel: jax.Array, f0: jax.Array, number: jax.Array) -> jax.Array:
            key = jax.random.fold_in(step_key, number)
            return generator.apply({"params": params}, mel[None], f0[None], key)[0]

        return jax.vmap(row)(batch.mel, batch.f0, rows)[:, : batch.wav.shape[1]]

    def judge(params: Params, wav: jax.Array) -> list[Judgement]:
        return discriminators.apply({"params": params}, wav)

    def if_judged(number: jax.Array, judged: Callable, alike: Callable, *given: Any) -> Any:
        if not judged_after:
            return judged(*given)
        return jax.lax.cond(number >= judged_after, judged, alike, *given)

    # 1. The discriminators' gradient, and their update.
    def judges_gradient(fixed: Any, group: Any) -> tuple[Params, jax.Array]:
        params, step_key, number = fixed

        def gradient(_: Any, given: Any) -> tuple[Params, jax.Array]:
            (maker, judges), (batch, rows) = given

            def judged(judges: Params) -> tuple[Params, jax.Array]:
                fake = jax.lax.stop_gradient(generate(maker, batch, rows, step_key))

                def loss(judges: Params) -> jax.Array:
                    both = judge(judges, jnp.concatenate([batch.wav, fake]))
                    told = discriminator_loss(*zip(*map(_halves, both), strict=True))
                    return told * (len(rows) / count)

                told, gradients = jax.value_and_grad(loss)(judges)
                return gradients, told

            return if_judged(number, judged, _nothing, judges)

        return isolate(gradient, _nothing(params[1]), (params, group), number)

    fixed = ((makers, judges), step_key, state.step)
    judges_gradients, told = microbatch_sum(judges_gradient, fixed, by_rows)

    def judges_moved(before: Any, given: Any) -> Any:
        judges = optimizers["discriminators"]
        return if_judged(state.step, lambda: _updated(judges, given, *before), lambda: before)

    before = (judges, state.opt_state["discriminators"])
    judges_after = isolate(judges_moved, before, judges_gradients, state.step)

    # 2. The generator's gradient against them, and its update.
    def maker_gradient(fixed: Any, group: Any) -> tuple[Params, dict]:
        params, step_key, number = fixed

        def gradient(_: Any, given: Any) -> tuple[Params, dict]:
            (maker, judges), (batch, rows) = given
            share = len(rows) / count

            def total(parts: dict) -> tuple[jax.Array, dict]:
                parts = {name: share * part for name, part in parts.items()}
                return sum(weights[name] * part for name, part in parts.items()), parts

            def judged(fake: jax.Array) -> tuple[jax.Array, dict]:
                of_fake, of_real = judge(judges, fake), judge(judges, batch.wav)
                return total(
                    {
                        "mel": mel_loss(fake, batch.wav, views),
                        "features": feature_loss(of_real, of_fake),
                        "adversarial": adversarial_loss(of_fake),
                    }
                )

            def alike(fake: jax.Array) -> tuple[jax.Array, dict]:
                mel = mel_loss(fake, batch.wav, views)
                return total({"mel": mel, "features": _ZERO, "adversarial": _ZERO})

            fake, to_maker = jax.vjp(lambda maker: generate(maker, batch, rows, step_key), maker)
            of_sound, parts = if_judged(
                number, jax.grad(judged, has_aux=True), jax.grad(alike, has_aux=True), fake
            )
            return to_maker(of_sound)[0], parts

        empty = (jax.tree.map(jnp.zeros_like, params[0]), dict.fromkeys(LOSSES, _ZERO))
        return isolate(gradient, empty, (params, group), number)

    fixed = ((makers, judges_after[0]), step_key, state.step)
    gradients, parts = microbatch_sum(maker_gradient, fixed, by_rows)

    def updated(before: Any, given: Any) -> tuple[AdversarialState, dict]:
        (state, _), (judges_after, judges_gradients, told, gradients, parts) = before, given
        maker, opt_state = _updated(
            optimizers["generator"],
            gradients,
            state.params["generator"],
            state.opt_state["generator"],
        )
        after = AdversarialState(
            step=state.step,
            params={"generator": maker, "discriminators": judges_after[0]},
            ema=ema_update(state.ema, maker, state.step, ema_decay),
            opt_state={"generator": opt_state, "discriminators": judges_after[1]},
        )
        numbers = {
            "loss": sum(weights[name] * part for name, part in parts.items()),
            "gradient_norm": optax.tree.norm(gradients),
            "discriminators_norm": optax.tree.norm(judges_gradients),
        }
        finite = jnp.isfinite(jnp.stack([told, *numbers.values()])).all()
        after, skipped = keep_if_finite(finite, after, state)
        rows = jnp.float32(count)
        means = {k: Mean(v * rows, rows) for k, v in {**parts, "discriminators": told}.items()}
        return after.replace(step=state.step + 1), {**means, **numbers, "skipped": skipped}

    empty = {name: Mean(_ZERO, _ZERO) for name in (*LOSSES, "discriminators")}
    empty |= dict.fromkeys(("loss", "gradient_norm", "discriminators_norm", "skipped"), _ZERO)
    given = (judges_after, judges_gradients, told, gradients, parts)
    return isolate(updated, (state, empty), given, state.step)


_ZERO = np.float32(0.0)


def _nothing(params: Params) -> tuple[Params, jax.Array]:
    """A gradient of zeros, and a loss of zero."""
    return jax.tree.map(jnp.zeros_like, params), jnp.zeros((), jnp.float32)


def _halves(judgement: Judgement) -> tuple[Judgement, Judgement]:
    """Of the first and the second half of the rows."""
    pairs = [jnp.split(features, 2) for features in judgement]
    return [first for first, _ in pairs], [second for _, second in pairs]


def _updated(optimizer, gradients, params, opt_state):
    updates, opt_state = optimizer.update(gradients, opt_state, params)
    return optax.apply_updates(params, updates), opt_state
