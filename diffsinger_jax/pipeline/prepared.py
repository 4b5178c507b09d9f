"""A prepared corpus: TFDS ArrayRecord shards with `corpus.json` beside them, read without TF."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from etils import epath

from diffsinger_jax.corpus.info import read_corpus_info
from diffsinger_jax.errors import InputError
from diffsinger_jax.features import require_columns
from diffsinger_jax.pipeline.collate import Example
from diffsinger_jax.types import CorpusInfo


class Lengths(NamedTuple):
    """What a batch plan needs to know of each example of a split.

    Attributes:
      frames: i32[n] T.
      phonemes: i32[n] N.
      names: for error messages.
    """

    frames: np.ndarray
    phonemes: np.ndarray
    names: tuple[str, ...]


class Corpus(Protocol):
    """What batches are read from: a `PreparedCorpus`, a `PackedCorpus`, or several as a
    `mix.MixedCorpus`."""

    @property
    def path(self) -> str:
        """Of its folder or folders."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of those that have examples."""

    @property
    def info(self) -> CorpusInfo:
        """Mel, vocabulary, statistics and licence."""

    @property
    def curves(self) -> tuple[str, ...]:
        """Names of the optional features that its batches have."""

    @property
    def in_memory(self) -> bool:
        """Whether its examples are there at once, with nothing to read."""

    def source(self, split: str) -> Sequence[Example]:
        """The examples of a split by number."""

    def lengths(self, split: str) -> Lengths:
        """Lengths of all examples of a split, in the order of `source`."""


@dataclasses.dataclass(frozen=True)
class PreparedCorpus:
    """What `open_corpus` returns.

    Attributes:
      path: of its folder.
      info: what it says of itself.
      splits: their names, those with examples only.
      curves: names of the optional features that its batches have.
    """

    path: str
    info: CorpusInfo
    splits: tuple[str, ...]
    curves: tuple[str, ...] = ()
    in_memory = False

    def source(self, split: str) -> Sequence[Example]:
        """The examples of a split by number, read from the shards when asked for.

        Raises:
          InputError: for a split that the corpus does not have.
        """
        return _source(self.path, self._known(split))

    def lengths(self, split: str) -> Lengths:
        """Lengths of all examples of a split, in the order of `source`; reads it once.

        Raises:
          InputError: for a split that the corpus does not have.
        """
        return _lengths(self.path, self._known(split))

    def _known(self, split: str) -> str:
        if split not in self.splits:
            raise InputError(
                f"the corpus {self.path} has no examples in the split {split!r}; "
                f"it has {', '.join(self.splits)}"
            )
        return split


def open_corpus(path: str | os.PathLike, curves: Sequence[str] = ()) -> PreparedCorpus:
    """Opens the folder that preparing a corpus wrote.

    Args:
      path: on a disk, or in a bucket as "gs://bucket/prepared/pjs".
      curves: names of the optional features that its batches shall have.

    Raises:
      InputError: for a folder that is missing, empty, unfinished or something else, and for one
        that lacks a curve which has no neutral value.
    """
    path = os.fspath(path)
    path = path if "://" in path else os.path.abspath(path)
    info = read_corpus_info(path)
    if not (epath.Path(path) / "dataset_info.json").is_file():
        raise InputError(
            f"the folder {path} has a corpus.json but no shards (no dataset_info.json); "
            "prepare the corpus again"
        )
    builder = _builder(path)
    splits = tuple(name for name, split in builder.info.splits.items() if split.num_examples)
    if not splits:
        raise InputError(f"the corpus {path} has no examples; see its checks.csv for the reasons")
    require_columns(curves, builder.info.features, f"the corpus {path}")
    return PreparedCorpus(path=path, info=info, splits=splits, curves=tuple(curves))


def _builder(path: str) -> Any:
    import tensorflow_datasets as tfds  # late: a packed corpus is read without it

    return tfds.builder_from_directory(path)


# Cached by path, so that a PreparedCorpus stays a plain value that can be compared and pickled.
@functools.lru_cache(maxsize=8)
def _source(path: str, split: str) -> Sequence[Example]:
    return _builder(path).as_data_source(split)


@functools.lru_cache(maxsize=8)
def _lengths(path: str, split: str) -> Lengths:
    frames, phonemes, names = [], [], []
    for example in _source(path, split):
        frames.append(len(example["f0"]))
        phonemes.append(len(example["tokens"]))
        names.append(text(example["name"]))
    return Lengths(np.asarray(frames, np.int32), np.asarray(phonemes, np.int32), tuple(names))


def text(value: bytes | str | np.ndarray) -> str:
    """A string feature as str; TFDS gives it back as bytes."""
    value = value.item() if isinstance(value, np.ndarray) else value
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
