"""What is measured on the training split between the stages: the prior's spread, the boundary."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from diffsinger_jax.diffusion.boundary import closed_form_boundary
from diffsinger_jax.diffusion.schedule import NoiseSchedule
from diffsinger_jax.models.acoustic import AcousticModel
from diffsinger_jax.models.boundary_predictor import BoundaryPredictor
from diffsinger_jax.pipeline.batches import train_batches
from diffsinger_jax.pipeline.plan import BatchPlan, default_bucket_edges, make_buckets
from diffsinger_jax.pipeline.prepared import PreparedCorpus
from diffsinger_jax.training.boundary_steps import mel_squares, step_margins
from diffsinger_jax.training.sharding import global_batch, on_each
from diffsinger_jax.training.stages import Setting, make_plan
from diffsinger_jax.training.state import Params
from diffsinger_jax.training.steps import residual_squares
from diffsinger_jax.types import Batch

PRIOR_BATCHES = 64
"""How many training batches the spread around the blurry mel is measured on, at most."""
SHAPES = 3
"""Buckets of a measurement: compiling a shape costs more than some padding."""


class MelError(NamedTuple):
    """How far an auxiliary model's mels are from real ones, over all of a split.

    Attributes:
      distance: mean of (z - blurry z)^2 over real frames and bins.
      square: mean of z^2 over the same.
    """

    distance: float
    square: float

    def boundary(self, schedule: NoiseSchedule) -> int:
        """K by the closed form."""
        return closed_form_boundary(schedule, self.distance, self.square)


def measure_prior(setting: Setting, params: Params) -> jax.Array:
    """Spread of the training split's mels around the blurry ones, f32[M] in units of z."""
    plan, _ = make_plan(setting, setting.config.denoiser.frames_per_batch)
    sums = jax.jit(
        functools.partial(residual_squares, setting.acoustic.model, setting.acoustic.scaling)
    )
    batches: Iterator[Any] = train_batches(
        setting.corpus,
        "train",
        plan,
        host_index=jax.process_index(),
        host_count=jax.process_count(),
    )
    total, count = 0.0, 0.0
    for _ in tqdm(
        range(min(PRIOR_BATCHES, plan.batches_per_epoch)), desc="spread around the blurry mel"
    ):
        squares, frames = sums(params, global_batch(setting.mesh, next(batches)))
        total, count = total + squares, count + frames
    return jnp.sqrt(total / count)


def measure_error(
    acoustic: AcousticModel,
    params: Params,
    corpus: PreparedCorpus,
    mesh: Mesh,
    *,
    frames_per_batch: int,
    split: str = "train",
) -> MelError:
    """The mean squares of a whole split, exact sums over its batches in float64."""
    sums = jax.jit(
        functools.partial(mel_squares, acoustic.model, acoustic.scaling),
        out_shardings=on_each(mesh),
    )
    totals = np.zeros(3)
    for batch in _batches(corpus, split, mesh, frames_per_batch, "distance of the blurry mels"):
        totals += [np.asarray(x, np.float64).sum() for x in sums(params, batch)]
    distance, square, count = totals
    return MelError(distance / count, square / count)


def measure_margins(
    predictor: BoundaryPredictor,
    acoustic: AcousticModel,
    params: Params,
    corpus: PreparedCorpus,
    mesh: Mesh,
    *,
    frames_per_batch: int,
    split: str = "train",
    most_mels: int | None = None,
) -> np.ndarray:
    """The boundary predictor's margin on the mels of a split at every step.

    Args:
      most_mels: a sample of so many, where all of them would take too long.

    Returns:
      f32[n, S] in [0, 1].
    """
    schedule = acoustic.make_process(params["prior_scale"]).schedule

    def of_batch(params: Params, batch: Batch, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        margins = step_margins(
            predictor, acoustic.model, acoustic.scaling, schedule, params, batch, key
        )
        return margins, batch.mask.any(axis=1)

    measured = jax.jit(of_batch, out_shardings=on_each(mesh))
    batches = _batches(corpus, split, mesh, frames_per_batch, "margins of the boundary predictor")
    parts = []
    for number, batch in enumerate(batches):
        key = jax.random.fold_in(jax.random.key(0), number)
        margins, real = jax.device_get(measured(params, batch, key))
        parts.append(margins[real])
        if most_mels is not None and sum(map(len, parts)) >= most_mels:
            break
    return np.concatenate(parts)[:most_mels]


def _batches(
    corpus: PreparedCorpus, split: str, mesh: Mesh, frames_per_batch: int, title: str
) -> Iterator[Batch]:
    """Every example of a split once, in shuffled batches, as global arrays."""
    lengths = corpus.lengths(split)
    buckets = make_buckets(
        lengths.frames,
        lengths.phonemes,
        bucket_edges=default_bucket_edges(lengths.frames, SHAPES),
        frames_per_batch=frames_per_batch,
        device_count=jax.device_count(),
    )
    plan = BatchPlan(lengths.frames, buckets, seed=0)
    batches = train_batches(
        corpus, split, plan, host_index=jax.process_index(), host_count=jax.process_count()
    )
    for _ in tqdm(range(plan.batches_per_epoch), desc=title, unit="batch"):
        yield global_batch(mesh, next(batches))
