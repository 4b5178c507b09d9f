"""How one stage of a voice is trained: what the loop of `work` needs to know of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax

from diffsinger_jax.engine.loop import RunContext, TrainTask, train
from diffsinger_jax.engine.optimizers import make_learning_rate, make_optimizer
from diffsinger_jax.engine.sharding import (
    batch_sharded,
    compile_isolated,
    global_batch,
    microbatch_sum,
    replicate,
    replicated,
    shard,
    state_shardings,
)
from diffsinger_jax.engine.state import (
    Params,
    TrainState,
    create_state,
    join_params,
    split_params,
)
from diffsinger_jax.engine.supervised import compile_inline, train_step
from diffsinger_jax.engine.writer import Writer
from diffsinger_jax.pipeline.batches import padded_rows, train_batches
from diffsinger_jax.pipeline.collate import collate
from diffsinger_jax.pipeline.plan import PADDING_ROW, Bucket
from diffsinger_jax.tasks.acoustic import report
from diffsinger_jax.tasks.acoustic.stage_losses import LossFn
from diffsinger_jax.tasks.acoustic.stages import AcousticRun, Stage, hash_name, make_plan
from diffsinger_jax.tasks.acoustic.start import frozen_paths
from diffsinger_jax.tasks.acoustic.validation import Validator
from diffsinger_jax.types import Batch


def run_stage(setting: AcousticRun, stage: Stage, params: Params) -> Params:
    """Trains one stage to its end, from its last checkpoint if there is one.

    Args:
      setting: of the run.
      stage: what is trained.
      params: all of the model's; those that the stage trains are its start.

    Returns:
      All params, the trained ones averaged, whole on each device.

    Raises:
      InputError, SystemExit: see `work.train`.
    """
    trained, frozen = split_params(params, stage.trained, frozen_paths(setting.config))
    frozen = shard(frozen, replicated(setting.mesh))
    run = RunContext(setting.config, setting.workdir, setting.mesh, setting.profile)
    state = train(stage_task(setting, stage, trained, frozen), run)
    return join_params(frozen, replicate(setting.mesh, state.ema))


def stage_task(setting: AcousticRun, stage: Stage, trained: Params, frozen: Params) -> TrainTask:
    """What the loop needs of a stage.

    Args:
      setting: of the run.
      stage: what is trained.
      trained: params that it trains, as they are before its first step.
      frozen: all others, whole on each device.
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
    groups = max(config.row_groups, mesh.size)
    plan, buckets = make_plan(setting, settings.frames_per_batch)
    lengths = setting.corpus.lengths("train")
    validator = Validator(setting, stage, plan.buckets)
    number = hash_name(stage.name)

    def start() -> TrainState:
        state = create_state(trained, optimizer)
        return shard(state, state_shardings(mesh, state))

    def update(state: TrainState, frozen: Params, batch: Batch) -> tuple[TrainState, dict]:
        return train_step(
            state,
            frozen,
            batch,
            jax.random.fold_in(jax.random.key(config.seed), number),
            loss_fn=rematerialized(stage.loss_fn) if config.remat else stage.loss_fn,
            optimizer=optimizer,
            ema_decay=config.ema_decay,
            microbatch_sum=microbatch_sum(mesh, groups),
            isolate=compile_isolated if config.row_groups > 1 else compile_inline,
        )

    def batches(steps_done: int) -> Iterator[Batch]:
        for rows in train_batches(
            setting.corpus,
            "train",
            plan,
            start_step=steps_done,
            host_index=jax.process_index(),
            host_count=jax.process_count(),
            rows_multiple=groups,
            read_threads=config.read_threads,
        ):
            yield global_batch(mesh, rows)

    def examples(step: int) -> list[int]:
        return [int(i) for i in plan[step - 1].indices if i != PADDING_ROW]

    def evaluate(step: int, state: TrainState, writer: Writer) -> None:
        validator.run(step, join_params(frozen, replicate(mesh, state.ema)), writer)

    def describe(programs: Any, steps_done: int) -> None:
        report.describe_stage(
            setting, stage.name, programs, plan, rows_multiple=groups, start=steps_done
        )

    return TrainTask(
        name=stage.name,
        steps=settings.steps,
        start=start,
        fixed=frozen,
        update=update,
        learning_rate=learning_rate,
        shapes={bucket: _shapes(bucket, setting, groups) for bucket in buckets},
        shape_of=lambda step: plan[step - 1].bucket,
        batches=batches,
        frames_of=lambda step: int(lengths.frames[examples(step)].sum()),
        names_of=lambda step: ", ".join(lengths.names[i] for i in examples(step)),
        describe=describe,
        evaluate=evaluate,
    )


def rematerialized(loss_fn: LossFn) -> LossFn:
    """The same loss; for its backward pass only products are kept, the rest is computed again."""
    policy = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
    return loss_fn._replace(parts=jax.checkpoint(loss_fn.parts, policy=policy, static_argnums=4))


def _shapes(bucket: Bucket, setting: AcousticRun, groups: int) -> Batch:
    """Of a batch over all devices."""
    rows = padded_rows(bucket.rows, groups)
    corpus = setting.corpus
    empty = collate([], Bucket(1, *bucket[1:]), corpus.info.mel.n_mels, corpus.curves)
    sharding = batch_sharded(setting.mesh)
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype, sharding=sharding), empty
    )
