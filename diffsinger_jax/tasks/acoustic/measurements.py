"""What is measured between the stages: the law of the data around the prior, the boundary."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.diffusion.boundary import closed_form_boundary
from diffsinger_jax.diffusion.field import LAGS, field_of_covariances, lagged_covariances
from diffsinger_jax.diffusion.path import Path as NoisePath
from diffsinger_jax.diffusion.places import GROUPS, PlaceTable, frame_groups, measure_places
from diffsinger_jax.engine.hosts import broadcast, is_primary
from diffsinger_jax.engine.sharding import global_batch, replicated
from diffsinger_jax.engine.state import Params
from diffsinger_jax.engine.workdir import CHECKPOINTS
from diffsinger_jax.models.acoustic import AcousticModel
from diffsinger_jax.models.boundary_predictor import BoundaryPredictor
from diffsinger_jax.pipeline.batches import train_batches
from diffsinger_jax.pipeline.plan import BatchPlan, default_bucket_edges, make_buckets
from diffsinger_jax.pipeline.prepared import Corpus
from diffsinger_jax.tasks.acoustic.boundary_losses import mel_squares, step_margins
from diffsinger_jax.tasks.acoustic.stage_losses import residuals
from diffsinger_jax.tasks.acoustic.stages import AcousticRun
from diffsinger_jax.types import Batch

PRIOR_FRAMES = 200_000
"""How many frames the law of real mels around the auxiliary ones is measured on, at most."""
PRIOR_FILE = "prior.json"
OLD_PRIOR_FILE = "prior_scale.json"
"""Of runs that began when the spread was measured on the training split; they keep it."""
PRIOR_PARAMS = (
    "prior_scale",
    "prior_basis",
    "prior_spectrum",
    "prior_edges",
    "prior_heights",
    "prior_variance",
)
"""What is measured and not trained; all but the first of a process that uses a field."""
SHAPES = 3
"""Buckets of a measurement: compiling a shape costs more than some padding."""


class ResidualSums(NamedTuple):
    """How real mels lie around the auxiliary ones, in units of z^2.

    Attributes:
      covariances: f64[GROUPS, LAGS, M, M], see `lagged_covariances`.
      frames: f64[GROUPS], how many there are.
      table: by what places are told apart.
    """

    covariances: np.ndarray
    frames: np.ndarray
    table: PlaceTable

    @property
    def pooled(self) -> np.ndarray:
        """f64[LAGS, M, M], means over all frames."""
        return self.covariances.sum(axis=0) / self.frames.sum()


class MelError(NamedTuple):
    """How far an auxiliary model's mels are from real ones, over all of a split.

    Attributes:
      distance: mean of (z - auxiliary z)^2 over real frames and bins.
      square: mean of z^2 over the same.
    """

    distance: float
    square: float

    def boundary(self, path: NoisePath) -> int:
        """K by the closed form."""
        return closed_form_boundary(path, self.distance, self.square)


def measure_prior(run: AcousticRun, params: Params) -> dict[str, np.ndarray]:
    """The law of real mels around the auxiliary ones, as the params that begin with `prior_`.

    Measured on the validation split: around mels of songs that the auxiliary model has learnt,
    real ones lie nearer than they will in use. A corpus without validation songs is measured on
    its training split. Done once and kept beside the checkpoints of the auxiliary stage, for as
    long as these stay the same.

    Returns:
      prior_scale f32[M] in units of z; what a `GaussianFieldProcess` knows besides, if the
      process is one: see `GaussianField` and `PlaceTable`.
    """
    file = run.workdir.folder / CHECKPOINTS / PRIOR_FILE
    split = "validation" if "validation" in run.corpus.splits else "train"
    about = {
        "auxiliary_steps": run.config.auxiliary.steps,
        "start": run.config.start_from,
        "split": split,
    }
    shapes = {name: np.shape(value) for name, value in params.items() if name in PRIOR_PARAMS}
    empty = {name: np.full(shape, np.nan, np.float32) for name, shape in shapes.items()}
    known = None
    if is_primary():
        known = _known_prior(file, about, shapes) or _old_prior(file.parent, about, shapes)
    prior = broadcast(known or empty)
    if not any(np.isnan(value).any() for value in prior.values()):
        return prior
    sums = measure_residuals(
        run.acoustic,
        params,
        run.corpus,
        run.mesh,
        frames_per_batch=run.config.denoiser.frames_per_batch,
        split=split,
    )
    basis, spectrum = field_of_covariances(sums.covariances, sums.frames)
    scale = np.sqrt(np.diagonal(sums.pooled[0])).astype(np.float32)
    law = dict(
        zip(PRIOR_PARAMS, (scale, basis, spectrum, *map(np.asarray, sums.table)), strict=True)
    )
    prior = {name: law[name] for name in shapes}
    if is_primary():
        file.parent.mkdir(parents=True, exist_ok=True)
        kept = {name: value.tolist() for name, value in prior.items()}
        with atomic_write(file) as partial:
            partial.write_text(json.dumps({"about": about, **kept}) + "\n")
    return prior


def _known_prior(
    file: Path, about: dict[str, Any], shapes: dict[str, tuple[int, ...]]
) -> dict[str, np.ndarray] | None:
    if not file.exists():
        return None
    kept = json.loads(file.read_text())
    if kept.pop("about") != about or kept.keys() != shapes.keys():
        return None
    return {name: np.asarray(values, np.float32) for name, values in kept.items()}


def _old_prior(
    folder: Path, about: dict[str, Any], shapes: dict[str, tuple[int, ...]]
) -> dict[str, np.ndarray] | None:
    """Of a run that an earlier version began."""
    file = folder / OLD_PRIOR_FILE
    if (folder / PRIOR_FILE).exists() or not file.exists() or set(shapes) != {"prior_scale"}:
        return None
    kept = json.loads(file.read_text())
    scale = np.asarray(kept.pop("scale"), np.float32)
    return {"prior_scale": scale} if kept.items() <= about.items() else None


def measure_residuals(
    acoustic: AcousticModel,
    params: Params,
    corpus: Corpus,
    mesh: Mesh,
    *,
    frames_per_batch: int,
    split: str,
) -> ResidualSums:
    """The sums over a split, or over the first batches of it with some `PRIOR_FRAMES` frames."""
    of_batch = jax.jit(
        functools.partial(residuals, acoustic.model, acoustic.scaling),
        out_shardings=replicated(mesh),
    )
    plan = _plan(corpus, split, frames_per_batch)
    title = "law of real mels around the auxiliary ones"
    most = max(1, PRIOR_FRAMES // frames_per_batch)
    pieces: list[list[np.ndarray]] = []  # of each: residual, level, movement, height
    for batch in _batches(corpus, split, mesh, plan, title, most=most):
        mask, *found = jax.device_get(of_batch(params, batch))
        for real, *row in zip(mask, *found, strict=True):
            if real.any():
                pieces.append([x[real] for x in row])
    of_pieces, *features = zip(*pieces, strict=True)
    level, movement, height = map(np.concatenate, features)
    table = measure_places(of_pieces, level, movement, height)
    groups = np.asarray(frame_groups(*map(jnp.asarray, (level, movement, table.edges))))
    ends = np.cumsum([len(residual) for residual in of_pieces])
    bins = acoustic.model.mel_bins
    total = np.zeros((GROUPS, LAGS, bins, bins))
    for residual, group in zip(of_pieces, np.split(groups, ends[:-1]), strict=True):
        total += lagged_covariances(residual, group)
    frames = np.bincount(groups, minlength=GROUPS).astype(np.float64)
    return ResidualSums(total, frames, table)


def measure_error(
    acoustic: AcousticModel,
    params: Params,
    corpus: Corpus,
    mesh: Mesh,
    *,
    frames_per_batch: int,
    split: str = "train",
) -> MelError:
    """The mean squares of a whole split, exact sums over its batches in float64."""
    sums = jax.jit(
        functools.partial(mel_squares, acoustic.model, acoustic.scaling),
        out_shardings=replicated(mesh),
    )
    totals = np.zeros(3)
    plan = _plan(corpus, split, frames_per_batch)
    for batch in _batches(corpus, split, mesh, plan, "distance of the auxiliary mels"):
        totals += [np.asarray(x, np.float64).sum() for x in sums(params, batch)]
    distance, square, count = totals
    return MelError(distance / count, square / count)


def measure_margins(
    predictor: BoundaryPredictor,
    acoustic: AcousticModel,
    params: Params,
    corpus: Corpus,
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

    def of_batch(params: Params, batch: Batch, number: int) -> tuple[jax.Array, jax.Array]:
        key = jax.random.fold_in(jax.random.key(0), number)
        margins = step_margins(
            predictor, acoustic.model, acoustic.scaling, acoustic.path, params, batch, key
        )
        return margins, batch.mask.any(axis=1)

    measured = jax.jit(of_batch, out_shardings=replicated(mesh))
    plan = _plan(corpus, split, frames_per_batch)
    batches = _batches(corpus, split, mesh, plan, "margins of the boundary predictor")
    parts = []
    for number, batch in enumerate(batches):
        margins, real = jax.device_get(measured(params, batch, np.int32(number)))
        parts.append(margins[real])
        if most_mels is not None and sum(map(len, parts)) >= most_mels:
            break
    return np.concatenate(parts)[:most_mels]


def _plan(corpus: Corpus, split: str, frames_per_batch: int) -> BatchPlan:
    """Few shapes over a split."""
    lengths = corpus.lengths(split)
    buckets = make_buckets(
        lengths.frames,
        lengths.phonemes,
        bucket_edges=default_bucket_edges(lengths.frames, SHAPES),
        frames_per_batch=frames_per_batch,
    )
    return BatchPlan(lengths.frames, buckets, seed=0)


def _batches(
    corpus: Corpus,
    split: str,
    mesh: Mesh,
    plan: BatchPlan,
    title: str,
    *,
    most: int | None = None,
) -> Iterator[Batch]:
    """The batches of one epoch or the first of them, as arrays over all devices."""
    batches = train_batches(
        corpus,
        split,
        plan,
        host_index=jax.process_index(),
        host_count=jax.process_count(),
        rows_multiple=mesh.size,
    )
    count = min(most or plan.batches_per_epoch, plan.batches_per_epoch)
    for _ in tqdm(range(count), desc=title, unit="batch", disable=not is_primary()):
        yield global_batch(mesh, next(batches))
