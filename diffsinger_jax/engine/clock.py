"""How long a stage has trained, in minutes, over all starts of its run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh

from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.engine.hosts import broadcast, is_primary
from diffsinger_jax.engine.sharding import replicated, shard
from diffsinger_jax.engine.workdir import Workdir

CLOCK_FILE = "minutes.json"
"""In the workdir: minutes of each stage, by its name."""


def minutes_spent(workdir: Workdir, name: str) -> float:
    """Minutes that a stage had trained when it was saved last; 0 where it never was."""
    file = workdir.folder / CLOCK_FILE
    known = json.loads(file.read_text()).get(name, 0.0) if is_primary() and file.exists() else 0.0
    return float(broadcast(np.float32(known)))


def is_out_of_time(workdir: Workdir, name: str, minutes: float) -> bool:
    """Whether a stage that was given so many minutes, 0 for no end, had spent them."""
    return bool(minutes) and minutes_spent(workdir, name) >= minutes


class Clock:
    """Of one stage: goes on from where it stood when the stage was saved last.

    It runs from when it is made, looks at the first host's time, and shows what it saw last.

    Attributes:
      progress: f32[] on each device, the share of its minutes that the stage has trained; 0 where
        it has none.
      is_over: whether that is all of them.
    """

    def __init__(
        self,
        workdir: Workdir,
        mesh: Mesh,
        name: str,
        minutes: float,
        *,
        now: Callable[[], float] = time.monotonic,
    ):
        """Of a stage.

        Args:
          workdir: of the run.
          mesh: of all devices.
          name: of the stage.
          minutes: that it is given; 0 for no end.
          now: seconds.
        """
        self._workdir, self._mesh, self._name, self._minutes = workdir, mesh, name, minutes
        self._now = now
        self._before = minutes_spent(workdir, name) if minutes else 0.0
        self._started = now()
        self.look()

    def look(self) -> None:
        """Sees how late it is."""
        share = 0.0
        if self._minutes:
            share = float(broadcast(np.float32(min(self._spent() / self._minutes, 1.0))))
        self.is_over = share >= 1.0
        self.progress: jax.Array = shard(np.float32(share), replicated(self._mesh))

    def save(self) -> None:
        """Keeps the minutes in the workdir; call it where the state is saved."""
        if not self._minutes or not is_primary():
            return
        file = self._workdir.folder / CLOCK_FILE
        known = json.loads(file.read_text()) if file.exists() else {}
        with atomic_write(file) as partial:
            partial.write_text(json.dumps(known | {self._name: self._spent()}) + "\n")

    def _spent(self) -> float:
        return self._before + (self._now() - self._started) / 60.0
