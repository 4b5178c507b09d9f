"""How one stage of a voice is trained."""

from __future__ import annotations

from typing import Any

from diffsinger_jax.engine.loop import TrainTask
from diffsinger_jax.engine.sharding import replicated, shard
from diffsinger_jax.engine.state import Params, split_params
from diffsinger_jax.engine.writer import Writer
from diffsinger_jax.pipeline.plan import BatchPlan
from diffsinger_jax.tasks.acoustic.stages import AcousticRun, Stage
from diffsinger_jax.tasks.acoustic.start import frozen_paths
from diffsinger_jax.tasks.acoustic.validation import Validator
from diffsinger_jax.tasks.shard_report import describe_training
from diffsinger_jax.tasks.shards import Learning, make_plan, shard_task, trained_params


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
    return trained_params(stage_task(run, stage, trained, frozen), run.context)


def stage_task(run: AcousticRun, stage: Stage, trained: Params, frozen: Params) -> TrainTask:
    """What the loop needs of a stage.

    Args:
      run: what the stages share.
      stage: what is trained.
      trained: params that it trains, as they are before its first step.
      frozen: all others, whole on each device.
    """
    section = run.config.stage(stage.name)
    plan, _ = make_plan(run.config, run.corpus, section.frames_per_batch)
    validator = Validator(run, stage, plan.buckets)

    def evaluate(step: int, params: Params, writer: Writer) -> None:
        validator.run(step, params, writer)

    def describe(compiled: Any, plan: BatchPlan, rows_multiple: int, steps_done: int) -> None:
        describe_training(
            run.context,
            run.corpus.lengths("train").frames,
            stage.name,
            section,
            compiled,
            plan,
            rows_multiple=rows_multiple,
            start=steps_done,
        )

    learning = Learning(
        name=stage.name,
        section=section,
        loss_fn=stage.loss_fn,
        trained=trained,
        frozen=frozen,
        evaluate=evaluate,
        describe=describe,
        minutes=run.config.stage_minutes(stage.name),
    )
    return shard_task(run.config, run.corpus, run.mesh, learning)
