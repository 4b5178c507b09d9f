"""Saving and restoring a training state with Orbax: asynchronously, whole or not at all.

On a disk or in a bucket, which has no end and knows the sums of its objects by itself.
"""

from __future__ import annotations

import json
import shutil
import zlib
from pathlib import Path
from typing import Any

import fsspec
import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.engine.hosts import all_processes, broadcast, is_primary, log_primary
from diffsinger_jax.errors import InputError, first_line

SUMS_FILE = "checksums.json"
"""In a checkpoint: CRC-32 of each of its files. One without it was cut off, or is from before."""
BUCKET_SUMS_FILE = "checksums_crc32c.json"
"""CRC-32C in a bucket, as that says them: another name, since its files may be copied to a disk."""
ROOM_FOR_FILES_BYTES = 1 << 20
"""What a checkpoint takes of a disk besides its arrays."""
_CUT_OFF = ".orbax-checkpoint-tmp"


class _Manager(ocp.CheckpointManager):
    """Orbax's, which does not ask JAX whether the processes stop.

    The step at which all stop is one more than the number with which any of them asked last. The
    loop asks with numbers that grow over all stages (`hosts.PreemptionHandler`); if Orbax asks in
    between with the step of the stage, a SIGTERM that comes then is settled on a number that the
    loop has long passed, or reaches much later.
    """

    def reached_preemption(self, step: int) -> bool:
        """No: the loop saves when it stops."""
        return False


class Checkpoints:
    """The checkpoints of one stage, numbered by steps done.

    On a disk Orbax writes into a temporary folder and renames it, so a folder with a number is
    whole; in a bucket, which cannot rename, it puts `commit_success.txt` into a whole one and takes
    no other for a checkpoint. What happens to the bytes later is found by their sums.
    """

    def __init__(self, folder: Path | epath.Path, *, keep: int, keep_every_steps: int = 0):
        """Of a folder that is made if it is not there.

        Args:
          folder: which all hosts see, or gs://BUCKET/FOLDER.
          keep: the last so many stay.
          keep_every_steps: those of multiples of it stay too; 0 for none.
        """
        self._folder = epath.Path(folder if _in_bucket(folder) else Path(folder).absolute())
        self._options = ocp.CheckpointManagerOptions(
            max_to_keep=keep, keep_period=keep_every_steps or None, create=True
        )
        self._manager: _Manager | None = self._open()
        self._latest: int | None = None
        self._writing: int | None = None
        self._is_ours = False  # until we write: another process may be writing here

    @property
    def _open_manager(self) -> _Manager:
        """The manager, by those who know that there is one."""
        assert self._manager is not None
        return self._manager

    def latest(self) -> int | None:
        """Steps done in the last checkpoint, None where there is none."""
        if self._manager is not None:
            self._latest = self._manager.latest_step()
        return self._latest

    def save(self, step: int, state: Any) -> None:
        """Starts writing; returns once the arrays are copied.

        What goes wrong in writing, a full disk first of all, is said and does not stop the
        training: the checkpoints before this one are left as they are.
        """
        self.finish()
        if self._manager is None and not self._reopen():
            self._say_unwritten(step, "it cannot be reached")
            return
        if step == self.latest():
            return
        if not self._is_ours and is_primary():
            self._remove_cut_off()
        self._is_ours = True
        if missing := self._room_missing(state):
            self._say_unwritten(step, missing)
            return
        try:
            self._writing = step
            self._open_manager.save(step, args=ocp.args.StandardSave(state))
        except Exception as error:  # of Orbax, tensorstore or the file system
            self._give_up(error)

    def look(self) -> None:
        """Settles a save that is done by now; does not wait."""
        if self._writing is not None and not self._open_manager.is_saving_in_progress():
            self.finish()

    def finish(self) -> None:
        """Waits for what is being written."""
        if self._writing is None:
            return
        try:
            self._open_manager.wait_until_finished()
            self._open_manager.check_for_errors()
            if is_primary():
                _write_sums(self._folder / str(self._writing))
            self._writing = None
        except Exception as error:  # as in `save`
            self._give_up(error)

    def restore(self, like: Any) -> Any:
        """The newest checkpoint that can be read, in the shapes, dtypes and shardings of `like`.

        Broken ones are said; once a good one is found they are put aside as `broken-STEP`.

        Raises:
          InputError: if none of those there are can be read.
        """
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        broken: list[int] = []
        reason = ""
        for step in sorted(self._open_manager.all_steps(), reverse=True):
            state, fault = None, _first_says(_fault(self._folder / str(step)))
            if not fault:
                try:
                    state = self._open_manager.restore(step, args=ocp.args.StandardRestore(target))
                except Exception as error:  # whatever reading broken files comes to
                    fault = first_line(error)
            if all_processes(not fault):
                self._put_aside(broken)
                return state
            reason = fault or "another host cannot read it"
            log_primary(f"the checkpoint {self._folder / str(step)} is broken: {reason}")
            broken.append(step)
        raise InputError(
            f"none of the checkpoints in {self._folder} can be read ({reason}); give the config "
            "that they were written with, or move the folder away to train the stage anew"
        )

    def close(self) -> None:
        """Waits for what is being written."""
        self.finish()
        if self._manager is not None:
            self._manager.close()

    def _open(self) -> _Manager:
        return _Manager(self._folder, options=self._options)

    def _reopen(self) -> bool:
        """Whether there is a manager again, in all hosts; a bucket may be away for long."""
        try:
            self._manager = self._open()
        except Exception:  # as in `save`
            self._manager = None
        if not all_processes(self._manager is not None):
            self._manager = None
        return self._manager is not None

    def _give_up(self, error: Exception) -> None:
        """A save failed: says so, makes room, and begins again with a manager that knows of none.

        The one that failed would raise the same error at each of its further calls.
        """
        step, self._writing = self._writing, None
        try:
            self._open_manager.close()
        except Exception:  # the same error once more
            pass
        if is_primary():
            self._remove_cut_off()
        self._reopen()
        self._say_unwritten(step, first_line(error))

    def _say_unwritten(self, step: int | None, reason: str) -> None:
        log_primary(
            f"the checkpoint of step {step} could not be written to {self._folder} ({reason}); "
            f"training goes on, the last good one is of step {self.latest()}"
        )

    def _room_missing(self, state: Any) -> str:
        """How much the first host's disk has too little, "" if it has enough.

        Looked at before, since what Orbax and its threads say of a full disk is pages long; a disk
        that fills up while it writes is said all the same.
        """
        if _in_bucket(self._folder):
            return ""
        needed = sum(x.nbytes for x in jax.tree.leaves(state))
        needed += needed // 8 + ROOM_FOR_FILES_BYTES
        free = shutil.disk_usage(self._folder).free
        if not bool(broadcast(np.int32(free < needed))):
            return ""
        return f"it takes {needed / 1e6:.0f} MB, the disk has {free / 1e6:.0f} MB left"

    def _remove_cut_off(self) -> None:
        try:
            for path in self._folder.iterdir() if self._folder.is_dir() else ():
                if _is_cut_off(path):
                    path.rmtree()
        except Exception:  # as in `save`; what is left is in nobody's way
            pass

    def _put_aside(self, steps: list[int]) -> None:
        if not steps:
            return
        self._open_manager.close()
        if is_primary():
            for step in steps:
                aside = self._folder / f"broken-{step}"
                aside.rmtree(missing_ok=True)
                (self._folder / str(step)).rename(aside)
        all_processes(True)  # nobody looks before they are away
        self._manager = self._open()
        log_primary(f"going on from the checkpoint of step {self.latest()}")


