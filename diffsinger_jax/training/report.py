"""What a run says of itself before it trains: devices, shapes, padding, work, memory."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from diffsinger_jax.pipeline.batches import padded_rows
from diffsinger_jax.pipeline.plan import PADDING_ROW, BatchPlan, Bucket
from diffsinger_jax.training.hosts import say
from diffsinger_jax.training.programs import Program
from diffsinger_jax.training.stages import Setting
from diffsinger_jax.training.work import Run


def describe_devices(setting: Setting | Run) -> None:
    """Once for a run."""
    devices, hosts = jax.devices(), jax.process_count()
    share = setting.config.mesh.fsdp
    say(
        f"devices: {len(devices)} x {devices[0].device_kind} in {hosts} "
        f"process{'es' if hosts > 1 else ''}"
        + (f", {share} to a copy of the training state" if share > 1 else "")
    )


def describe_params(params: dict[str, Any]) -> None:
    """How many there are, in all and of each part."""
    sizes = {name: sum(np.size(x) for x in jax.tree.leaves(p)) for name, p in params.items()}
    parts = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
    say(f"parameters: {sum(sizes.values()):,}; {parts}")


def describe_stage(
    setting: Setting,
    name: str,
    programs: dict[Bucket, Program],
    plan: BatchPlan,
    *,
    rows_multiple: int,
    start: int,
) -> None:
    """Shapes, padding, work and memory of a stage, and where its checkpoints go."""
    settings, devices = setting.config[name], setting.mesh.size
    frames = setting.corpus.lengths("train").frames
    real = dict.fromkeys(programs, 0)
    batches = dict.fromkeys(programs, 0)
    for number in range(plan.batches_per_epoch):
        bucket, indices = plan[number]
        real[bucket] += int(frames[indices[indices != PADDING_ROW]].sum())
        batches[bucket] += 1
    room = {b: padded_rows(b.rows, rows_multiple) * b.frames * batches[b] for b in programs}
    say(
        f"stage {name}: steps {start} to {settings.steps}; {plan.batches_per_epoch} batches an "
        f"epoch, {sum(real.values()) / max(1, sum(batches.values())) / devices:,.0f} real frames "
        f"a device and step, {_share(sum(real.values()), sum(room.values()))} padding"
    )
    say("  rows x frames  phonemes  batches  padding  compiled   GFLOP/device  MB/device")
    for bucket, program in programs.items():
        rows = padded_rows(bucket.rows, rows_multiple)
        say(
            f"  {rows:4} x {bucket.frames:<6}  {bucket.phonemes:8}  {batches[bucket]:7}  "
            f"{_share(real[bucket], room[bucket]):>7}  {program.compile_sec:6.1f} s  "
            f"{program.flops / 1e9:13.2f}  {program.memory_bytes / 1e6:9.1f}"
        )
    wasted = sum(padded_rows(b.rows, rows_multiple) - b.rows for b in programs)
    if wasted:
        say(
            f"  {wasted} of {sum(padded_rows(b.rows, rows_multiple) for b in programs)} rows are "
            f"there only to divide among {rows_multiple}; raise "
            f"config.{name}.frames_per_batch ({settings.frames_per_batch}) to use them"
        )
    say(f"  checkpoints go to {setting.workdir.checkpoints / name}")


def _share(real: int, room: int) -> str:
    return f"{100 * (1 - real / max(1, room)):.1f} %"
