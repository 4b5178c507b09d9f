"""What is trained on prepared shards: what the engine's loop needs to know of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from diffsinger_jax.engine.adversarial import (
    DISCRIMINATORS,
    GENERATOR,
    AdversarialLosses,
    AdversarialState,
    adversarial_step,
    create_adversarial_state,
)
from diffsinger_jax.engine.loop import RunContext, TrainTask, train
from diffsinger_jax.engine.losses import LossFn
from diffsinger_jax.engine.microbatches import microbatching
from diffsinger_jax.engine.optimizers import (
    UpdateConfig,
    at_progress,
    make_learning_rate,
    make_optimizer,
)
from diffsinger_jax.engine.sharding import (
    batch_sharded,
    global_batch,
    replicate,
    shard,
    state_shardings,
)
from diffsinger_jax.engine.state import Params, TrainState, create_state, join_params
from diffsinger_jax.engine.supervised import train_step
from diffsinger_jax.engine.writer import Writer
from diffsinger_jax.errors import InputError
from diffsinger_jax.pipeline.batches import padded_rows, train_batches
from diffsinger_jax.pipeline.collate import collate
from diffsinger_jax.pipeline.mix import MixedCorpus
from diffsinger_jax.pipeline.plan import (
    PADDING_ROW,
    BatchPlan,
    Bucket,
    default_bucket_edges,
    make_buckets,
)
from diffsinger_jax.types import Batch

KEPT = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
"""For the backward pass, of what is rematerialized."""


class Updates(NamedTuple):
    """How a training's state begins and moves; see `TrainTask`.

    Attributes:
      start: makes the state before the first step, on its devices; it has an `ema`.
      update: (state, fixed, batch, progress) -> (state, metrics).
      weights: of the losses, by name.
    """

    start: Callable[[], Any]
    update: Callable[..., tuple[Any, dict]]
    weights: Mapping[str, float]


class Learning(NamedTuple):
    """What is trained by one loss, and how it is looked at.

    Attributes:
      name: for the log and the folder of checkpoints.
      section: of the config, an `OptimizerConfig` with `frames_per_batch`.
      loss_fn: what it makes small.
      trained: params that it trains, as they are before its first step.
      frozen: all others, whole on each device.
      evaluate: (step, all params averaged, writer).
      describe: (programs, plan, rows_multiple, steps done).
      minutes: see `TrainTask`.
    """

    name: str
    section: Any
    loss_fn: LossFn
    trained: Params
    frozen: Params
    evaluate: Callable[[int, Params, Writer], None]
    describe: Callable[[Any, BatchPlan, int, int], None]
    minutes: float


class AdversarialLearning(NamedTuple):
    """The same of a generator that learns against discriminators; see `Learning`.

    Attributes:
      losses: of both sides.
      discriminators_section: the `UpdateConfig` of the discriminators; `section` is the
        generator's.
      trained: params of both sides, by "generator" and "discriminators".
      frozen: params that the generator needs besides.
      evaluate: (step, the generator's params averaged and the frozen ones, writer).
    """

    name: str
    section: Any
    losses: AdversarialLosses
    discriminators_section: UpdateConfig
    trained: Params
    frozen: Params
    evaluate: Callable[[int, Params, Writer], None]
    describe: Callable[[Any, BatchPlan, int, int], None]
    minutes: float


def shard_task(config: Any, corpus: MixedCorpus, mesh: Mesh, learning: Learning) -> TrainTask:
    """What the loop needs of a training on shards by one loss.

    Args:
      config: a `RunConfig` with `buckets`, `bucket_edges` and `remat`.
      corpus: what is trained on.
      mesh: of all devices.
      learning: the rest.
    """
    optimizer = make_optimizer(learning.section)
    loss_fn = rematerialized(learning.loss_fn) if config.remat else learning.loss_fn

    def start() -> TrainState:
        state = create_state(learning.trained, optimizer)
        return shard(state, state_shardings(mesh, state))

    def update(
        state: TrainState, frozen: Params, batch: Batch, progress: jax.Array
    ) -> tuple[TrainState, dict]:
        return train_step(
            state,
            frozen,
            batch,
            named_key(config, learning.name),
            loss_fn=loss_fn,
            optimizer=at_progress(optimizer, progress),
            ema_decay=config.ema_decay,
            microbatching=microbatching(mesh, config.microbatches),
        )

    updates = Updates(start, update, learning.loss_fn.weights)
    return updated_on_shards(config, corpus, mesh, learning, updates)


def adversarial_shard_task(
    config: Any, corpus: MixedCorpus, mesh: Mesh, learning: AdversarialLearning
) -> TrainTask:
    """What the loop needs of a training on shards of two sides; see `shard_task`."""
    sections = {GENERATOR: learning.section, DISCRIMINATORS: learning.discriminators_section}
    optimizers = {side: make_optimizer(section) for side, section in sections.items()}
    losses = learning.losses
    if config.remat:
        losses = losses._replace(generate=jax.checkpoint(losses.generate, policy=KEPT))

    def start() -> AdversarialState:
        state = create_adversarial_state(learning.trained, optimizers)
        return shard(state, state_shardings(mesh, state))

    def update(
        state: AdversarialState, frozen: Params, batch: Batch, progress: jax.Array
    ) -> tuple[AdversarialState, dict]:
        return adversarial_step(
            state,
            frozen,
            batch,
            named_key(config, learning.name),
            losses=losses,
            optimizers={side: at_progress(one, progress) for side, one in optimizers.items()},
            ema_decay=config.ema_decay,
            microbatching=microbatching(mesh, config.microbatches),
        )

    updates = Updates(start, update, learning.losses.weights)
    return updated_on_shards(config, corpus, mesh, learning, updates)


def updated_on_shards(
    config: Any,
    corpus: MixedCorpus,
    mesh: Mesh,
    learning: Learning | AdversarialLearning,
    updates: Updates,
) -> TrainTask:
    """The rest of it: batches of a plan, their shapes, and what is said and looked at."""
    section, frozen = learning.section, learning.frozen
    rows_multiple = max(config.microbatches, mesh.size)
    plan, buckets = make_plan(config, corpus, section.frames_per_batch)
    lengths = corpus.lengths("train")

    def examples(step: int) -> list[int]:
        return [int(i) for i in plan[step - 1].indices if i != PADDING_ROW]

    def batches(steps_done: int) -> Iterator[Batch]:
        for rows in train_batches(
            corpus,
            "train",
            plan,
            start_step=steps_done,
            host_index=jax.process_index(),
            host_count=jax.process_count(),
            rows_multiple=rows_multiple,
            read_threads=config.read_threads,
        ):
            yield global_batch(mesh, rows)

    def evaluate(step: int, state: Any, writer: Writer) -> None:
        learning.evaluate(step, join_params(frozen, replicate(mesh, state.ema)), writer)

    def describe(compiled: Any, steps_done: int) -> None:
        learning.describe(compiled, plan, rows_multiple, steps_done)

    return TrainTask(
        name=learning.name,
        steps=section.steps,
        start=updates.start,
        fixed=frozen,
        update=updates.update,
        learning_rate=make_learning_rate(section.learning_rate),
        weights=updates.weights,
        shapes={bucket: _shapes(bucket, corpus, mesh, rows_multiple) for bucket in buckets},
        shape_of=lambda step: plan[step - 1].bucket,
        batches=batches,
        frames_of=lambda step: int(lengths.frames[examples(step)].sum()),
        names_of=lambda step: ", ".join(lengths.names[i] for i in examples(step)),
        describe=describe,
        evaluate=evaluate,
        minutes=learning.minutes,
    )


def trained_params(task: TrainTask, context: RunContext) -> Params:
    """Trains to the end, from the last checkpoint if there is one.

    Returns:
      All params, the trained ones averaged, whole on each device.

    Raises:
      InputError, SystemExit: see `engine.loop.train`.
    """
    state = train(task, context)
    return join_params(task.fixed, replicate(context.mesh, state.ema))


def named_key(config: Any, name: str) -> jax.Array:
    """A random key of its own for a training, or for what it begins with: of seed and name."""
    return jax.random.fold_in(jax.random.key(config.seed), _hash_name(name))


def make_plan(
    config: Any, corpus: MixedCorpus, frames_per_batch: int
) -> tuple[BatchPlan, tuple[Bucket, ...]]:
    """The batches of the training split; the shapes take the validation split's examples too.

    They follow from the config and the corpus alone: on however many devices and hosts they are
    trained, who is in which batch stays the same (rows of padding make them divide).

    Args:
      config: with `seed`, `buckets` and `bucket_edges`.
      corpus: what is trained on.
      frames_per_batch: of the real frames over all devices.

    Raises:
      InputError: if there is nothing to train on, or an example fits no bucket.
    """
    splits = [s for s in ("train", "validation") if s in corpus.splits]
    if "train" not in splits:
        raise InputError(f"the corpus {corpus.path} has no examples to train on")
    lengths = [corpus.lengths(split) for split in splits]
    frames = np.concatenate([one.frames for one in lengths])
    edges = config.bucket_edges or default_bucket_edges(frames, config.buckets)
    buckets = make_buckets(
        frames,
        np.concatenate([one.phonemes for one in lengths]),
        bucket_edges=edges,
        frames_per_batch=frames_per_batch,
        names=[name for one in lengths for name in one.names],
    )
    plan = BatchPlan(lengths[0].frames, buckets, seed=config.seed, shares=corpus.shares("train"))
    return plan, buckets


def rematerialized(loss_fn: LossFn) -> LossFn:
    """The same loss; for its backward pass only matmuls are kept, the rest is computed again."""
    return loss_fn._replace(parts=jax.checkpoint(loss_fn.parts, policy=KEPT, static_argnums=4))


def _hash_name(name: str) -> int:
    """A number for `fold_in`, the same in every run (Python's own hash is not)."""
    return int.from_bytes(name.encode()[:4], "little") & 0x7FFFFFFF


def _shapes(bucket: Bucket, corpus: MixedCorpus, mesh: Mesh, rows_multiple: int) -> Batch:
    """Of a batch over all devices."""
    rows = padded_rows(bucket.rows, rows_multiple)
    empty = collate([], Bucket(1, *bucket[1:]), corpus.info.mel.n_mels, corpus.curves)
    sharding = batch_sharded(mesh)
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype, sharding=sharding), empty
    )
