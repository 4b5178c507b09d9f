"""How one stage is trained to its end, on one device or on those of many hosts.

    restore or start -> compile all shapes -> [read ahead -> update] ... -> the averaged params

`step` alone says which batch comes next and which random key it gets, so a run that was cut off
goes on as if it had not been. Between log steps the host only hands batches over: it waits for
no number and moves none but the batch.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from diffsinger_jax.pipeline.batches import padded_rows, train_batches
from diffsinger_jax.pipeline.collate import collate
from diffsinger_jax.pipeline.plan import PADDING_ROW, BatchPlan, Bucket
from diffsinger_jax.training import report
from diffsinger_jax.training.checkpoint import Checkpoints
from diffsinger_jax.training.hosts import StopNotice, agreed, is_first, say
from diffsinger_jax.training.optimizers import make_learning_rate, make_optimizer
from diffsinger_jax.training.programs import Program, compile_all, peak_flops
from diffsinger_jax.training.progress import Progress
from diffsinger_jax.training.sharding import (
    ahead,
    by_rows,
    global_batch,
    in_one_round,
    on_each,
    place,
    state_shardings,
    sum_of_groups,
    whole,
)
from diffsinger_jax.training.stages import (
    Setting,
    Stage,
    checkpoint_folder,
    hash_name,
    make_plan,
)
from diffsinger_jax.training.start import frozen_paths
from diffsinger_jax.training.state import (
    Params,
    TrainState,
    create_state,
    join_params,
    split_params,
)
from diffsinger_jax.training.steps import LossFn
from diffsinger_jax.training.update import at_once, train_step
from diffsinger_jax.training.validation import Validator
from diffsinger_jax.training.writer import Writer
from diffsinger_jax.types import Batch

STEPS_IN_FLIGHT = 2
"""Updates that are handed to the devices before the host waits for the one before them."""


def run_stage(setting: Setting, stage: Stage, params: Params) -> Params:
    """Trains one stage to its end, from its last checkpoint if there is one.

    Args:
      setting: of the run.
      stage: what is trained.
      params: all of the model's; those that the stage trains are its start.

    Returns:
      All params, the trained ones averaged, whole on each device.

    Raises:
      InputError: if no checkpoint can be read, or the losses stay infinite.
      SystemExit: with code 0, after SIGTERM, when all is saved.
    """
    config, settings, mesh = setting.config, setting.config[stage.name], setting.mesh
    learning_rate = make_learning_rate(settings.learning_rate.to_dict())
    optimizer = make_optimizer(
        learning_rate,
        name=settings.get("optimizer", "adamw"),
        betas=tuple(settings.betas),
        weight_decay=settings.weight_decay,
        clip_norm=settings.clip_norm,
    )
    trained, frozen = split_params(params, stage.trained, frozen_paths(config))
    frozen = place(frozen, on_each(mesh))
    state = create_state(trained, optimizer)
    shardings = state_shardings(mesh, state)
    state = place(state, shardings)

    checkpoints = Checkpoints(
        checkpoint_folder(setting, stage.name),
        keep=config.keep_checkpoints,
        keep_every_steps=config.keep_every_steps,
    )
    if checkpoints.latest() is not None:
        state = checkpoints.restore(state)
    start = int(state.step)
    if start >= settings.steps:
        checkpoints.close()
        return join_params(frozen, whole(mesh, state.ema))

    groups = max(config.row_groups, mesh.size)
    plan, buckets = make_plan(setting, settings.frames_per_batch)
    number = hash_name(stage.name)

    def update(state: TrainState, frozen: Params, batch: Batch) -> tuple[TrainState, dict]:
        return train_step(
            state,
            frozen,
            batch,
            jax.random.fold_in(jax.random.key(config.seed), number),
            loss_fn=remembering_less(stage.loss_fn) if config.remat else stage.loss_fn,
            optimizer=optimizer,
            ema_decay=config.ema_decay,
            sum_of_groups=sum_of_groups(mesh, groups),
            alone=in_one_round if config.row_groups > 1 else at_once,
        )

    jitted = jax.jit(
        update,
        in_shardings=(shardings, on_each(mesh), by_rows(mesh)),
        out_shardings=(shardings, on_each(mesh)),
        donate_argnums=0,
    )
    notice = StopNotice()  # what comes while we compile is seen after the first step
    shapes = {bucket: _shapes(bucket, setting, groups) for bucket in buckets}
    programs = compile_all(
        jitted, {bucket: (state, frozen, shapes[bucket]) for bucket in buckets}, stage=stage.name
    )
    report.describe_stage(setting, stage.name, programs, plan, rows_multiple=groups, start=start)

    run = _Run(setting, stage, settings, plan, programs, start)
    try:
        state = run.train(state, frozen, checkpoints, notice, groups, learning_rate)
    finally:
        notice.close()
        checkpoints.close()
    return join_params(frozen, whole(mesh, state.ema))


def remembering_less(loss_fn: LossFn) -> LossFn:
    """The same loss; for its backward pass only products are kept, the rest is computed again."""
    policy = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
    return loss_fn._replace(parts=jax.checkpoint(loss_fn.parts, policy=policy, static_argnums=4))


class _Run(NamedTuple):
    """What the loop of a stage needs and does not change."""

    setting: Setting
    stage: Stage
    settings: ConfigDict
    plan: BatchPlan
    programs: dict[Bucket, Program]
    start: int

    def train(
        self,
        state: TrainState,
        frozen: Params,
        checkpoints: Checkpoints,
        notice: StopNotice,
        groups: int,
        learning_rate: Any,
    ) -> TrainState:
        """The steps from `start` to the last."""
        setting, stage, config = self.setting, self.stage, self.setting.config
        validator = Validator(setting, stage, self.plan.buckets)
        writer = Writer(setting.workdir, stage.name, start_step=self.start, silent=not is_first())
        progress = Progress(
            stage.name,
            self.start,
            self.settings.steps,
            stop_after_nonfinite=config.stop_after_nonfinite,
            names_of_batch=self._names,
            peak_flops=config.peak_flops or peak_flops(jax.devices()[0].device_kind),
        )
        compiled = {
            f"compile_sec_{bucket.rows}x{bucket.frames}": program.compile_sec
            for bucket, program in self.programs.items()
        }
        writer.numbers(self.start, compiled)
        batches = ahead(self._batches(groups))
        saved_at = time.monotonic()
        in_flight: list[jax.Array] = []
        try:
            for step in range(self.start + 1, self.settings.steps + 1):
                self._profile(step)
                before = time.perf_counter()
                batch = next(batches)
                waited = time.perf_counter() - before
                planned = self.plan[step - 1]
                program = self.programs[planned.bucket]
                with jax.transfer_guard("disallow"):
                    state, metrics = program.call(state, frozen, batch)
                progress.add(
                    step,
                    metrics,
                    frames=self._frames(planned.indices),
                    flops=program.flops,
                    waited=waited,
                )
                in_flight.append(metrics["loss"])
                if len(in_flight) > STEPS_IN_FLIGHT:
                    in_flight.pop(0).block_until_ready()

                last, stop = step == self.settings.steps, notice.seen()
                save = last or stop or step % config.save_every_steps == 0
                if last or stop or step % config.log_every_steps == 0:
                    rate = float(learning_rate(step - 1))
                    writer.numbers(step, {**progress.flush(), "learning_rate": rate})
                    save = save or _is_due(saved_at, config.save_every_minutes)
                checkpoints.look()
                if save:
                    checkpoints.save(step, state)
                    saved_at = time.monotonic()
                if stop and not last:
                    checkpoints.finish()
                    say(
                        f"SIGTERM: stage {stage.name} is saved at step {step}; the same command "
                        "goes on from there"
                    )
                    sys.exit(0)
                if last or step % config.evaluate_every_steps == 0:
                    validator.run(step, join_params(frozen, whole(setting.mesh, state.ema)), writer)
                    progress.restart_clock()
        finally:
            progress.close()
            writer.close()
        return state

    def _batches(self, groups: int) -> Iterator[Batch]:
        """Of all hosts, on their way to the devices."""
        setting = self.setting
        for rows in train_batches(
            setting.corpus,
            "train",
            self.plan,
            start_step=self.start,
            host_index=jax.process_index(),
            host_count=jax.process_count(),
            rows_multiple=groups,
            read_threads=setting.config.read_threads,
        ):
            yield global_batch(setting.mesh, rows)

    def _frames(self, indices: np.ndarray) -> int:
        """Real ones of a batch, over all hosts."""
        lengths = self.setting.corpus.lengths("train").frames
        return int(lengths[indices[indices != PADDING_ROW]].sum())

    def _names(self, step: int) -> str:
        """Of the examples that a step saw."""
        indices = self.plan[step - 1].indices
        names = self.setting.corpus.lengths("train").names
        return ", ".join(names[int(i)] for i in indices if i != PADDING_ROW)

    def _profile(self, step: int) -> None:
        """Starts and ends the trace, if this is one of its steps."""
        if self.setting.profile is None or not is_first():
            return
        first, end = self.setting.profile
        folder = self.setting.workdir / "profile" / self.stage.name
        if step == first:
            jax.profiler.start_trace(str(folder))
        elif step == end:
            jax.profiler.stop_trace()
            say(f"the trace of steps {first} to {end} is in {folder}; see docs/training.md")


def _is_due(saved_at: float, minutes: float) -> bool:
    """By the first host's clock."""
    if not minutes:
        return False
    return bool(agreed(np.int32(time.monotonic() - saved_at >= 60 * minutes)))


def _shapes(bucket: Bucket, setting: Setting, groups: int) -> Batch:
    """Of a batch over all devices."""
    rows = padded_rows(bucket.rows, groups)
    empty = collate([], Bucket(1, *bucket[1:]), setting.corpus.info.mel.n_mels)
    sharding = by_rows(setting.mesh)
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype, sharding=sharding), empty
    )
