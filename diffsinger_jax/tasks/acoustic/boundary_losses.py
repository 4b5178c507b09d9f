"""What is asked of real and auxiliary mels under diffusion, as pure functions of a batch."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from diffsinger_jax.diffusion.path import Path
from diffsinger_jax.engine.losses import Losses, LossFn, row_noise, spread_places
from diffsinger_jax.engine.metrics import Mean
from diffsinger_jax.engine.state import Params
from diffsinger_jax.models.boundary_predictor import BoundaryPredictor
from diffsinger_jax.models.diffsinger import DiffSinger
from diffsinger_jax.models.scaling import MelScaling
from diffsinger_jax.tasks.acoustic.stage_losses import denoiser_inputs
from diffsinger_jax.types import Batch

BOUNDARY_PARAMS = ("boundary",)
"""What the stage trains: the predictor beside the acoustic model's params, no part of a voice."""


class Squares(NamedTuple):
    """Sums over the real frames and all bins of each row, f32[B] each, of scaled mels.

    Attributes:
      distance: (z - auxiliary z)^2.
      square: z^2.
      elements: 1, their number.
    """

    distance: jax.Array
    square: jax.Array
    elements: jax.Array


def boundary_loss(
    predictor: BoundaryPredictor, model: DiffSinger, scaling: MelScaling, path: Path
) -> LossFn:
    """L = -E[log BP(M_t, t) + log(1 - BP(M~_t, t))], M~ from the frozen auxiliary model.

    Args:
      predictor: its params are `params["boundary"]`.
      model: the acoustic model.
      scaling: of the corpus.
      path: times are drawn from all of it.
    """

    def parts(params: Params, batch: Batch, key: jax.Array, rows: jax.Array, train: bool) -> Losses:
        t_key, real_key, auxiliary_key = (jax.random.fold_in(key, number) for number in range(3))
        _, auxiliary = denoiser_inputs(model, scaling, params, batch)
        real, auxiliary = scaling.scale(batch.mel), jax.lax.stop_gradient(auxiliary)
        t = path.training_times(spread_places(t_key, rows), path.depth)

        def logits(z, noise_key):
            x_t = path.marginal(z, t, row_noise(noise_key, rows, z.shape[1:]))
            return predictor.apply({"params": params["boundary"]}, x_t, t, batch.mask)

        of_real, of_auxiliary = logits(real, real_key), logits(auxiliary, auxiliary_key)
        sung = batch.mask.any(axis=1)
        entropy = jax.nn.softplus(-of_real) + jax.nn.softplus(of_auxiliary)
        right = ((of_real > 0).astype(jnp.float32) + (of_auxiliary < 0)) / 2
        return {"boundary": Mean.of(entropy, sung), "boundary_right": Mean.of(right, sung)}

    return LossFn(parts, {"boundary": 1.0})


def step_margins(
    predictor: BoundaryPredictor,
    model: DiffSinger,
    scaling: MelScaling,
    path: Path,
    params: Params,
    batch: Batch,
    key: jax.Array,
) -> jax.Array:
    """|BP(M_t, t) - BP(M~_t, t)| of every row on the path's grid, f32[B, S], in [0, 1].

    Both mels get the same draw of the noise, so that what is compared is mels, not draws.
    """
    _, auxiliary = denoiser_inputs(model, scaling, params, batch)
    real = scaling.scale(batch.mel)

    def at(t):
        eps = jax.random.normal(jax.random.fold_in(key, t), real.shape)
        times = jnp.full(real.shape[:1], t)

        def probability(z):
            x_t = path.marginal(z, times, eps)
            logits: Any = predictor.apply({"params": params["boundary"]}, x_t, times, batch.mask)
            return jax.nn.sigmoid(logits)

        return jnp.abs(probability(real) - probability(auxiliary))

    return jax.lax.map(at, jnp.asarray(path.grid())).T


def mel_squares(model: DiffSinger, scaling: MelScaling, params: Params, batch: Batch) -> Squares:
    """How far the auxiliary mels are from the real ones, and from zero; see `Squares`."""
    _, auxiliary = denoiser_inputs(model, scaling, params, batch)
    real, mask = scaling.scale(batch.mel), batch.mask[..., None]

    def total(x):
        return jnp.where(mask, x, 0.0).sum(axis=(1, 2))

    return Squares(total((real - auxiliary) ** 2), total(real**2), total(jnp.ones_like(real)))
