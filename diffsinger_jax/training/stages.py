"""The stages of a training, and how one of them is trained to its end.

A stage starts from its own last checkpoint in the workdir, else from the params it is given.
`step` alone says which batch comes next and which random key it gets, so a run that was cut off
goes on as if it had not been.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from diffsinger_jax.errors import InputError
from diffsinger_jax.models.acoustic import AcousticModel
from diffsinger_jax.models.boundary_predictor import BoundaryPredictor
from diffsinger_jax.models.diffsinger import AUXILIARY_PARAMS
from diffsinger_jax.pipeline.batches import train_batches
from diffsinger_jax.pipeline.mix import MixedCorpus
from diffsinger_jax.pipeline.plan import BatchPlan, Bucket, default_bucket_edges, make_buckets
from diffsinger_jax.training.boundary_steps import BOUNDARY_PARAMS, boundary_loss
from diffsinger_jax.training.checkpoint import Checkpoints
from diffsinger_jax.training.optimizers import make_learning_rate, make_optimizer
from diffsinger_jax.training.progress import Progress
from diffsinger_jax.training.sharding import by_rows, global_batch, on_each
from diffsinger_jax.training.start import frozen_paths
from diffsinger_jax.training.state import Params, create_state, join_params, split_params
from diffsinger_jax.training.steps import LossFn, auxiliary_loss, denoiser_loss, train_step
from diffsinger_jax.training.validation import AUXILIARY, DIFFUSION, Validator
from diffsinger_jax.training.writer import Writer

DENOISER_PARAMS = ("denoiser",)
"""What stage 2 trains."""


class Stage(NamedTuple):
    """One part of the training.

    Attributes:
      name: of its section in the config and its folder of checkpoints.
      trained: top-level names of the params it trains.
      loss_fn: what it makes small.
      shown: mels that its evaluations draw and sound beside the recordings.
    """

    name: str
    trained: tuple[str, ...]
    loss_fn: LossFn
    shown: tuple[str, ...] = ()


class Setting(NamedTuple):
    """What the stages of one run share."""

    config: ConfigDict
    workdir: Path
    corpus: MixedCorpus
    mesh: Mesh
    acoustic: AcousticModel


def auxiliary_stage(setting: Setting) -> Stage:
    """Stage 1."""
    weights = setting.config.auxiliary.weights.to_dict()
    loss_fn = auxiliary_loss(setting.acoustic.model, setting.acoustic.scaling, weights)
    return Stage("auxiliary", AUXILIARY_PARAMS, loss_fn, shown=(AUXILIARY,))


def boundary_stage(setting: Setting, params: Params) -> tuple[Stage, Params]:
    """Between the two: the boundary predictor, and `params` with its own to start from."""
    acoustic, predictor = setting.acoustic, boundary_predictor(setting.config)
    schedule = acoustic.make_process(params["prior_scale"]).schedule
    loss_fn = boundary_loss(predictor, acoustic.model, acoustic.scaling, schedule)
    key = jax.random.fold_in(jax.random.key(setting.config.seed), hash_name("predictor"))
    z, t = jnp.zeros((1, 1, acoustic.model.mel_bins)), jnp.zeros(1, jnp.int32)
    start = jax.jit(predictor.init)(key, z, t, jnp.ones((1, 1), bool))["params"]
    return Stage("boundary", BOUNDARY_PARAMS, loss_fn), {**params, "boundary": start}


def boundary_predictor(config: ConfigDict) -> BoundaryPredictor:
    """The predictor of a config's `boundary` section."""
    return BoundaryPredictor(channels=config.boundary.channels, layers=config.boundary.layers)


def denoiser_stage(setting: Setting) -> Stage:
    """Stage 2."""
    loss_fn = denoiser_loss(
        setting.acoustic.model,
        setting.acoustic.scaling,
        setting.acoustic.make_process,
        t_below=setting.config.denoiser.t_below,
        distance=setting.config.denoiser.distance,
    )
    return Stage("denoiser", DENOISER_PARAMS, loss_fn, shown=(AUXILIARY, DIFFUSION))


