"""What a training on shards reports before it starts: shapes, padding, FLOP, memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from diffsinger_jax.engine.compile import CompiledStep
from diffsinger_jax.engine.hosts import log_primary
from diffsinger_jax.engine.loop import RunContext
from diffsinger_jax.pipeline.batches import padded_rows
from diffsinger_jax.pipeline.mix import MixedCorpus
from diffsinger_jax.pipeline.plan import PADDING_ROW, BatchPlan


def describe_training(
    run: RunContext,
    frames: np.ndarray,
    name: str,
    section: Any,
    compiled: Mapping[Any, CompiledStep],
    plan: BatchPlan,
    *,
    rows_multiple: int,
    start: int,
) -> None:
    """Shapes, padding, FLOP and memory of a training, and where its checkpoints go.

    Args:
      run: where it is trained.
      frames: i[examples] of the training split.
      name: of the stage.
      section: of the config, with `steps` and `frames_per_batch`.
      compiled: its programs by shape.
      plan: of its batches.
      rows_multiple: that the rows of a batch divide by.
      start: steps that are done.
    """
    devices = run.mesh.size
    real = dict.fromkeys(compiled, 0)
    batches = dict.fromkeys(compiled, 0)
    for number in range(plan.batches_per_epoch):
        bucket, indices = plan[number]
        real[bucket] += int(frames[indices[indices != PADDING_ROW]].sum())
        batches[bucket] += 1
    room = {b: padded_rows(b.rows, rows_multiple) * b.frames * batches[b] for b in compiled}
    log_primary(
        f"stage {name}: steps {start} to {section.steps}; {plan.batches_per_epoch} batches an "
        f"epoch, {sum(real.values()) / max(1, sum(batches.values())) / devices:,.0f} real frames "
        f"a device and step, {_share(sum(real.values()), sum(room.values()))} padding"
    )
    log_primary("  rows x frames  phonemes  batches  padding  compiled   GFLOP/device  MB/device")
    for bucket, program in compiled.items():
        rows = padded_rows(bucket.rows, rows_multiple)
        log_primary(
            f"  {rows:4} x {bucket.frames:<6}  {bucket.phonemes:8}  {batches[bucket]:7}  "
            f"{_share(real[bucket], room[bucket]):>7}  {program.compile_sec:6.1f} s  "
            f"{program.flops / 1e9:13.2f}  {program.memory_bytes / 1e6:9.1f}"
        )
    wasted = sum(padded_rows(b.rows, rows_multiple) - b.rows for b in compiled)
    if wasted:
        log_primary(
            f"  {wasted} of {sum(padded_rows(b.rows, rows_multiple) for b in compiled)} rows are "
            f"there only to divide among {rows_multiple}; raise "
            f"config.{name}.frames_per_batch ({section.frames_per_batch}) to use them"
        )
    log_primary(f"  checkpoints go to {run.workdir.checkpoints / name}")


def shard_describer(
    run: RunContext, corpus: MixedCorpus, name: str, section: Any
) -> Callable[[Any, BatchPlan, int, int], None]:
    """`describe_training` as a `Learning` asks for it."""

    def describe(compiled: Any, plan: BatchPlan, rows_multiple: int, steps_done: int) -> None:
        frames = corpus.lengths("train").frames
        how = {"rows_multiple": rows_multiple, "start": steps_done}
        describe_training(run, frames, name, section, compiled, plan, **how)

    return describe


def _share(real: int, room: int) -> str:
    return f"{100 * (1 - real / max(1, room)):.1f} %"
