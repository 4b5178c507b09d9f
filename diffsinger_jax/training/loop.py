"""The training program: stage 1, the blurry mel and the predictors; stage 2, the denoiser.

    open the corpus -> batch plan -> model -> for each stage: restore or start,
    [read a batch -> one update -> log -> save -> evaluate] ... -> write the voice

Where a stage starts: its own last checkpoint in the workdir, else the averaged params of the
stage before it, else random ones. `step` alone says which batch comes next and which random
key it gets, so a run that was cut off goes on as if it had not been.
"""

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
from ml_collections import ConfigDict
from tqdm import tqdm

from diffsinger_jax.errors import InputError
from diffsinger_jax.models.acoustic import AcousticModel, acoustic_model
from diffsinger_jax.models.diffsinger import AUXILIARY_PARAMS
from diffsinger_jax.pipeline.batches import train_batches
from diffsinger_jax.pipeline.plan import BatchPlan, Bucket, default_bucket_edges, make_buckets
from diffsinger_jax.pipeline.prepared import PreparedCorpus, open_corpus
from diffsinger_jax.synthesis.voice import Voice, empty_batch, save_voice
from diffsinger_jax.training.checkpoint import Checkpoints
from diffsinger_jax.training.optimizers import make_learning_rate, make_optimizer
from diffsinger_jax.training.progress import Progress
from diffsinger_jax.training.sharding import by_rows, data_mesh, global_batch, on_each
from diffsinger_jax.training.state import Params, create_state, split_params
from diffsinger_jax.training.steps import (
    LossFn,
    auxiliary_loss,
    denoiser_loss,
    residual_squares,
    train_step,
)
from diffsinger_jax.training.validation import Validator
from diffsinger_jax.training.writer import Writer

PRIOR_BATCHES = 64
"""How many training batches the spread around the blurry mel is measured on, at most."""


class Stage(NamedTuple):
    """One part of the training.

    Attributes:
      name: of its section in the config and its folder of checkpoints.
      trained: top-level names of the params it trains.
      loss_fn: what it makes small.
    """

    name: str
    trained: tuple[str, ...]
    loss_fn: LossFn


class Setting(NamedTuple):
    """What the stages of one run share."""

    config: ConfigDict
    workdir: Path
    corpus: PreparedCorpus
    mesh: Mesh
    acoustic: AcousticModel


def train_and_evaluate(config: ConfigDict, workdir: str | Path) -> Voice:
    """Trains both stages and writes the voice to `workdir/voice`.

    Args:
      config: see configs/base.py.
      workdir: checkpoints, metrics, pictures and the voice go here; a run that was cut off goes
        on from what is there.

    Raises:
      InputError: if the corpus or the config does not fit.
    """
    workdir = Path(workdir).absolute()
    corpus = open_corpus(config.corpus)
    acoustic = acoustic_model(
        config.model.to_dict(), config.schedule.to_dict(), config.process, corpus.info
    )
    _write_config(config, workdir)
    setting = Setting(config, workdir, corpus, data_mesh(), acoustic)

    params = _initial_params(setting)
    sizes = {name: sum(x.size for x in jax.tree.leaves(p)) for name, p in params.items()}
    print(
        f"parameters: {sum(sizes.values()):,}; " + ", ".join(f"{k} {v:,}" for k, v in sizes.items())
    )

    params = run_stage(setting, auxiliary_stage(setting), params)
    params = {**params, "prior_scale": measure_prior(setting, params)}
    params = run_stage(setting, denoiser_stage(setting), params)

    voice = make_voice(config, corpus, params)
    save_voice(workdir / "voice", voice)
    print(f"the voice is in {workdir / 'voice'}")
    return voice


def auxiliary_stage(setting: Setting) -> Stage:
    """Stage 1."""
    weights = setting.config.auxiliary.weights.to_dict()
    loss_fn = auxiliary_loss(setting.acoustic.model, setting.acoustic.scaling, weights)
    return Stage("auxiliary", AUXILIARY_PARAMS, loss_fn)


def denoiser_stage(setting: Setting) -> Stage:
    """Stage 2."""
    loss_fn = denoiser_loss(
        setting.acoustic.model,
        setting.acoustic.scaling,
        setting.acoustic.make_process,
        t_below=setting.config.denoiser.t_below,
        distance=setting.config.denoiser.distance,
    )
    return Stage("denoiser", ("denoiser",), loss_fn)


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
    trained, frozen = split_params(params, stage.trained)
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
        return {**frozen, **state.ema}

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
        setting.corpus, setting.acoustic, stage.loss_fn, config, setting.workdir, buckets
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
            validator.run(
                step, {**frozen, **state.ema}, writer, with_diffusion=stage.name == "denoiser"
            )
            progress.restart_clock()
    progress.close()
    writer.close()
    checkpoints.close()
    return {**frozen, **state.ema}


def make_plan(setting: Setting, frames_per_batch: int) -> tuple[BatchPlan, tuple[Bucket, ...]]:
    """The batches of the training split; the shapes take the validation split's examples too."""
    splits = [s for s in ("train", "validation") if s in setting.corpus.splits]
    if "train" not in splits:
        raise InputError(f"the corpus {setting.corpus.path} has no examples to train on")
    lengths = [setting.corpus.lengths(split) for split in splits]
    frames = np.concatenate([one.frames for one in lengths])
    buckets = make_buckets(
        frames,
        np.concatenate([one.phonemes for one in lengths]),
        bucket_edges=default_bucket_edges(frames, setting.config.buckets),
        frames_per_batch=frames_per_batch,
        device_count=jax.device_count(),
        names=[name for one in lengths for name in one.names],
    )
    return BatchPlan(lengths[0].frames, buckets, seed=setting.config.seed), buckets


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


def make_voice(config: ConfigDict, corpus: PreparedCorpus, params: Params) -> Voice:
    """The finished voice, with its weights on the host."""
    return Voice(
        name=config.name,
        info=corpus.info,
        model=config.model.to_dict(),
        schedule=config.schedule.to_dict(),
        process=config.process,
        sampling=config.sampling.to_dict(),
        dictionary=config.dictionary,
        params=jax.tree.map(np.asarray, params),
    )


def hash_name(name: str) -> int:
    """A number for `fold_in`, the same in every run (Python's own hash is not)."""
    return int.from_bytes(name.encode()[:4], "little") & 0x7FFFFFFF


def _initial_params(setting: Setting) -> Params:
    key = jax.random.fold_in(jax.random.key(setting.config.seed), hash_name("init"))
    init = jax.jit(setting.acoustic.model.init)
    return init(key, empty_batch(setting.acoustic))["params"]


def _write_config(config: ConfigDict, workdir: Path) -> None:
    """Keeps the config beside what it made, and refuses to go on with another model."""
    file = workdir / "config.json"
    text = config.to_json_best_effort(indent=1)
    if file.exists():
        before, now = json.loads(file.read_text()), json.loads(text)
        for section in ("model", "schedule", "process", "corpus"):
            if before[section] != now[section]:
                raise InputError(
                    f"{workdir} holds a run with another `{section}`; give a fresh --workdir, or "
                    "the config that it was started with"
                )
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    except OSError as error:
        raise InputError(f"cannot write into --workdir {workdir}: {error.strerror}") from error
