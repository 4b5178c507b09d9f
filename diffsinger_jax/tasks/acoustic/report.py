"""What a stage says of itself before it trains: shapes, padding, work, memory."""

from __future__ import annotations

from diffsinger_jax.engine.compile import CompiledStep
from diffsinger_jax.engine.hosts import log_primary
from diffsinger_jax.pipeline.batches import padded_rows
from diffsinger_jax.pipeline.plan import PADDING_ROW, BatchPlan, Bucket
from diffsinger_jax.tasks.acoustic.stages import AcousticRun


def describe_stage(
    run: AcousticRun,
    name: str,
    programs: dict[Bucket, CompiledStep],
    plan: BatchPlan,
    *,
    rows_multiple: int,
    start: int,
) -> None:
    """Shapes, padding, work and memory of a stage, and where its checkpoints go."""
    settings, devices = run.config.stage(name), run.mesh.size
    frames = run.corpus.lengths("train").frames
    real = dict.fromkeys(programs, 0)
    batches = dict.fromkeys(programs, 0)
    for number in range(plan.batches_per_epoch):
        bucket, indices = plan[number]
        real[bucket] += int(frames[indices[indices != PADDING_ROW]].sum())
        batches[bucket] += 1
    room = {b: padded_rows(b.rows, rows_multiple) * b.frames * batches[b] for b in programs}
    log_primary(
        f"stage {name}: steps {start} to {settings.steps}; {plan.batches_per_epoch} batches an "
        f"epoch, {sum(real.values()) / max(1, sum(batches.values())) / devices:,.0f} real frames "
        f"a device and step, {_share(sum(real.values()), sum(room.values()))} padding"
    )
    log_primary("  rows x frames  phonemes  batches  padding  compiled   GFLOP/device  MB/device")
    for bucket, program in programs.items():
        rows = padded_rows(bucket.rows, rows_multiple)
        log_primary(
            f"  {rows:4} x {bucket.frames:<6}  {bucket.phonemes:8}  {batches[bucket]:7}  "
            f"{_share(real[bucket], room[bucket]):>7}  {program.compile_sec:6.1f} s  "
            f"{program.flops / 1e9:13.2f}  {program.memory_bytes / 1e6:9.1f}"
        )
    wasted = sum(padded_rows(b.rows, rows_multiple) - b.rows for b in programs)
    if wasted:
        log_primary(
            f"  {wasted} of {sum(padded_rows(b.rows, rows_multiple) for b in programs)} rows are "
            f"there only to divide among {rows_multiple}; raise "
            f"config.{name}.frames_per_batch ({settings.frames_per_batch}) to use them"
        )
    log_primary(f"  checkpoints go to {run.workdir.checkpoints / name}")


def _share(real: int, room: int) -> str:
    return f"{100 * (1 - real / max(1, room)):.1f} %"
