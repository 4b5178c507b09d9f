"""Writing files that are whole or absent, whenever the process is killed or the disk is full."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Gives a path beside `path` to write to; in the end it takes `path`'s place at once.

    After an error nothing of it is left, and what stood at `path` still stands there.

    Example:
      with atomic_write("song.json") as partial:
          partial.write_text(text)

    Args:
      path: of the file; its folder exists.

    Raises:
      OSError: if it cannot be put in its place.
    """
    path = Path(path)
    # Of this process alone, with the same ending: some writers choose the format by it.
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
