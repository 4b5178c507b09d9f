"""What a GAN-Singer and its discriminators make small, as pure functions of a batch.

Mao et al. 2017 (least squares GAN), Kumar et al. 2019 (feature matching).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from diffsinger_jax.engine.adversarial import AdversarialLosses
from diffsinger_jax.engine.losses import Losses, row_keys
from diffsinger_jax.engine.metrics import Mean
from diffsinger_jax.engine.state import Params
from diffsinger_jax.models.diffsinger import DiffSinger
from diffsinger_jax.models.mel_discriminators import MelDiscriminators, WindowOutputs
from diffsinger_jax.models.scaling import MelScaling
from diffsinger_jax.tasks.acoustic.stage_losses import (
    AuxiliaryOutputs,
    auxiliary_losses,
    auxiliary_outputs,
)
from diffsinger_jax.types import Batch

_PLACES = 2**31 - 1
"""Folded into a step's key: where the windows lie."""


class GanSample(NamedTuple):
    """What is made and drawn for a batch; a pytree of floating arrays.

    Attributes:
      outputs: of the auxiliary model.
      places: f32[B, windows] in [0, 1), where discriminators look.
    """

    outputs: AuxiliaryOutputs
    places: jax.Array


def discriminator_loss(real: Sequence[WindowOutputs], fake: Sequence[WindowOutputs]) -> Mean:
    """(1 - D(real))^2 + D(fake)^2, the mean over the windows of all discriminators."""
    return _over_windows(
        lambda r, f: ((1 - r.outputs[-1]) ** 2 + f.outputs[-1] ** 2)[:, 0], real, fake
    )


def adversarial_loss(fake: Sequence[WindowOutputs]) -> Mean:
    """(1 - D(fake))^2, the mean over the windows of all discriminators."""
    return _over_windows(lambda f: (1 - f.outputs[-1][:, 0]) ** 2, fake)


def feature_loss(real: Sequence[WindowOutputs], fake: Sequence[WindowOutputs]) -> Mean:
    """The sum over layers of |features(real) - features(fake)|, a mean over places and windows."""

    def distance(r: WindowOutputs, f: WindowOutputs) -> jax.Array:
        pairs = zip(r.outputs[:-1], f.outputs[:-1], strict=True)
        return jnp.asarray(sum(jnp.abs(a - b).mean(axis=(1, 2, 3)) for a, b in pairs))

    return _over_windows(distance, real, fake)


def gan_singer_losses(
    model: DiffSinger,
    scaling: MelScaling,
    discriminators: MelDiscriminators,
    show: Callable[[jax.Array, jax.Array], jax.Array],
    weights: Mapping[str, float],
    *,
    starts_after: int = 0,
) -> AdversarialLosses:
    """The losses of both sides, of batches of singing.

    Args:
      model: whose auxiliary model is the generator.
      scaling: of the corpus.
      discriminators: what it learns against.
      show: what they are shown of z and f0, of `CONDITIONS`.
      weights: of the auxiliary stage's losses, "adversarial" and "features".
      starts_after: so many steps are by the auxiliary stage's losses alone.
    """

    def generate(params: Params, batch: Batch, rows: jax.Array, key: jax.Array) -> GanSample:
        outputs = auxiliary_outputs(model, params, batch, key, rows, True)
        return GanSample(outputs, window_places(key, rows, len(discriminators.windows)))

    def discriminator(params: Params, batch: Batch, sample: GanSample) -> Mean:
        return discriminator_loss(*both(params, batch, sample))

    def reconstruction(batch: Batch, sample: GanSample) -> Losses:
        return auxiliary_losses(model, scaling, batch, sample.outputs)

    def adversarial(params: Params, batch: Batch, sample: GanSample) -> Losses:
        real, fake = both(params, batch, sample)
        return {"adversarial": adversarial_loss(fake), "features": feature_loss(real, fake)}

    def both(
        params: Params, batch: Batch, sample: GanSample
    ) -> tuple[list[WindowOutputs], list[WindowOutputs]]:
        outputs = functools.partial(window_outputs, discriminators, show, params, batch)
        return outputs(scaling.scale(batch.mel), sample.places), outputs(
            sample.outputs.z, sample.places
        )

    return AdversarialLosses(
        generate, discriminator, reconstruction, adversarial, weights, starts_after
    )


def window_places(key: jax.Array, rows: jax.Array, windows: int) -> jax.Array:
    """f32[B, windows], uniform in [0, 1); a row's follow from its number."""
    keys = row_keys(jax.random.fold_in(key, _PLACES), rows)
    return jax.vmap(lambda row_key: jax.random.uniform(row_key, (windows,)))(keys)


def window_outputs(
    discriminators: MelDiscriminators,
    show: Callable[[jax.Array, jax.Array], jax.Array],
    params: Params,
    batch: Batch,
    z: jax.Array,
    places: jax.Array,
) -> list[WindowOutputs]:
    """What discriminators say of mels z [B, T, M] sung at the batch's f0."""
    frames = batch.mask.sum(axis=1)
    shown = show(z, jnp.asarray(batch.f0))
    outputs: list[WindowOutputs] = discriminators.apply(  # type: ignore[assignment]
        {"params": params}, shown, frames, places
    )
    return outputs


def _over_windows(of_rows: Callable, *outputs: Sequence[WindowOutputs]) -> Mean:
    """The mean of of_rows(outputs of a discriminator) f32[B] over the windows of all."""
    parts = [Mean.of(of_rows(*one), one[0].counted) for one in zip(*outputs, strict=True)]
    return functools.reduce(Mean.merge, parts)
