"""The training program of a variance model: prepared shards in, a variance folder out.

    open the corpus -> batch plan -> model -> restore or start -> [read a batch -> one update -> log
    -> save -> evaluate] ... -> write the model

Where it starts: its own last checkpoint in the workdir, else the model of `config.start_from`, else
random params.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.engine.hosts import is_primary, log_primary
from diffsinger_jax.engine.loop import RunContext, train
from diffsinger_jax.engine.report import describe_devices, describe_params
from diffsinger_jax.engine.run_config import (
    check_layout,
    read_config,
    require_no_stage,
    require_same,
    write_config,
)
from diffsinger_jax.engine.sharding import data_mesh, replicate
from diffsinger_jax.engine.state import Params
from diffsinger_jax.engine.typed_config import as_dict, plain
from diffsinger_jax.engine.workdir import Workdir, open_workdir
from diffsinger_jax.errors import InputError
from diffsinger_jax.pipeline.mix import MixedCorpus, open_corpora
from diffsinger_jax.pipeline.plan import BatchPlan
from diffsinger_jax.tasks.shard_report import describe_training
from diffsinger_jax.tasks.shards import Learning, make_plan, named_key, shard_task
from diffsinger_jax.tasks.variance.config import VarianceConfig, variance_config
from diffsinger_jax.tasks.variance.losses import variance_loss
from diffsinger_jax.tasks.variance.validation import VarianceValidator
from diffsinger_jax.voices.variance import (
    VarianceVoice,
    empty_inputs,
    load_variance,
    save_variance,
)

NAME = "variance"
"""Of the section in the config, the folder of checkpoints, and the folder that is written."""
FIXED_SECTIONS = ("kind", "model", "ranges", "schedule", "process", "corpus", "start_from")
"""Of the config, that the weights depend on."""


class VarianceRun(NamedTuple):
    """What one run has.

    Attributes:
      config: see configs/variance_base.py.
      context: workdir, devices.
      corpus: what is trained on.
      voice: the model, with the params that it starts from, or none yet.
    """

    config: VarianceConfig
    context: RunContext
    corpus: MixedCorpus
    voice: VarianceVoice


def train_variance(
    given: Any,
    workdir: str | Path,
    stage: str = "all",
    *,
    profile: tuple[int, int] | None = None,
) -> VarianceVoice:
    """Trains a variance model and writes it to `workdir/variance`.

    Args:
      given: what a config of configs/ gives, or its sections as nested dicts.
      workdir: checkpoints, metrics, pictures and the model go here; a run that was cut off goes on
        from what is there.
      stage: "all"; a variance model has no others.
      profile: steps between which a trace is written to `workdir/profile`.

    Raises:
      InputError: if the corpus or the config does not fit, or the workdir cannot be reached.
    """
    config = variance_config(as_dict(given))
    require_no_stage("a variance model", stage)
    check_layout(
        devices=jax.device_count(),
        hosts=jax.process_count(),
        microbatches=config.microbatches,
        fsdp=config.mesh.fsdp,
    )
    with open_workdir(workdir) as opened:
        return _train(open_run(config, opened, profile))


def open_run(
    config: VarianceConfig, workdir: Workdir, profile: tuple[int, int] | None = None
) -> VarianceRun:
    """The corpus, what to start from, and devices.

    Raises:
      InputError: if they do not fit each other.
    """
    start = _start_voice(config)
    curves = (start.model if start else config.model).get("curves", ())
    corpus = open_corpora(config.corpus, curves=curves)
    info = corpus.info
    if start and (start.vocabulary, start.sample_rate, start.hop) != (
        info.vocabulary,
        info.mel.sample_rate,
        info.mel.hop,
    ):
        raise InputError(
            f"config.start_from: {config.start_from} was trained with another vocabulary, sample "
            f"rate or hop than {config.corpus} has; give a corpus prepared alike"
        )
    depth = 1.0 if config.process == "velocity" else config.schedule["steps"]
    model = VarianceVoice(
        name=config.name,
        vocabulary=info.vocabulary,
        sample_rate=info.mel.sample_rate,
        hop=info.mel.hop,
        model=dict(config.model),
        schedule=dict(config.schedule),
        process=config.process,
        sampling=Sampling(k_step=depth, start="gaussian", **dataclasses.asdict(config.sampling)),
        params={},
        ranges={name: tuple(map(float, row)) for name, row in config.ranges.items()},
        licence=info.licence,
    )
    if start:
        same = ("model", "schedule", "process", "ranges", "params")
        model = dataclasses.replace(model, **{name: getattr(start, name) for name in same})
    context = RunContext(config, workdir, data_mesh(fsdp=config.mesh.fsdp), profile)
    return VarianceRun(config, context, corpus, model)


def _start_voice(config: VarianceConfig) -> VarianceVoice | None:
    if not config.start_from:
        return None
    try:
        return load_variance(config.start_from)
    except InputError as error:
        raise InputError(f"config.start_from: {error}") from error


def _train(run: VarianceRun) -> VarianceVoice:
    config, workdir = run.config, run.context.workdir
    before = read_config(workdir)
    if before is not None:
        require_same(before, plain(config), FIXED_SECTIONS, workdir)
    write_config(plain(config), workdir)
    if config.start_from:
        log_primary(f"training starts from the variance model {config.start_from}")
    describe_devices(config.mesh.fsdp)
    params = initial_params(run)
    describe_params(params)
    learning = variance_learning(run, params)
    state = train(shard_task(config, run.corpus, run.context.mesh, learning), run.context)
    params = jax.tree.map(np.asarray, replicate(run.context.mesh, state.ema))
    trained = dataclasses.replace(run.voice, params=params)
    if is_primary():
        save_variance(workdir.folder / NAME, trained)
    workdir.copy()
    log_primary(f"the variance model is in {workdir}/{NAME}")
    return trained


def initial_params(run: VarianceRun) -> Params:
    """Random ones, the same in every run with the config's seed; or those to start from."""
    if run.voice.params:
        return jax.tree.map(jax.numpy.array, dict(run.voice.params))  # a copy: it is donated
    variance = run.voice.variance
    key = named_key(run.config, "init")
    return jax.jit(variance.model.init)(key, empty_inputs(variance))["params"]


def variance_learning(run: VarianceRun, params: Params) -> Learning:
    """What is trained, and how it is looked at."""
    config, section, corpus = run.config, run.config.variance, run.corpus
    loss_fn = variance_loss(
        run.voice.variance,
        corpus.info.mel.frames_per_sec,
        dataclasses.asdict(section.weights),
        distance=section.distance,
        weighting=section.weighting,
        retake_all=section.retake_all,
    )
    plan, _ = make_plan(config, corpus, section.frames_per_batch)
    validator = VarianceValidator(run.context, corpus, run.voice, loss_fn, plan.buckets)

    def describe(compiled: Any, plan: BatchPlan, rows_multiple: int, steps_done: int) -> None:
        describe_training(
            run.context,
            corpus.lengths("train").frames,
            NAME,
            section,
            compiled,
            plan,
            rows_multiple=rows_multiple,
            start=steps_done,
        )

    return Learning(
        name=NAME,
        section=section,
        loss_fn=loss_fn,
        trained=params,
        frozen={},
        evaluate=validator.run,
        describe=describe,
        minutes=config.stop_after_minutes,
    )
