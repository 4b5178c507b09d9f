"""A progress line with an ETA, and the means of what was seen since it was last asked."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import jax
from tqdm import tqdm

from diffsinger_jax.engine.hosts import is_primary, log_primary
from diffsinger_jax.engine.metrics import Mean
from diffsinger_jax.errors import InputError


class Trained(Protocol):
    """What is said of a task; see `TrainTask`."""

    @property
    def name(self) -> str:
        """Of the task."""

    @property
    def steps(self) -> int:
        """In all."""

    @property
    def weights(self) -> Mapping[str, float]:
        """Of its losses."""

    @property
    def names_of(self) -> Callable[[int], str]:
        """Step -> the examples in its batch."""


class Progress:
    """Collects metrics on the device and fetches them only at log steps."""

    def __init__(
        self, task: Trained, start: int, *, stop_after_nonfinite: int, peak_flops: float = 0.0
    ):
        """Counts from `start` steps.

        Args:
          task: what is trained.
          start: steps done.
          stop_after_nonfinite: so many updates left out in a row end the training.
          peak_flops: FLOP/s of a device, 0 if not known.
        """
        self._bar = tqdm(
            desc=task.name,
            initial=start,
            total=task.steps,
            unit="step",
            smoothing=0.05,
            disable=not is_primary(),
        )
        self._task, self._stop_after, self._peak = task, stop_after_nonfinite, peak_flops
        self._skipped: list[int] = []  # the last ones, without a gap
        self._empty: set[str] = set()  # losses with a weight that were said to count nothing
        self._metrics: list[tuple[int, dict]] = []
        self._frames, self._flops, self._waited = 0, 0.0, 0.0
        self._since = time.perf_counter()

    def add(self, step: int, metrics: dict, *, frames: int, flops: float, waited: float) -> None:
        """One step's metrics, still on the device.

        Args:
          step: its number, from 1.
          metrics: of `train_step`.
          frames: real ones that all hosts saw.
          flops: of one device.
          waited: seconds for its batch.
        """
        self._metrics.append((step, metrics))
        self._frames += frames
        self._flops += flops
        self._waited += waited
        self._bar.update()

    def flush(self) -> dict[str, float]:
        """Means since the last call, and how fast it went; waits for the device.

        Raises:
          InputError: if too many updates in a row were left out.
        """
        fetched = [(step, jax.device_get(metrics)) for step, metrics in self._metrics]
        seconds = time.perf_counter() - self._since
        numbers = {
            "frames_per_sec": self._frames / seconds,
            "seconds": seconds,
            "step_sec": seconds / len(fetched),
            "input_wait_share": self._waited / seconds,
        }
        if self._peak:
            numbers["mfu"] = self._flops / seconds / self._peak
        memory = jax.local_devices()[0].memory_stats() or {}
        if "peak_bytes_in_use" in memory:
            numbers["device_memory_bytes"] = memory["peak_bytes_in_use"]
        numbers["skipped"] = sum(float(metrics["skipped"]) for _, metrics in fetched)
        kept = [metrics for _, metrics in fetched if not metrics["skipped"]]
        for name in (name for name in fetched[0][1] if name != "skipped"):
            values = [metrics[name] for metrics in kept]
            if values and isinstance(values[0], Mean):
                total, count = sum(v.total for v in values), sum(v.count for v in values)
                numbers[name] = float(total / count) if count else math.nan
            elif values:
                numbers[name] = float(sum(values) / len(values))
        if kept:
            self._bar.set_postfix_str(
                f"loss {numbers['loss']:.4f}, {numbers['frames_per_sec']:.0f} frames/s"
            )
        self._metrics, self._frames, self._flops, self._waited = [], 0, 0.0, 0.0
        self.restart_clock()
        self._say_empty(fetched[0][0], fetched[-1][0], numbers)
        self._say_skipped(fetched)
        return numbers

    def _say_empty(self, first: int, last: int, numbers: dict[str, float]) -> None:
        """Names, once, the losses that have a weight and nothing to learn from."""
        for name, weight in self._task.weights.items():
            if weight and name not in self._empty and math.isnan(numbers.get(name, 0.0)):
                self._empty.add(name)
                log_primary(
                    f"steps {first} to {last} of {self._task.name}: the loss {name} has the weight "
                    f"{weight:g}, but nothing in these batches counts for it, so that it trains "
                    "nothing; look at the corpus (notes, f0), or set its weight to 0"
                )

    def _say_skipped(self, fetched: list[tuple[int, dict]]) -> None:
        """Names the steps whose updates were left out, and ends the training if they pile up."""
        for step, metrics in fetched:
            if not metrics["skipped"]:
                self._skipped = []
                continue
            self._skipped.append(step)
            what = _not_finite(metrics)
            log_primary(
                f"step {step} of {self._task.name}: {what} was not finite, so the update was left "
                f"out; its examples are {self._task.names_of(step)}"
            )
            if len(self._skipped) >= self._stop_after:
                raise InputError(
                    f"in steps {self._skipped[0]} to {step} of stage {self._task.name} {what} was "
                    f"not finite, {len(self._skipped)} times in a row; if always the same examples "
                    "are named above, look at them (checks.csv of the corpus), else lower the "
                    "learning rate; the params are still those from before these steps"
                )

    def restart_clock(self) -> None:
        """Leaves what was not training, such as an evaluation, out of frames_per_sec."""
        self._since = time.perf_counter()

    def close(self) -> None:
        """Ends the line."""
        self._bar.close()


def _not_finite(metrics: dict) -> str:
    """The losses that are not, or else the gradient."""
    names = [
        name
        for name, value in metrics.items()
        if isinstance(value, Mean) and not math.isfinite(value.total)
    ]
    return f"the loss {', '.join(names)}" if names else "the gradient"