def _in_bucket(folder: Path | epath.Path) -> bool:
    return "://" in str(folder)


def _is_cut_off(path: epath.Path) -> bool:
    if _in_bucket(path):
        return path.name.isdecimal() and not ocp.utils.is_checkpoint_finalized(path)
    return _CUT_OFF in path.name


def _sums_file(folder: epath.Path) -> epath.Path:
    return folder / (BUCKET_SUMS_FILE if _in_bucket(folder) else SUMS_FILE)


def _sums(folder: epath.Path) -> dict[str, Any]:
    """CRC-32 of every file in a checkpoint, by its path there; a bucket knows them."""
    if _in_bucket(folder):
        bucket, root = fsspec.url_to_fs(str(folder))
        found = bucket.find(root, detail=True)
        sums = {name.removeprefix(f"{root}/"): about["crc32c"] for name, about in found.items()}
        sums.pop(BUCKET_SUMS_FILE, None)
        return sums
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    sums = {}
    for path in files:
        if path.name == SUMS_FILE:
            continue
        total = 0
        with path.open("rb") as file:
            while block := file.read(1 << 24):
                total = zlib.crc32(block, total)
        sums[path.relative_to(folder).as_posix()] = total
    return sums


def _write_sums(folder: epath.Path) -> None:
    sums = json.dumps(_sums(folder), indent=0) + "\n"
    if _in_bucket(folder):
        _sums_file(folder).write_text(sums)
        return
    with atomic_write(_sums_file(folder)) as partial:
        partial.write_text(sums)


def _fault(folder: epath.Path) -> str:
    """What is wrong with a checkpoint's files, "" if nothing is or none can tell."""
    if not is_primary() or not _sums_file(folder).exists():
        return ""
    try:
        known, found = json.loads(_sums_file(folder).read_text()), _sums(folder)
    except Exception as error:  # of JSON, the disk or the bucket
        return first_line(error)
    for name, total in known.items():
        if name not in found:
            return f"its file {name} is missing"
        if found[name] != total:
            return f"its file {name} is not as it was written"
    return ""


def _first_says(fault: str) -> str:
    """The first host's, as far as the others need to know."""
    found = bool(broadcast(np.int32(bool(fault))))
    return fault or ("its files are not as they were written" if found else "")
