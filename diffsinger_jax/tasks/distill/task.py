"""The training program of a student: a voice in, one of few calls out.

    open the corpus and the teacher -> batch plan -> restore or start as the teacher -> [read a
    batch -> one update -> log -> save -> evaluate] ... -> write the voice

Encoder, predictors and auxiliary decoder are the teacher's and stay as they are; the denoiser is
what learns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from diffsinger_jax.engine.loop import TrainTask
from diffsinger_jax.engine.run_config import require_no_stage
from diffsinger_jax.engine.sharding import replicated, shard
from diffsinger_jax.engine.state import Params, TrainState, split_params
from diffsinger_jax.engine.typed_config import as_dict
from diffsinger_jax.engine.workdir import open_workdir
from diffsinger_jax.errors import InputError
from diffsinger_jax.models.acoustic import AcousticModel, acoustic_model
from diffsinger_jax.tasks.acoustic.stages import (
    AUXILIARY,
    DENOISER_PARAMS,
    DIFFUSION,
    AcousticRun,
    Stage,
)
from diffsinger_jax.tasks.acoustic.start import frozen_paths, start_voice
from diffsinger_jax.tasks.acoustic.task import FIXED_SECTIONS, begin_run, keep_voice, open_run
from diffsinger_jax.tasks.acoustic.validation import Validator
from diffsinger_jax.tasks.distill.config import DistillConfig, distill_config, with_teacher
from diffsinger_jax.tasks.distill.losses import AVERAGE, TEACHER, distill_loss
from diffsinger_jax.tasks.shard_report import shard_describer
from diffsinger_jax.tasks.shards import Learning, make_plan, shard_task, trained_params
from diffsinger_jax.types import Batch
from diffsinger_jax.voices.voice import Voice

NAME = "distill"
"""Of the section in the config, and the folder of checkpoints."""


def train_student(
    given: Any,
    workdir: str | Path,
    stage: str = "all",
    *,
    profile: tuple[int, int] | None = None,
) -> Voice:
    """Trains a student of the voice `config.start_from` and writes it to `workdir/voice`.

    Args:
      given: what a config of configs/ gives, or its sections as nested dicts.
      workdir: checkpoints, metrics, pictures and the voice go here; a run that was cut off goes
        on from what is there.
      stage: "all"; there are no others.
      profile: steps between which a trace is written to `workdir/profile`.

    Raises:
      InputError: if teacher, corpus or config do not fit, or the workdir cannot be reached.
    """
    config = distill_config(with_teacher(as_dict(given)))
    require_no_stage("a distillation", stage)
    with open_workdir(workdir) as opened:
        run = open_run(config, opened, profile)
        params = begin_run(run, (*FIXED_SECTIONS, "sampling"))
        trained, frozen = split_params(params, DENOISER_PARAMS, frozen_paths(config))
        teacher = {TEACHER: jax.tree.map(jnp.array, trained)}  # a copy: what is trained is donated
        frozen = shard({**frozen, **teacher}, replicated(run.mesh))
        params = trained_params(student_task(run, config, trained, frozen), run.context)
        del params[TEACHER]
        return keep_voice(run, config, params, "voice")


def student_task(
    run: AcousticRun, config: DistillConfig, trained: Params, frozen: Params
) -> TrainTask:
    """What the loop needs of a distillation; its loss sees the moving average besides."""
    section = config.distill
    loss_fn = distill_loss(
        run.acoustic,
        teacher_model(run),
        config.plan,
        method=section.method,
        distance=section.distance,
    )
    plan, _ = make_plan(config, run.corpus, section.frames_per_batch)
    shown = Stage(NAME, DENOISER_PARAMS, loss_fn, shown=(AUXILIARY, DIFFUSION))
    learning = Learning(
        name=NAME,
        section=section,
        loss_fn=loss_fn,
        trained=trained,
        frozen=frozen,
        evaluate=Validator(run, shown, plan.buckets).run,
        describe=shard_describer(run.context, run.corpus, NAME, section),
        minutes=config.stop_after_minutes,
    )
    task = shard_task(config, run.corpus, run.mesh, learning)

    def update(
        state: TrainState, frozen: Params, batch: Batch, progress: jax.Array
    ) -> tuple[TrainState, dict]:
        return task.update(state, {**frozen, AVERAGE: state.ema}, batch, progress)

    return task._replace(update=update)


def teacher_model(run: AcousticRun) -> AcousticModel:
    """The student's model with the teacher's process.

    Raises:
      InputError: if there is no teacher.
    """
    teacher = start_voice(run.config.start_from)
    if teacher is None:
        raise InputError("config.start_from is empty; name the voice that is to be the teacher")
    return acoustic_model(run.config.model, run.config.schedule, teacher.process, run.corpus.info)
