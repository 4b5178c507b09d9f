"""What a vocoder and its discriminators make small, as pure functions.

Mao et al. 2017 (least squares GAN), Kumar et al. 2019 (feature matching), Kong, Kim, Bae 2020.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from diffsinger_jax.engine.adversarial import AdversarialLosses
from diffsinger_jax.engine.losses import Losses
from diffsinger_jax.engine.metrics import Mean
from diffsinger_jax.engine.state import Params
from diffsinger_jax.models.discriminators import DiscriminatorOutputs, Discriminators
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


def discriminator_loss(
    real: Sequence[DiscriminatorOutputs], fake: Sequence[DiscriminatorOutputs]
) -> jax.Array:
    """Mean over the discriminators of E[(1 - D(real))^2] + E[D(fake)^2]."""
    losses = [
        jnp.mean((1 - r[-1]) ** 2) + jnp.mean(f[-1] ** 2) for r, f in zip(real, fake, strict=True)
    ]
    return jnp.asarray(sum(losses)) / len(losses)


def adversarial_loss(fake: Sequence[DiscriminatorOutputs]) -> jax.Array:
    """Mean over the discriminators of E[(1 - D(fake))^2]."""
    return jnp.asarray(sum(jnp.mean((1 - one[-1]) ** 2) for one in fake)) / len(fake)


def feature_loss(
    real: Sequence[DiscriminatorOutputs], fake: Sequence[DiscriminatorOutputs]
) -> jax.Array:
    """Mean over the discriminators of the sum over layers of E|features(real) - features(fake)|."""
    distances = [
        sum(jnp.mean(jnp.abs(a - b)) for a, b in zip(r[:-1], f[:-1], strict=True))
        for r, f in zip(real, fake, strict=True)
    ]
    return jnp.asarray(sum(distances)) / len(distances)


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
    return jnp.asarray(sum(distances)) / len(distances)


def vocoder_losses(
    generator: NsfHifigan,
    discriminators: Discriminators,
    views: Sequence[MelView],
    weights: Mapping[str, float],
    *,
    starts_after: int = 0,
) -> AdversarialLosses:
    """The losses of both sides, of batches of `Segments`.

    Args:
      generator: the vocoder.
      discriminators: what it learns against.
      views: of the mel loss.
      weights: of the generator's losses: "mel", "features", "adversarial".
      starts_after: so many steps are by the mel loss alone.
    """

    def generate(params: Params, batch: Segments, rows: jax.Array, key: jax.Array) -> jax.Array:
        def row(mel: jax.Array, f0: jax.Array, number: jax.Array) -> jax.Array:
            row_key = jax.random.fold_in(key, number)
            return generator.apply({"params": params}, mel[None], f0[None], row_key)[0]

        return jax.vmap(row)(batch.mel, batch.f0, rows)[:, : batch.wav.shape[1]]

    def outputs(params: Params, wav: jax.Array) -> Any:
        return discriminators.apply({"params": params}, wav)

    def discriminator(params: Params, batch: Segments, wav: jax.Array) -> Mean:
        both = outputs(params, jnp.concatenate([batch.wav, wav]))
        return Mean.over(discriminator_loss(*zip(*map(_halves, both), strict=True)), len(wav))

    def reconstruction(batch: Segments, wav: jax.Array) -> Losses:
        return {"mel": Mean.over(mel_loss(wav, batch.wav, views), len(wav))}

    def adversarial(params: Params, batch: Segments, wav: jax.Array) -> Losses:
        fake, real = outputs(params, wav), outputs(params, batch.wav)
        losses = {"features": feature_loss(real, fake), "adversarial": adversarial_loss(fake)}
        return {name: Mean.over(loss, len(wav)) for name, loss in losses.items()}

    return AdversarialLosses(
        generate, discriminator, reconstruction, adversarial, weights, starts_after
    )


def _halves(outputs: DiscriminatorOutputs) -> tuple[DiscriminatorOutputs, DiscriminatorOutputs]:
    """Of the first and the second half of the rows."""
    pairs = [jnp.split(features, 2) for features in outputs]
    return [first for first, _ in pairs], [second for _, second in pairs]