def run_stage(setting: Setting, stage: Stage, params: Params) -> Params:
    """Trains one stage to its end, from its last checkpoint if there is one.

    Args:
      setting: of the run.
      stage: what is trained.
      params: all of the model's; those that the stage trains are its start.

    Returns:
      All params, the trained ones averaged.
    """
    config, settings = setting.config, setting.config[stage.name]
    learning_rate = make_learning_rate(settings.learning_rate.to_dict())
    optimizer = make_optimizer(
        learning_rate,
        betas=tuple(settings.betas),
        weight_decay=settings.weight_decay,
        clip_norm=settings.clip_norm,
    )
    trained, frozen = split_params(params, stage.trained, frozen_paths(config))
    frozen = jax.device_put(frozen, on_each(setting.mesh))
    state = jax.device_put(create_state(trained, optimizer), on_each(setting.mesh))

    checkpoints = Checkpoints(
        setting.workdir / "checkpoints" / stage.name, keep=config.keep_checkpoints
    )
    if checkpoints.latest() is not None:
        state = checkpoints.restore(state)
    start = int(state.step)
    if start >= settings.steps:
        checkpoints.close()
        return join_params(frozen, state.ema)

    plan, buckets = make_plan(setting, settings.frames_per_batch)
    update = jax.jit(
        functools.partial(
            train_step,
            loss_fn=stage.loss_fn,
            optimizer=optimizer,
            ema_decay=config.ema_decay,
        ),
        in_shardings=(on_each(setting.mesh), on_each(setting.mesh), by_rows(setting.mesh), None),
        donate_argnums=0,
    )
    validator = Validator(
        setting.corpus,
        setting.acoustic,
        stage.loss_fn,
        config.sampling,
        setting.workdir / "pictures",
        buckets,
        stage=stage.name,
        shown=stage.shown,
        songs_shown=config.songs_shown,
    )
    writer = Writer(setting.workdir, stage.name, start_step=start)
    key = jax.random.fold_in(jax.random.key(config.seed), hash_name(stage.name))

    shapes = ", ".join(f"{b.rows} x {b.frames}" for b in buckets)
    print(f"stage {stage.name}: steps {start} to {settings.steps}, batches of {shapes} frames")
    progress = Progress(stage.name, start, settings.steps)
    batches = train_batches(
        setting.corpus,
        "train",
        plan,
        start_step=start,
        host_index=jax.process_index(),
        host_count=jax.process_count(),
        read_threads=config.read_threads,
    )
    for step in range(start + 1, settings.steps + 1):
        batch = next(batches)
        state, metrics = update(state, frozen, global_batch(setting.mesh, batch), key)
        progress.add(metrics, frames=int(batch.mask.sum()))

        last = step == settings.steps
        if step % config.log_every_steps == 0 or last:
            numbers = progress.flush()
            writer.numbers(step, {**numbers, "learning_rate": learning_rate(step - 1)})
        if step % config.save_every_steps == 0 or last:
            checkpoints.save(step, state)
        if step % config.evaluate_every_steps == 0 or last:
            validator.run(step, join_params(frozen, state.ema), writer)
            progress.restart_clock()
    progress.close()
    writer.close()
    checkpoints.close()
    return join_params(frozen, state.ema)


def steps_done(setting: Setting, name: str) -> int:
    """Of a stage, by its last checkpoint; 0 where there is none."""
    folder = setting.workdir / "checkpoints" / name
    if not folder.is_dir():
        return 0
    checkpoints = Checkpoints(folder, keep=setting.config.keep_checkpoints)
    done = checkpoints.latest() or 0
    checkpoints.close()
    return done


def require_finished(setting: Setting, name: str) -> None:
    """Refuses to build on a stage that is not at its end.

    Raises:
      InputError: saying where the stage stands.
    """
    done, wanted = steps_done(setting, name), setting.config[name].steps
    if done < wanted:
        raise InputError(
            f"the stage {name} in {setting.workdir} stands at step {done} of {wanted}; "
            f"finish it first, with run_train.py --stage={name}"
        )


def make_plan(setting: Setting, frames_per_batch: int) -> tuple[BatchPlan, tuple[Bucket, ...]]:
    """The batches of the training split; the shapes take the validation split's examples too."""
    splits = [s for s in ("train", "validation") if s in setting.corpus.splits]
    if "train" not in splits:
        raise InputError(f"the corpus {setting.corpus.path} has no examples to train on")
    lengths = [setting.corpus.lengths(split) for split in splits]
    frames = np.concatenate([one.frames for one in lengths])
    edges = setting.config.get("bucket_edges", ())
    edges = edges or default_bucket_edges(frames, setting.config.buckets)
    buckets = make_buckets(
        frames,
        np.concatenate([one.phonemes for one in lengths]),
        bucket_edges=edges,
        frames_per_batch=frames_per_batch,
        device_count=jax.device_count(),
        names=[name for one in lengths for name in one.names],
    )
    shares = setting.corpus.shares("train")
    plan = BatchPlan(lengths[0].frames, buckets, seed=setting.config.seed, shares=shares)
    return plan, buckets


def hash_name(name: str) -> int:
    """A number for `fold_in`, the same in every run (Python's own hash is not)."""
    return int.from_bytes(name.encode()[:4], "little") & 0x7FFFFFFF
