"""Prepared recordings: sound and f0 by random access, what segments are cut from."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from diffsinger_jax.corpus.recordings import FULL_SCALE, RecordingsInfo, read_recordings_info
from diffsinger_jax.errors import InputError
from diffsinger_jax.pipeline.segments import Recording


def open_recordings(path: str | os.PathLike) -> PreparedRecordings:
    """Opens a folder that `prepare-recordings` wrote.

    Raises:
      InputError: for a folder that is missing or something else.
    """
    path = Path(path).absolute()
    return PreparedRecordings(path, read_recordings_info(path))


class PreparedRecordings:
    """What `open_recordings` returns.

    Attributes:
      path: of its folder.
      info: what it says of itself; the order of its pieces is that of `split`.
    """

    def __init__(self, path: Path, info: RecordingsInfo):
        """Reads nothing yet."""
        self.path, self.info = path, info

    def split(
        self, name: str, prepare_f0: Callable[[np.ndarray], np.ndarray] = lambda f0: f0
    ) -> Sequence[Recording]:
        """The pieces of a split, each read when it is asked for.

        Args:
          name: "train" or "validation".
          prepare_f0: f32[T] Hz, 0 unvoiced -> what takes its place.

        Raises:
          InputError: for a split that there is not.
        """
        if name not in self.info.names:
            raise InputError(
                f"{self.path} has no recordings in the split {name!r}; it has "
                f"{', '.join(self.info.names)}"
            )
        return _Pieces(self.path, name, prepare_f0)


class _Pieces(Sequence):
    def __init__(self, path: Path, split: str, prepare_f0: Callable):
        self._source, self._prepare_f0 = _source(path, split), prepare_f0

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Recording:  # type: ignore[override]  # never sliced
        if not 0 <= index < len(self):  # by which iteration ends
            raise IndexError(index)
        piece = self._source[index]
        return Recording(
            wav=piece["wav"].astype(np.float32) / np.float32(FULL_SCALE),
            f0=self._prepare_f0(piece["f0"]),
        )


@functools.lru_cache(maxsize=8)
def _source(path: Path, split: str) -> Sequence:
    return tfds.builder_from_directory(path).as_data_source(split)
