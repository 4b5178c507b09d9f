"""One update of a vocoder and of those who tell its sound from recordings, as a pure function.

Mao et al. 2017 (least squares GAN), Kumar et al. 2019 (feature matching), Kong, Kim, Bae 2020.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from diffsinger_jax.models.discriminators import Discriminators, Judgement
from diffsinger_jax.models.nsf_hifigan import NsfHifigan
from diffsinger_jax.modules.spectrum import magnitudes
from diffsinger_jax.training.losses import Mean
from diffsinger_jax.training.state import Params

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
) -> tuple[AdversarialState, dict[str, Mean]]:
    """One update of both: the discriminators first, then the generator against the new ones.

    The sound is made once. The discriminators see it as data, so that their loss has no gradient
    for the generator; the generator's loss is taken with the discriminators' params held.

    Args:
      state: before.
      batch: cuts of recordings.
      key: of the run; the step's own is folded in from it.
      generator: the vocoder.
      discriminators: its judges.
      optimizers: by "generator" and "discriminators".
      views: of the mel loss.
      weights: of the generator's losses: "mel", "features", "adversarial".
      ema_decay: of the moving average; it warms up as (1 + step) / (10 + step).

    Returns:
      The state after it, and a `Mean` of each loss.
    """
    params = state.params
    step_key = jax.random.fold_in(key, state.step)

    def generate(params: Params) -> jax.Array:
        wav = generator.apply({"params": params}, batch.mel, batch.f0, step_key)
        return wav[:, : batch.wav.shape[1]]

    def judge(params: Params, wav: jax.Array) -> list[Judgement]:
        return discriminators.apply({"params": params}, wav)

    fake, to_generator = jax.vjp(generate, params["generator"])

    def judges_loss(params: Params) -> jax.Array:
        both = judge(params, jnp.concatenate([batch.wav, fake]))
        return discriminator_loss(*zip(*map(_halves, both), strict=True))

    told, gradients = jax.value_and_grad(judges_loss)(params["discriminators"])
    judges, judges_opt_state = _update(
        optimizers["discriminators"], gradients, state.opt_state, params, "discriminators"
    )

    def makers_loss(fake: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        of_fake, of_real = judge(judges, fake), judge(judges, batch.wav)
        parts = {
            "mel": mel_loss(fake, batch.wav, views),
            "features": feature_loss(of_real, of_fake),
            "adversarial": adversarial_loss(of_fake),
        }
        return sum(weights[name] * part for name, part in parts.items()), parts

    (total, parts), of_sound = jax.value_and_grad(makers_loss, has_aux=True)(fake)
    (gradients,) = to_generator(of_sound)
    maker, maker_opt_state = _update(
        optimizers["generator"], gradients, state.opt_state, params, "generator"
    )

    decay = jnp.minimum(ema_decay, (1.0 + state.step) / (10.0 + state.step))
    after = AdversarialState(
        step=state.step + 1,
        params={"generator": maker, "discriminators": judges},
        ema=jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, state.ema, maker),
        opt_state={"generator": maker_opt_state, "discriminators": judges_opt_state},
    )
    rows = jnp.float32(len(batch.wav))
    losses = {**parts, "discriminators": told, "loss": total}
    return after, {name: Mean(value * rows, rows) for name, value in losses.items()}


def _halves(judgement: Judgement) -> tuple[Judgement, Judgement]:
    """Of the first and the second half of the rows."""
    pairs = [jnp.split(features, 2) for features in judgement]
    return [first for first, _ in pairs], [second for _, second in pairs]


def _update(optimizer, gradients, opt_state, params, name):
    updates, opt_state = optimizer.update(gradients, opt_state[name], params[name])
    return optax.apply_updates(params[name], updates), opt_state
