"""How well a voice's denoiser estimates real mels at each level of noise, beside linear estimates.

For x_t at time t of real mels, each estimate's error over that of the best pointwise estimate: the
Wiener filter around the auxiliary mel that knows the spread of each bin on these very songs. 1 is
no better than looking at each bin of each frame by itself. Nothing is sampled, so that a row costs
one call of the denoiser for each level, and one can see where it has learnt nothing.

    diffsinger-jax noise-levels --voice data/voices/pjs --corpus prepared/pjs
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.diffusion.field import GaussianField, field_of_covariances
from diffsinger_jax.diffusion.path import Path
from diffsinger_jax.diffusion.places import same_places
from diffsinger_jax.diffusion.processes import PROCESSES
from diffsinger_jax.diffusion.schedule import linear_schedule
from diffsinger_jax.engine.losses import row_noise
from diffsinger_jax.engine.sharding import data_mesh
from diffsinger_jax.engine.state import Params
from diffsinger_jax.errors import InputError
from diffsinger_jax.models.acoustic import AcousticModel
from diffsinger_jax.modules.layers import masked
from diffsinger_jax.pipeline.batches import eval_batches
from diffsinger_jax.pipeline.mix import MixedCorpus
from diffsinger_jax.pipeline.plan import default_bucket_edges, make_buckets
from diffsinger_jax.tasks.acoustic.measurements import measure_residuals
from diffsinger_jax.tasks.acoustic.stage_losses import denoiser_inputs
from diffsinger_jax.types import Batch
from diffsinger_jax.voices.voice import Voice

TIMES = (0, 2, 5, 10, 20, 40, 99)
"""Of a schedule of 100 steps; of others those at the same shares of the depth, of a flow those with
as much noise as DiffSinger's schedule has there."""
SHAPES = 2
"""Buckets: compiling a shape costs more than some padding."""
BINS_ALONE, FIELD = "filter along time, each bin", "filter along time and bins"
UNTRAINED, DENOISER = "the process alone, untrained", "the denoiser"


class NoiseLevels(NamedTuple):
    """What was measured on a split.

    Attributes:
      times: of the levels.
      noise: f64[n] sigma / alpha at them, in units of z.
      rows: estimate -> f64[n] its error over the pointwise one's, the mean over bins.
      variance_ratio: of the residuals, over what the voice's prior_scale says; mean over bins.
    """

    times: np.ndarray
    noise: np.ndarray
    rows: Mapping[str, np.ndarray]
    variance_ratio: float

    def table(self) -> str:
        """As markdown: a column for each level."""
        columns = zip(self.times, self.noise, strict=True)
        lines = [
            ["t (noise over signal)", *(f"{t:.3g} ({noise:.2g})" for t, noise in columns)],
            *([name, *(f"{x:.3f}" for x in row)] for name, row in self.rows.items()),
        ]
        lines.insert(1, ["---", *("--:" for _ in self.times)])
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def measure_noise_levels(
    voice: Voice,
    corpus: MixedCorpus,
    *,
    split: str = "validation",
    times: Sequence[int] = TIMES,
    frames_per_batch: int = 4096,
) -> NoiseLevels:
    """Measures a voice's denoiser on all songs of a split, with true durations and f0.

    The linear filters are those of a `GaussianField` that is measured on the same songs: how far a
    few fixed numbers go.

    Args:
      corpus: numbered as the voice is.
      times: of a path with a depth of 100.

    Raises:
      InputError: if the voice has no auxiliary mel.
    """
    acoustic, params = voice.acoustic, dict(voice.params)
    if acoustic.model.auxiliary == "none":
        raise InputError(
            f"the voice {voice.name} has no auxiliary mel, which errors are measured around; give "
            "a voice that has one"
        )
    sums = measure_residuals(
        acoustic, params, corpus, data_mesh(), frames_per_batch=frames_per_batch, split=split
    )
    variance = np.diagonal(sums.pooled[0])
    covariances = sums.pooled[None]  # all frames are one group
    fields = {
        name: GaussianField(*map(jnp.asarray, field_of_covariances(c, np.ones(1))))
        for name, c in ((BINS_ALONE, covariances * np.eye(len(variance))), (FIELD, covariances))
    }
    levels = levels_of(acoustic.path, np.asarray(times))
    noise = np.asarray(acoustic.path.sigma(levels) / acoustic.path.alpha(levels), np.float64)
    scale = np.asarray(params["prior_scale"], np.float64)

    errors = jax.jit(functools.partial(_squared_errors, acoustic, fields, levels))
    total: dict[str, np.ndarray] = {}
    for number, batch in enumerate(_batches(corpus, split, frames_per_batch)):
        key = jax.random.fold_in(jax.random.key(0), number)
        for name, value in jax.device_get(errors(params, batch, key)).items():
            total[name] = total.get(name, 0.0) + value.astype(np.float64)  # [n, M]
    frames, power = corpus.lengths(split).frames.sum(), noise[:, None] ** 2
    pointwise = variance * power / (variance + power)
    gain = scale**2 / (scale**2 + power)
    as_scaled = (1 - gain) ** 2 * variance + gain**2 * power
    rows = {
        "pointwise, its scale measured here": np.ones(len(levels)),
        "pointwise, scale of the voice": (as_scaled / pointwise).mean(axis=1),
        **{
            name: (total[name] / frames / pointwise).mean(axis=1)
            for name in (BINS_ALONE, FIELD, UNTRAINED, DENOISER)
            if name in total
        },
    }
    return NoiseLevels(levels, noise, rows, float((variance / scale**2).mean()))


