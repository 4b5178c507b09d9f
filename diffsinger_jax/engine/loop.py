"""How one piece of work is trained to its end, on one device or on those of many hosts.

    restore or start -> compile all shapes -> [read ahead -> update] ... -> the last state

`step` alone says which batch comes next and which random key it gets, so a run that was cut off
goes on as if it had not been. Between log steps the host only hands batches over: it waits for
no number and moves none but the batch.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from diffsinger_jax.engine.checkpoint import Checkpoints
from diffsinger_jax.engine.compile import (
    CompileCounter,
    CompiledStep,
    Shape,
    compile_all,
    peak_flops,
)
from diffsinger_jax.engine.hosts import (
    PreemptionHandler,
    barrier,
    broadcast,
    is_primary,
    log_primary,
)
from diffsinger_jax.engine.progress import Progress
from diffsinger_jax.engine.sharding import batch_sharded, prefetch, replicated, state_shardings
from diffsinger_jax.engine.workdir import Workdir
from diffsinger_jax.engine.writer import Writer

STEPS_IN_FLIGHT = 2
"""Updates that are handed to the devices before the host waits for the one before them."""


class RunContext(NamedTuple):
    """Where and how often.

    Attributes:
      config: see `running` in configs/base.py, whose fields the loop reads.
      workdir: of the run.
      mesh: of all devices.
      profile: steps between which a trace is written; None for no trace.
    """

    config: ConfigDict
    workdir: Workdir
    mesh: Mesh
    profile: tuple[int, int] | None = None


class TrainTask(NamedTuple):
    """What is trained. Steps are counted from 1.

    Attributes:
      name: for the log and the folder of checkpoints.
      steps: in all.
      start: makes the state before the first step, on its devices; it has a `step`, i32[].
      fixed: arrays that the update needs and leaves alone, whole on each device.
      update: (state, fixed, batch) -> (state, metrics), pure; metrics have "loss" and "skipped".
      learning_rate: steps done -> what the next one goes by, for the log.
      shapes: a batch's arrays as `jax.ShapeDtypeStruct`, by its shape.
      shape_of: step -> its batch's shape.
      batches: steps done -> the batches that follow, on their way to the devices.
      frames_of: step -> real frames in its batch, over all hosts.
      names_of: step -> the examples in its batch.
      describe: (programs, steps done) -> says what is about to be trained.
      evaluate: (step, state, writer) -> looks at how it stands, and writes it.
    """

    name: str
    steps: int
    start: Callable[[], Any]
    fixed: Any
    update: Callable[[Any, Any, Any], tuple[Any, dict]]
    learning_rate: Callable[[int], Any]
    shapes: Mapping[Shape, Any]
    shape_of: Callable[[int], Shape]
    batches: Callable[[int], Iterator[Any]]
    frames_of: Callable[[int], int]
    names_of: Callable[[int], str]
    describe: Callable[[Mapping[Shape, CompiledStep], int], None]
    evaluate: Callable[[int, Any, Writer], None]


def train(work: TrainTask, run: RunContext) -> Any:
    """Trains to the end, from the last checkpoint if there is one.

    Returns:
      The state after the last step.

    Raises:
      InputError: if no checkpoint can be read, or the losses stay infinite.
      SystemExit: with code 0, after SIGTERM, when all is saved.
    """
    config, mesh = run.config, run.mesh
    run.workdir.copy_soon()  # what was measured for this work
    state = work.start()
    checkpoints = Checkpoints(
        run.workdir.checkpoints / work.name,
        keep=config.keep_checkpoints,
        keep_every_steps=config.keep_every_steps,
    )
    if checkpoints.latest() is not None:
        state = checkpoints.restore(state)
    start = int(state.step)
    if start >= work.steps:
        checkpoints.close()
        return state

    shardings = state_shardings(mesh, state)
    jitted = jax.jit(
        work.update,
        in_shardings=(shardings, replicated(mesh), batch_sharded(mesh)),
        out_shardings=(shardings, replicated(mesh)),
        donate_argnums=0,
    )
    notice = PreemptionHandler()  # what comes while we compile is seen after the first step
    arguments = {shape: (state, work.fixed, batch) for shape, batch in work.shapes.items()}
    programs = compile_all(jitted, arguments, stage=work.name)
    barrier(f"{work.name} is compiled")
    del arguments  # it holds the state, whose buffers are given away
    work.describe(programs, start)
    try:
        return _steps(work, run, programs, start, state, checkpoints, notice)
    finally:
        notice.close()
        checkpoints.close()


def _steps(
    work: TrainTask,
    run: RunContext,
    programs: Mapping[Shape, CompiledStep],
    start: int,
    state: Any,
    checkpoints: Checkpoints,
    notice: PreemptionHandler,
) -> Any:
    """The steps from `start` to the last."""
    config = run.config
    writer = Writer(run.workdir.folder, work.name, start_step=start, silent=not is_primary())
    progress = Progress(
        work.name,
        start,
        work.steps,
        stop_after_nonfinite=config.stop_after_nonfinite,
        names_of_batch=work.names_of,
        peak_flops=config.peak_flops or peak_flops(jax.devices()[0].device_kind),
    )
    compiled = {
        f"compile_sec_{shape.rows}x{shape.frames}": program.compile_sec
        for shape, program in programs.items()
    }
    writer.numbers(start, compiled)
    learning_rate = jax.jit(work.learning_rate)
    learning_rate(start)  # compiled before the first step, like all else
    compiles = CompileCounter()
    batches = prefetch(work.batches(start))
    saved_at = time.monotonic()
    in_flight: list[jax.Array] = []
    try:
        for step in range(start + 1, work.steps + 1):
            _profile(work, run, step)
            before = time.perf_counter()
            batch = next(batches)
            waited = time.perf_counter() - before
            program = programs[work.shape_of(step)]
            with jax.transfer_guard("disallow"):
                state, metrics = program.call(state, work.fixed, batch)
            frames = work.frames_of(step)
            progress.add(step, metrics, frames=frames, flops=program.flops, waited=waited)
            in_flight.append(metrics["loss"])
            if len(in_flight) > STEPS_IN_FLIGHT:
                in_flight.pop(0).block_until_ready()

            last, stop = step == work.steps, notice.seen()
            save = last or stop or step % config.save_every_steps == 0
            if last or stop or step % config.log_every_steps == 0:
                rate = float(learning_rate(step - 1))
                about = {"learning_rate": rate, "compiles": compiles.since_last()}
                writer.numbers(step, progress.flush() | about)
                save = save or _is_due(saved_at, config.save_every_minutes)
            checkpoints.look()
            if save:
                checkpoints.save(step, state)
                saved_at = time.monotonic()
            if stop and not last:
                checkpoints.finish()
                log_primary(
                    f"SIGTERM: stage {work.name} is saved at step {step}; the same command "
                    "goes on from there"
                )
                sys.exit(0)
            if last or step % config.evaluate_every_steps == 0:
                work.evaluate(step, state, writer)
                progress.restart_clock()
                compiles.since_last()  # an evaluation's own
            if last or step % config.log_every_steps == 0:
                run.workdir.copy_soon()
    finally:
        progress.close()
        compiles.close()
        writer.close()
    return state


def _profile(work: TrainTask, run: RunContext, step: int) -> None:
    """Starts and ends the trace, if this is one of its steps."""
    if run.profile is None or not is_primary():
        return
    first, end = run.profile
    name = f"profile/{work.name}"
    if step == first:
        jax.profiler.start_trace(str(run.workdir.folder / name))
    elif step == end:
        jax.profiler.stop_trace()
        log_primary(
            f"the trace of steps {first} to {end} is in {run.workdir}/{name}; see docs/training.md"
        )


def _is_due(saved_at: float, minutes: float) -> bool:
    """By the first host's clock."""
    if not minutes:
        return False
    return bool(broadcast(np.int32(time.monotonic() - saved_at >= 60 * minutes)))
