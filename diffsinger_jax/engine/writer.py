"""Numbers, pictures and sounds of a run: metrics.jsonl for programs, TensorBoard for people."""

from __future__ import annotations

import contextlib
import json
import math
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from tensorboardX import summary
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import RecordWriter

from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.engine.hosts import log_primary

METRICS_FILE = "metrics.jsonl"
EVENTS_FILE_BYTES = 8 << 20
"""From this size on another file of events is begun: to a bucket a file goes as a whole."""


class Writer:
    """Writes under `folder`; one line of metrics.jsonl for each call of `numbers`.

    TensorBoard's events are written by ourselves, in the calling thread: a disk that is full ends
    the thread of tensorboardX's own writer, and the next to write would wait for it for ever.
    """

    def __init__(self, folder: Path, stage: str, *, start_step: int, silent: bool = False):
        """Lines of this stage after `start_step` are from a run that was cut off; they go.

        A silent one, of a process that is not the first, does nothing at all.
        """
        self._stage, self._silent, self._lacking = stage, silent, False
        self._file, self._board = folder / METRICS_FILE, folder / "tensorboard" / stage
        self._events: RecordWriter | None = None
        self._events_bytes = 0
        if silent:
            return
        with self.attempt():
            if self._file.exists():
                lines = self._file.read_text().splitlines()
                kept = [line for line in lines if not self._is_stale(line, start_step)]
                with atomic_write(self._file) as partial:
                    partial.write_text("".join(line + "\n" for line in kept))
            # TensorBoard leaves out what it has of later steps, from the run that was cut off.
            purge = SessionLog(status=SessionLog.START)
            self._add(Event(step=start_step + 1, session_log=purge))

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """What is written inside may fail, as on a full disk: that is said, once, and passed by."""
        try:
            yield
            self._lacking = False
        except OSError as error:
            if self._events is not None:  # its file may end in half an event: another comes next
                with contextlib.suppress(OSError):
                    self._events.close()
                self._events = None
            if not self._lacking:
                log_primary(
                    f"the log in {self._file.parent} is not written ({error}); training goes on"
                )
            self._lacking = True

    def _add(self, event: Event) -> None:
        if self._events is None:
            self._board.mkdir(parents=True, exist_ok=True)
            name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}"
            self._events, self._events_bytes = RecordWriter(str(self._board / name)), 0
            self._add(Event(file_version="brain.Event:2"))
        event.wall_time = time.time()
        self._events.write(event.SerializeToString())
        self._events.flush()
        self._events_bytes += event.ByteSize()
        if self._events_bytes > EVENTS_FILE_BYTES:
            self._events.close()
            self._events = None

    def _is_stale(self, line: str, start_step: int) -> bool:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:  # the last line of a killed run may be half a line
            return True
        return entry["stage"] == self._stage and entry["step"] > start_step

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        """One set of scalars after `step` updates."""
        if self._silent:
            return
        # JSON has no NaN: a mean over nothing is null.
        numbers = {k: float(v) if math.isfinite(v) else None for k, v in values.items()}
        entry = {"stage": self._stage, "step": step, **numbers}
        with self.attempt():
            with self._file.open("a") as file:
                file.write(json.dumps(entry) + "\n")
            for name, value in values.items():
                self._add(Event(step=step, summary=summary.scalar(name, float(value))))

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """u8 or f32[height, width, 3 or 4]."""
        shown = summary.image(name, image[..., :3], dataformats="HWC")
        with self.attempt():
            self._add(Event(step=step, summary=shown))

    def sound(self, step: int, name: str, wav: np.ndarray, sample_rate: int) -> None:
        """f32[L] in [-1, 1]."""
        sounding = summary.audio(name, wav[:, None], sample_rate=sample_rate)
        with self.attempt():
            self._add(Event(step=step, summary=sounding))

    def close(self) -> None:
        """Nothing is kept back; closes the file."""
        if self._events is not None:
            with self.attempt():
                self._events.close()
