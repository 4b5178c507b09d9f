"""What DiffGAN-TTS's denoiser and its discriminator make small, as pure functions of a batch.

The denoiser estimates x_0 of x_t; x_{t-1} is drawn from q(x_{t-1} | x_t, x_0), which is data for a
discriminator that knows real pairs (Xiao et al. 2022, denoising diffusion GANs).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from diffsinger_jax.diffusion.path import Path
from diffsinger_jax.diffusion.transitions import Pair, forward_pair, posterior_pair
from diffsinger_jax.engine.adversarial import AdversarialLosses
from diffsinger_jax.engine.losses import Losses, row_noise, spread_places
from diffsinger_jax.engine.metrics import Mean
from diffsinger_jax.engine.state import Params
from diffsinger_jax.models.acoustic import AcousticModel
from diffsinger_jax.models.joint_discriminator import JointDiscriminator, JointOutputs
from diffsinger_jax.modules.layers import masked
from diffsinger_jax.tasks.acoustic.stage_losses import denoiser_inputs
from diffsinger_jax.types import Batch

_SHARED = 2**31 - 1
"""In the place of a row's number: what all rows of a batch draw together."""
LOSSES = ("mel", "features", "adversarial")
"""Of the generator; "mel" is the mean absolute error of z."""


class DiffGanSample(NamedTuple):
    """What is made and drawn for a batch; a pytree of floating arrays.

    Attributes:
      x0: [B, T, D], the denoiser's estimate.
      real, fake: pairs (x_{t-1}, x_t).
      place: f32[B], from which t follows, see `times_of`.
    """

    x0: jax.Array
    real: Pair
    fake: Pair
    place: jax.Array


def draw_sample(
    path: Path,
    depth: int,
    data: jax.Array,
    diffused: jax.Array,
    estimate: Callable[[jax.Array, jax.Array], jax.Array],
    noise: Sequence[jax.Array],
    place: jax.Array,
) -> DiffGanSample:
    """Real pairs of the data, and those that the denoiser makes of what is diffused.

    Args:
      path: a discrete one.
      depth: K, the deepest t.
      data: [B, T, D].
      diffused: [B, T, D], of which the denoiser is shown an x_t: the data, or the auxiliary mel of
        a shallow start. What it shall find is the data in either case.
      estimate: (x_t, t) -> x_0.
      noise: three of standard normal noise [B, T, D].
      place: f32[B] in [0, 1).
    """
    t = times_of(path, depth, place)
    real = forward_pair(path, data, t, noise[0], noise[1])
    shown = forward_pair(path, diffused, t, noise[0], noise[1]).x_t
    x0 = estimate(shown, t)
    return DiffGanSample(x0, real, posterior_pair(path, x0, shown, t, noise[2]), place)


def times_of(path: Path, depth: int, place: jax.Array) -> jax.Array:
    """i32[B] times from uniform numbers, all depths as likely."""
    return path.training_times(place, depth)


def diffgan_losses(
    acoustic: AcousticModel,
    discriminator: JointDiscriminator,
    weights: Mapping[str, float],
    *,
    depth: int,
    starts_from_auxiliary: bool,
    starts_after: int = 0,
) -> AdversarialLosses:
    """The losses of both sides; all but the denoiser is frozen.

    Args:
      acoustic: the model; its process estimates x_0.
      discriminator: of pairs.
      weights: of the names in `LOSSES`; that of "features" is beside the dynamic one, see
        `dynamically_weighted`.
      depth: K, the deepest t.
      starts_from_auxiliary: whether the denoiser is shown the diffused auxiliary mel.
      starts_after: so many steps are by the mel's distance alone.
    """
    path, scaling = acoustic.path, acoustic.scaling

    def generate(params: Params, batch: Batch, rows: jax.Array, key: jax.Array) -> DiffGanSample:
        cond, prior = denoiser_inputs(acoustic.model, scaling, params, batch)
        cond, prior = jax.lax.stop_gradient((cond, prior))
        data = masked(scaling.scale(batch.mel), batch.mask)
        noise = [
            row_noise(jax.random.fold_in(key, number), rows, data.shape[1:]) for number in range(3)
        ]
        diffused = masked(prior, batch.mask) if starts_from_auxiliary else data
        estimate = acoustic.estimator(params, batch.mask, cond, prior)
        place = spread_places(jax.random.fold_in(key, _SHARED), rows)
        return draw_sample(path, depth, data, diffused, estimate, noise, place)

    def judge(params: Params, batch: Batch, sample: DiffGanSample, pair: Pair):
        step = times_of(path, depth, sample.place) - path.at_depth(1)
        given = pair, step, batch.speaker, batch.mask
        return discriminator.apply({"params": params}, *given)

    def of_discriminator(params: Params, batch: Batch, sample: DiffGanSample) -> Mean:
        (_, real), (_, fake) = (
            judge(params, batch, sample, pair) for pair in (sample.real, sample.fake)
        )
        return over_frames(lambda r, f: (1 - r) ** 2 + f**2, real, fake)

    def reconstruction(batch: Batch, sample: DiffGanSample) -> Losses:
        distance = jnp.abs(sample.x0 - scaling.scale(batch.mel))
        return {"mel": Mean.of(distance, batch.mask[..., None])}

    def adversarial(params: Params, batch: Batch, sample: DiffGanSample) -> Losses:
        (real, _), (fake, scores) = (
            judge(params, batch, sample, pair) for pair in (sample.real, sample.fake)
        )
        features = over_frames(lambda r, f: jnp.abs(r - f), real, fake)
        return {
            "adversarial": over_frames(lambda f: (1 - f) ** 2, scores),
            "features": dynamically_weighted(features, reconstruction(batch, sample)["mel"]),
        }

    return AdversarialLosses(
        generate, of_discriminator, reconstruction, adversarial, weights, starts_after
    )


def dynamically_weighted(features: Mean, reconstruction: Mean) -> Mean:
    """The feature loss times reconstruction / features, a factor without a gradient.

    Its value is then that of the reconstruction loss, and its gradient as large beside it however
    large the features are (DiffGAN-TTS, eq. 12); of a microbatch's own losses.
    """
    factor = jax.lax.stop_gradient(
        reconstruction.share() / jnp.maximum(features.share(), SMALLEST_FEATURES)
    )
    return Mean(features.total * factor, features.count)


SMALLEST_FEATURES = 1e-8
"""No feature loss is divided by less."""


def over_frames(of_values: Callable, *outputs: Sequence[JointOutputs]) -> Mean:
    """The mean over layers or heads of means over real frames and channels.

    Args:
      of_values: (values of one layer [B, T', C] of each) -> [B, T', C].
      *outputs: of as many layers each.
    """
    parts = []
    for one in zip(*outputs, strict=True):
        part = Mean.of(of_values(*(x.values for x in one)), one[0].mask[..., None])
        channels = jnp.asarray(one[0].values).shape[-1]
        # Per real frame, so that a layer counts by its frames and not by its channels.
        parts.append(Mean(part.total / channels, part.count / channels))
    return functools.reduce(Mean.merge, parts)
