"""Saving and restoring a training state with Orbax, asynchronously, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp


class Checkpoints:
    """The checkpoints of one stage, numbered by steps done.

    Orbax writes into a temporary folder and renames it, so a folder with a number is whole.
    """

    def __init__(self, folder: Path, *, keep: int):
        """`folder` is made if it is not there; the last `keep` checkpoints stay."""
        self._manager = ocp.CheckpointManager(
            folder.absolute(),
            options=ocp.CheckpointManagerOptions(max_to_keep=keep, create=True),
        )

    def latest(self) -> int | None:
        """Steps done in the last checkpoint, None where there is none."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any) -> None:
        """Starts writing; returns once the arrays are copied."""
        self._manager.save(step, args=ocp.args.StandardSave(state))

    def restore(self, like: Any) -> Any:
        """The last checkpoint, in the shapes, dtypes and shardings of `like`."""
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        return self._manager.restore(self.latest(), args=ocp.args.StandardRestore(target))

    def close(self) -> None:
        """Waits for what is being written."""
        self._manager.wait_until_finished()
        self._manager.close()
