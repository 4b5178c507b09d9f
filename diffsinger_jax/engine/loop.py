"""How one task is trained to its end, on one device or on those of many hosts.

    restore or start -> compile all shapes -> [read ahead -> update] ... -> the last state

`step` alone says which batch comes next and which random key it gets, so a run that was cut off
goes on as if it had not been. Between log steps the host only hands batches over: it waits for
no number and moves none but the batch.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

import jax
import numpy as np
from jax.sharding import Mesh

from diffsinger_jax.engine.checkpoint import Checkpoints
from diffsinger_jax.engine.clock import Clock, is_out_of_time
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
from diffsinger_jax.engine.run_config import RunConfig
from diffsinger_jax.engine.sharding import batch_sharded, prefetch, replicated, state_shardings
from diffsinger_jax.engine.workdir import Workdir
from diffsinger_jax.engine.writer import Writer

STEPS_IN_FLIGHT = 2
"""Updates that are handed to the devices before the host waits for the one before them."""


class RunContext(NamedTuple):
    """Where and how often.

    Attributes:
      config: what the loop reads.
      workdir: of the run.
      mesh: of all devices.
      profile: steps between which a trace is written; None for no trace.
    """

    config: RunConfig
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
      update: (state, fixed, batch, progress) -> (state, metrics), pure; metrics have "loss" and
        "skipped", progress is that of the `Clock`.
      learning_rate: (steps done, progress) -> what the next one goes by, for the log.
      weights: of the losses, by name: one with a weight that counts nothing is said to.
      shapes: a batch's arrays as `jax.ShapeDtypeStruct`, by its shape.
      shape_of: step -> its batch's shape.
      batches: steps done -> the batches that follow, on their way to the devices.
      frames_of: step -> real frames in its batch, over all hosts.
      names_of: step -> the examples in its batch.
      describe: (programs, steps done) -> says what is about to be trained.
      evaluate: (step, state, writer) -> looks at how it stands, and writes it.
      minutes: after which it ends before its last step, all starts together; looked at when it
        logs, 0 for steps alone.
    """

    name: str
    steps: int
    start: Callable[[], Any]
    fixed: Any
    update: Callable[[Any, Any, Any, Any], tuple[Any, dict]]
    learning_rate: Callable[[int, Any], Any]
    weights: Mapping[str, float]
    shapes: Mapping[Any, Any]
    shape_of: Callable[[int], Shape]
    batches: Callable[[int], Iterator[Any]]
    frames_of: Callable[[int], int]
    names_of: Callable[[int], str]
    describe: Callable[[Mapping[Any, CompiledStep], int], None]
    evaluate: Callable[[int, Any, Writer], None]
    minutes: float = 0.0


def train(task: TrainTask, run: RunContext) -> Any:
    """Trains to the end, from the last checkpoint if there is one.

    Returns:
      The state after the last step.

    Raises:
      InputError: if no checkpoint can be read, or the losses stay infinite.
      SystemExit: with code 0, after SIGTERM, when all is saved.
    """
    config = run.config
    run.workdir.copy_soon()  # what was measured for this task
    checkpoints = _checkpoints(task, run)
    state = task.start()
    if checkpoints.latest() is not None:
        state = checkpoints.restore(state)
    start = int(state.step)
    if start >= task.steps or is_out_of_time(run.workdir, task.name, task.minutes):
        checkpoints.close()
        return state
    preemption = PreemptionHandler()  # what comes while we compile is seen after the first step
    compiled = compile_task(task, run.mesh, state)
    task.describe(compiled, start)
    clock = Clock(run.workdir, run.mesh, task.name, task.minutes)
    log = _Log(task, run, compiled, start, clock.progress)
    batches, in_flight, saved_at = prefetch(task.batches(start)), [], time.monotonic()
    try:
        for step in range(start + 1, task.steps + 1):
            _profile(task, run, step)
            batch = log.waiting_for(batches)
            update = compiled[task.shape_of(step)]
            with jax.transfer_guard("disallow"):
                state, metrics = update.call(state, task.fixed, batch, clock.progress)
            log.add(step, metrics, update.flops)
            in_flight.append(metrics["loss"])
            if len(in_flight) > STEPS_IN_FLIGHT:
                in_flight.pop(0).block_until_ready()

            if step % config.log_every_steps == 0:
                clock.look()
            last, stop = step == task.steps or clock.is_over, preemption.seen()
            logs = last or stop or step % config.log_every_steps == 0
            if logs:
                log.write(step, clock.progress)
            checkpoints.look()
            due = logs and _is_due(saved_at, config.save_every_minutes)
            if last or stop or due or step % config.save_every_steps == 0:
                checkpoints.save(step, state)
                clock.save()
                saved_at = time.monotonic()
            if stop and not last:
                checkpoints.finish()
                _exit_saved(task.name, step)
            if last or step % config.evaluate_every_steps == 0:
                log.evaluate(step, state)
            if last or step % config.log_every_steps == 0:
                run.workdir.copy_soon()
            if last:
                break
    finally:
        log.close()
        preemption.close()
        checkpoints.close()
    return state


