"""Numbers, pictures and sounds of a run: metrics.jsonl for programs, TensorBoard for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tensorboardX import SummaryWriter

METRICS_FILE = "metrics.jsonl"


class Writer:
    """Writes under `folder`; one line of metrics.jsonl for each call of `numbers`."""

    def __init__(self, folder: Path, stage: str, *, start_step: int, silent: bool = False):
        """Lines of this stage after `start_step` are from a run that was cut off; they go.

        A silent one, of a process that is not the first, does nothing at all.
        """
        self._stage, self._silent = stage, silent
        if silent:
            return
        self._file = folder / METRICS_FILE
        if self._file.exists():
            lines = self._file.read_text().splitlines()
            kept = [line for line in lines if not self._is_stale(line, start_step)]
            partial = self._file.with_suffix(".partial")
            partial.write_text("".join(line + "\n" for line in kept))
            partial.replace(self._file)
        self._board = SummaryWriter(
            str(folder / "tensorboard" / stage), purge_step=start_step, write_to_disk=True
        )

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
        entry = {"stage": self._stage, "step": step, **{k: float(v) for k, v in values.items()}}
        with self._file.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        for name, value in values.items():
            self._board.add_scalar(name, float(value), step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """u8 or f32[height, width, 3 or 4]."""
        self._board.add_image(name, image[..., :3], step, dataformats="HWC")

    def sound(self, step: int, name: str, wav: np.ndarray, sample_rate: int) -> None:
        """f32[L] in [-1, 1]."""
        self._board.add_audio(name, wav[:, None], step, sample_rate=sample_rate)

    def close(self) -> None:
        """Flushes."""
        if not self._silent:
            self._board.close()
