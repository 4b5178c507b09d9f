"""Prepared folders come whole or not at all: beside each, while it is made, one to work in."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from diffsinger_jax.errors import InputError

BUILD_FILE = "build.json"
"""What a folder was made from, as a hash."""


def work_folder(out: Path) -> Path:
    """Where features are kept until `out` is finished."""
    return out.with_name(out.name + ".partial")


def make_folder(folder: Path) -> None:
    """Makes a folder and sees that it can be written to."""
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror}), expected a place for the prepared "
            "corpus and its partial work beside it; choose another --out"
        ) from error


def is_finished(out: Path, fingerprint: str, known_file: str) -> bool:
    """True if `out` holds just what is to be made; then what is left of the work goes.

    Args:
      out: the folder.
      fingerprint: a hash of all that it is made from.
      known_file: by which a folder of this kind is known.

    Raises:
      InputError: if it holds something else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    build = out / BUILD_FILE
    if build.is_file() and json.loads(build.read_text()) == {"fingerprint": fingerprint}:
        # A build may be killed just before it does this itself.
        shutil.rmtree(work_folder(out), ignore_errors=True)
        return True
    what = "a corpus of other settings or songs" if (out / known_file).exists() else "other things"
    raise InputError(f"{out} holds {what} already; remove it or choose another --out")


def finish(folder: Path, out: Path, fingerprint: str) -> None:
    """Moves a folder that is done to `out`, and removes what was left to work with."""
    (folder / BUILD_FILE).write_text(json.dumps({"fingerprint": fingerprint}) + "\n")
    os.rename(folder, out)
    shutil.rmtree(work_folder(out))
