"""How one stage of a voice is trained: what the engine's loop needs to know of it."""

from __future__ import annotations

from collections.abc import Iterator

import jax

from diffsinger_jax.engine.loop import TrainTask, train
from diffsinger_jax.engine.losses import LossFn
from diffsinger_jax.engine.microbatches import microbatching
from diffsinger_jax.engine.optimizers import at_progress, make_learning_rate, make_optimizer
from diffsinger_jax.engine.sharding import (
    batch_sharded,
    global_batch,
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
from diffsinger_jax.engine.supervised import train_step
from diffsinger_jax.engine.writer import Writer
from diffsinger_jax.pipeline.batches import padded_rows, train_batches
from diffsinger_jax.pipeline.collate import collate
from diffsinger_jax.pipeline.plan import PADDING_ROW, BatchPlan, Bucket
from diffsinger_jax.tasks.acoustic import report
from diffsinger_jax.tasks.acoustic.stages import AcousticRun, Stage, hash_name, make_plan
from diffsinger_jax.tasks.acoustic.start import frozen_paths
from diffsinger_jax.tasks.acoustic.validation import Validator
from diffsinger_jax.types import Batch


def run_stage(run: AcousticRun, stage: Stage, params: Params) -> Params:
    """Trains one stage to its end, from its last checkpoint if there is one.

    Args:
      run: what the stages share.
      stage: what is trained.
      params: all of the model's; those that the stage trains are its start.

    Returns:
      All params, the trained ones averaged, whole on each device.

    Raises:
      InputError, SystemExit: see `engine.loop.train`.
    """
    trained, frozen = split_params(params, stage.trained, frozen_paths(run.config))
    frozen = shard(frozen, replicated(run.mesh))
    state = train(stage_task(run, stage, trained, frozen), run.context)
    return join_params(frozen, replicate(run.mesh, state.ema))


def stage_task(run: AcousticRun, stage: Stage, trained: Params, frozen: Params) -> TrainTask:
    """What the loop needs of a stage.

    Args:
      run: what the stages share.
      stage: what is trained.
      trained: params that it trains, as they are before its first step.
      frozen: all others, whole on each device.
    """
    config, section, mesh = run.config, run.config.stage(stage.name), run.mesh
    optimizer = make_optimizer(section)
    rows_multiple = max(config.microbatches, mesh.size)
    plan, buckets = make_plan(run, section.frames_per_batch)
    lengths = run.corpus.lengths("train")
    validator = Validator(run, stage, plan.buckets)
    loss_fn = rematerialized(stage.loss_fn) if config.remat else stage.loss_fn
    number = hash_name(stage.name)

    def start() -> TrainState:
        state = create_state(trained, optimizer)
        return shard(state, state_shardings(mesh, state))

    def update(
        state: TrainState, frozen: Params, batch: Batch, progress: jax.Array
    ) -> tuple[TrainState, dict]:
        return train_step(
            state,
            frozen,
            batch,
            jax.random.fold_in(jax.random.key(config.seed), number),
            loss_fn=loss_fn,
            optimizer=at_progress(optimizer, progress),
            ema_decay=config.ema_decay,
            microbatching=microbatching(mesh, config.microbatches),
        )

    def examples(step: int) -> list[int]:
        return [int(i) for i in plan[step - 1].indices if i != PADDING_ROW]

    def evaluate(step: int, state: TrainState, writer: Writer) -> None:
        validator.run(step, join_params(frozen, replicate(mesh, state.ema)), writer)

    return TrainTask(
        name=stage.name,
        steps=section.steps,
        start=start,
        fixed=frozen,
        update=update,
        learning_rate=make_learning_rate(section.learning_rate),
        weights=stage.loss_fn.weights,
        shapes={bucket: _shapes(bucket, run, rows_multiple) for bucket in buckets},
        shape_of=lambda step: plan[step - 1].bucket,
        batches=lambda steps_done: _batches(run, plan, steps_done, rows_multiple),
        frames_of=lambda step: int(lengths.frames[examples(step)].sum()),
        names_of=lambda step: ", ".join(lengths.names[i] for i in examples(step)),
        describe=lambda compiled, steps_done: report.describe_stage(
            run, stage.name, compiled, plan, rows_multiple=rows_multiple, start=steps_done
        ),
        evaluate=evaluate,
        minutes=config.stage_minutes(stage.name),
    )


def _batches(
    run: AcousticRun, plan: BatchPlan, steps_done: int, rows_multiple: int
) -> Iterator[Batch]:
    """Those after so many steps, on their way to the devices."""
    for rows in train_batches(
        run.corpus,
        "train",
        plan,
        start_step=steps_done,
        host_index=jax.process_index(),
        host_count=jax.process_count(),
        rows_multiple=rows_multiple,
        read_threads=run.config.read_threads,
    ):
        yield global_batch(run.mesh, rows)


def rematerialized(loss_fn: LossFn) -> LossFn:
    """The same loss; for its backward pass only matmuls are kept, the rest is computed again."""
    policy = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
    return loss_fn._replace(parts=jax.checkpoint(loss_fn.parts, policy=policy, static_argnums=4))


def _shapes(bucket: Bucket, run: AcousticRun, rows_multiple: int) -> Batch:
    """Of a batch over all devices."""
    rows = padded_rows(bucket.rows, rows_multiple)
    corpus = run.corpus
    empty = collate([], Bucket(1, *bucket[1:]), corpus.info.mel.n_mels, corpus.curves)
    sharding = batch_sharded(run.mesh)
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype, sharding=sharding), empty
    )
