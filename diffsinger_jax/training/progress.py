"""A progress line with an ETA, and the means of what was seen since it was last asked."""

from __future__ import annotations

import time

import jax
from tqdm import tqdm

from diffsinger_jax.training.losses import Mean


class Progress:
    """Collects metrics on the device and fetches them only at log steps."""

    def __init__(self, stage: str, start: int, total: int):
        """Counts from `start` of `total` steps."""
        self._bar = tqdm(desc=stage, initial=start, total=total, unit="step", smoothing=0.05)
        self._metrics: list[dict] = []
        self._frames = 0
        self._since = time.perf_counter()

    def add(self, metrics: dict, *, frames: int) -> None:
        """One step's metrics, still on the device, and how many real frames it saw."""
        self._metrics.append(metrics)
        self._frames += frames
        self._bar.update()

    def flush(self) -> dict[str, float]:
        """Means since the last call, its seconds and frames_per_sec; waits for the device."""
        fetched = jax.device_get(self._metrics)
        seconds = time.perf_counter() - self._since
        numbers = {"frames_per_sec": self._frames / seconds, "seconds": seconds}
        for name, first in fetched[0].items():
            values = [metrics[name] for metrics in fetched]
            if isinstance(first, Mean):
                total, count = sum(v.total for v in values), sum(v.count for v in values)
                numbers[name] = float(total / max(count, 1.0))
            else:
                numbers[name] = float(sum(values) / len(values))
        self._bar.set_postfix_str(
            f"loss {numbers['loss']:.4f}, {numbers['frames_per_sec']:.0f} frames/s"
        )
        self._metrics, self._frames = [], 0
        self.restart_clock()
        return numbers

    def restart_clock(self) -> None:
        """Leaves what was not training, such as an evaluation, out of frames_per_sec."""
        self._since = time.perf_counter()

    def close(self) -> None:
        """Ends the line."""
        self._bar.close()
