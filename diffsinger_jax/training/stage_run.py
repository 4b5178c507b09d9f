"""How one stage of a voice is trained: what the loop of `work` needs to know of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax

from diffsinger_jax.pipeline.batches import padded_rows, train_batches
from diffsinger_jax.pipeline.collate import collate
from diffsinger_jax.pipeline.plan import PADDING_ROW, Bucket
from diffsinger_jax.training import report
from diffsinger_jax.training.optimizers import make_learning_rate, make_optimizer
from diffsinger_jax.training.sharding import (
    by_rows,
    global_batch,
    in_one_round,
    on_each,
    place,
    state_shardings,
    sum_of_groups,
    whole,
)
from diffsinger_jax.training.stages import Setting, Stage, hash_name, make_plan
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
from diffsinger_jax.training.work import Run, Work, train
from diffsinger_jax.training.writer import Writer
from diffsinger_jax.types import Batch


def run_stage(setting: Setting, stage: Stage, params: Params) -> Params:
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
    frozen = place(frozen, on_each(setting.mesh))
    run = Run(setting.config, setting.workdir, setting.mesh, setting.profile)
    state = train(stage_work(setting, stage, trained, frozen), run)
    return join_params(frozen, whole(setting.mesh, state.ema))


def stage_work(setting: Setting, stage: Stage, trained: Params, frozen: Params) -> Work:
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
        return place(state, state_shardings(mesh, state))

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
        validator.run(step, join_params(frozen, whole(mesh, state.ema)), writer)

    def describe(programs: Any, steps_done: int) -> None:
        report.describe_stage(
            setting, stage.name, programs, plan, rows_multiple=groups, start=steps_done
        )

    return Work(
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


def remembering_less(loss_fn: LossFn) -> LossFn:
    """The same loss; for its backward pass only products are kept, the rest is computed again."""
    policy = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
    return loss_fn._replace(parts=jax.checkpoint(loss_fn.parts, policy=policy, static_argnums=4))


def _shapes(bucket: Bucket, setting: Setting, groups: int) -> Batch:
    """Of a batch over all devices."""
    rows = padded_rows(bucket.rows, groups)
    empty = collate([], Bucket(1, *bucket[1:]), setting.corpus.info.mel.n_mels)
    sharding = by_rows(setting.mesh)
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype, sharding=sharding), empty
    )