def compile_task(task: TrainTask, mesh: Mesh, state: Any) -> dict[Shape, CompiledStep]:
    """The update for all shapes; the state's buffers are given away by each call."""
    shardings = state_shardings(mesh, state)
    jitted = jax.jit(
        task.update,
        in_shardings=(shardings, replicated(mesh), batch_sharded(mesh), replicated(mesh)),
        out_shardings=(shardings, replicated(mesh)),
        donate_argnums=0,
    )
    progress = jax.ShapeDtypeStruct((), np.float32, sharding=replicated(mesh))
    arguments = {
        shape: (state, task.fixed, batch, progress) for shape, batch in task.shapes.items()
    }
    compiled = compile_all(jitted, arguments, stage=task.name)
    barrier(f"{task.name} is compiled")
    return compiled


class _Log:
    """Everything that a training says and writes of itself; one for each call of `train`."""

    def __init__(
        self,
        task: TrainTask,
        run: RunContext,
        compiled: Mapping[Shape, CompiledStep],
        start: int,
        progress: jax.Array,
    ):
        self._task, self._waited = task, 0.0
        self._writer = Writer(
            run.workdir.folder, task.name, start_step=start, silent=not is_primary()
        )
        self._progress = Progress(
            task,
            start,
            stop_after_nonfinite=run.config.stop_after_nonfinite,
            peak_flops=run.config.peak_flops or peak_flops(jax.devices()[0].device_kind),
        )
        self._writer.numbers(
            start,
            {f"compile_sec_{s.rows}x{s.frames}": one.compile_sec for s, one in compiled.items()},
        )
        self._learning_rate = jax.jit(task.learning_rate)
        self._learning_rate(start, progress)  # compiled before the first step, like all else
        self._compiles = CompileCounter()

    def waiting_for(self, batches: Iterator[Any]) -> Any:
        """The next batch; how long it took is the input's share of the time."""
        before = time.perf_counter()
        batch = next(batches)
        self._waited = time.perf_counter() - before
        return batch

    def add(self, step: int, metrics: dict, flops: float) -> None:
        """One step's metrics, still on the devices."""
        frames = self._task.frames_of(step)
        self._progress.add(step, metrics, frames=frames, flops=flops, waited=self._waited)

    def write(self, step: int, progress: jax.Array) -> None:
        """Means since the last time; waits for the devices."""
        about = {
            "learning_rate": float(self._learning_rate(step - 1, progress)),
            "compiles": self._compiles.since_last(),
        }
        self._writer.numbers(step, self._progress.flush() | about)

    def evaluate(self, step: int, state: Any) -> None:
        """The task's evaluation, which counts neither as training nor as compiling."""
        self._task.evaluate(step, state, self._writer)
        self._progress.restart_clock()
        self._compiles.since_last()

    def close(self) -> None:
        """Nothing is kept back."""
        self._progress.close()
        self._compiles.close()
        self._writer.close()


def _checkpoints(task: TrainTask, run: RunContext) -> Checkpoints:
    return Checkpoints(
        run.workdir.checkpoints / task.name,
        keep=run.config.keep_checkpoints,
        keep_every_steps=run.config.keep_every_steps,
    )


def _exit_saved(name: str, step: int) -> NoReturn:
    log_primary(f"SIGTERM: stage {name} is saved at step {step}; the same command goes on from it")
    sys.exit(0)


def _profile(task: TrainTask, run: RunContext, step: int) -> None:
    """Starts and ends the trace, if this is one of its steps."""
    if run.profile is None or not is_primary():
        return
    first, end = run.profile
    name = f"profile/{task.name}"
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