def levels_of(path: Path, times: np.ndarray) -> np.ndarray:
    """Times of a path, from the least noise on, for times of a schedule of 100 steps."""
    if path.discrete:
        return path.at_depth((np.sort(times) + 1) * path.depth / 100)
    alpha, sigma = linear_schedule(100).path.on_host(np.sort(times))
    depths = path.depth * np.linspace(0.0, 1.0, 10_001)[1:-1]
    mine_alpha, mine_sigma = path.on_host(path.at_depth(depths))
    return path.at_depth(np.interp(np.log(sigma / alpha), np.log(mine_sigma / mine_alpha), depths))


def _batches(corpus: MixedCorpus, split: str, frames_per_batch: int) -> Iterator[Batch]:
    lengths = corpus.lengths(split)
    buckets = make_buckets(
        lengths.frames,
        lengths.phonemes,
        bucket_edges=default_bucket_edges(lengths.frames, SHAPES),
        frames_per_batch=frames_per_batch,
    )
    return eval_batches(corpus, split, buckets)


def _squared_errors(
    acoustic: AcousticModel,
    fields: Mapping[str, GaussianField],
    levels: np.ndarray,
    params: Params,
    batch: Batch,
    key: jax.Array,
) -> dict[str, jax.Array]:
    """Estimate -> f32[n, M], sums over real frames of its squared error at each level."""
    cond, prior = denoiser_inputs(acoustic.model, acoustic.scaling, params, batch)
    process, z = acoustic.make_process(params), acoustic.scaling.scale(batch.mel)
    predict_x0 = acoustic.predictor(params, batch, cond, prior, np.sort(levels))
    rows = jnp.arange(len(batch.mask))

    def at(place: tuple[jax.Array, jax.Array]) -> dict[str, jax.Array]:
        level, number = place
        t = jnp.full(len(batch.mask), level)
        eps = row_noise(jax.random.fold_in(key, number), rows, z.shape[1:])
        x_t = masked(process.marginal(z, t, eps), batch.mask)
        alpha, sigma = process.path.coefficients(t)
        noisy, noise2 = x_t / alpha - prior, (sigma / alpha) ** 2
        same = same_places(prior)
        estimates = {name: prior + f.estimate(noisy, noise2, same) for name, f in fields.items()}
        if PROCESSES[acoustic.process].uses_prior:
            estimates[UNTRAINED] = process.x0(jnp.zeros_like(z), x_t, t, prior)
        estimates[DENOISER] = predict_x0(x_t, t)
        return {
            name: (masked(estimate - z, batch.mask) ** 2).sum(axis=(0, 1))
            for name, estimate in estimates.items()
        }

    return jax.lax.map(at, (jnp.asarray(levels), jnp.arange(len(levels))))
