"""A prepared corpus in one small file, to train from on a machine that has numpy and no more.

An `.npz`: of each split every column of its examples one after the other, mels in float16 (a
rounding of at most 0.04 dB), and a header in JSON with what cuts them apart again.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.corpus.info import corpus_info_from_dict, corpus_info_to_dict
from diffsinger_jax.errors import InputError
from diffsinger_jax.features import FEATURES, core_names, require_columns
from diffsinger_jax.pipeline.collate import Example
from diffsinger_jax.pipeline.prepared import Lengths, PreparedCorpus, text
from diffsinger_jax.types import CorpusInfo

SUFFIX = ".npz"
HEADER = "header"
SPLITS = ("train", "validation")
"""Those that training looks at."""


@dataclasses.dataclass(frozen=True)
class PackedCorpus:
    """Reads as a `PreparedCorpus` does, from memory.

    Attributes:
      path: of its file.
      info: what it says of itself.
      splits: their names.
      curves: names of the optional features that its batches have.
    """

    path: str
    info: CorpusInfo
    splits: tuple[str, ...]
    curves: tuple[str, ...] = ()
    in_memory = True

    def source(self, split: str) -> Sequence[Example]:
        """The examples of a split by number.

        Raises:
          InputError: for a split that the corpus does not have.
        """
        self._require(split)
        return _examples(self.path, split)

    def lengths(self, split: str) -> Lengths:
        """Lengths of all examples of a split, in the order of `source`.

        Raises:
          InputError: for a split that the corpus does not have.
        """
        self._require(split)
        said = _header(self.path)["splits"][split]
        frames, phonemes = (np.asarray(said[one], np.int32) for one in ("frames", "phonemes"))
        return Lengths(frames, phonemes, tuple(said["names"]))

    def _require(self, split: str) -> None:
        if split not in self.splits:
            raise InputError(
                f"the corpus {self.path} has no examples in the split {split!r}; "
                f"it has {', '.join(self.splits)}"
            )


def is_packed(path: str | os.PathLike) -> bool:
    """Whether a corpus is named by a file of this kind."""
    return os.fspath(path).endswith(SUFFIX)


def open_packed(path: str | os.PathLike, curves: Sequence[str] = ()) -> PackedCorpus:
    """Opens what `write_packed` wrote.

    Args:
      path: of the file.
      curves: names of the optional features that its batches shall have.

    Raises:
      InputError: for a file that is missing or something else, and for one that lacks a curve
        which has no neutral value.
    """
    path = os.path.abspath(path)
    header = _header(path)
    require_columns(curves, header["columns"], f"the corpus {path}")
    info = corpus_info_from_dict(header["corpus"], where=path)
    return PackedCorpus(path, info, tuple(header["splits"]), tuple(curves))


def packed_config(path: str | os.PathLike) -> dict[str, Any]:
    """The sections of the config that was packed with a corpus, which is its `corpus` now.

    Raises:
      InputError: for a file that is missing or something else.
    """
    path = os.path.abspath(path)
    return {**_header(path)["config"], "corpus": path}


def write_packed(
    path: str | os.PathLike, corpus: PreparedCorpus, config: Mapping[str, Any]
) -> None:
    """Writes the splits that training looks at, whole or not at all.

    Args:
      path: of the file, which ends in .npz.
      corpus: a prepared one; of its curves those that it was opened with go along.
      config: plain sections, to train by where no config file can be read.
    """
    columns = [name for name in core_names() if not FEATURES[name].derived] + [*corpus.curves]
    arrays, splits = {}, {}
    for split in (split for split in SPLITS if split in corpus.splits):
        source, lengths = corpus.source(split), corpus.lengths(split)
        examples = [source[i] for i in range(len(source))]
        for name in columns:
            dtype = np.float16 if name == "mel" else np.dtype(FEATURES[name].dtype)
            values = [np.atleast_1d(one[name]) for one in examples if name in one]
            if values:
                arrays[f"{split}/{name}"] = np.concatenate(values).astype(dtype)
        splits[split] = {
            "names": [text(one["name"]) for one in examples],
            "frames": lengths.frames.tolist(),
            "phonemes": lengths.phonemes.tolist(),
        }
    header = {
        "corpus": corpus_info_to_dict(corpus.info),
        "columns": sorted({name.partition("/")[2] for name in arrays}),
        "splits": splits,
        "config": dict(config),
    }
    arrays[HEADER] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    with atomic_write(Path(path)) as partial:
        np.savez_compressed(partial, allow_pickle=False, **arrays)


def _read(path: str, names: Sequence[str] | None, split: str = "") -> dict[str, np.ndarray]:
    """Arrays of the file by name; all of a split where none are named."""
    try:
        with np.load(path, allow_pickle=False) as file:
            wanted = names or [name for name in file.files if name.startswith(f"{split}/")]
            return {name: file[name] for name in wanted}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} is no packed corpus ({error}); write it with benchmarks/pack_corpus.py"
        ) from error


@functools.lru_cache(maxsize=8)
def _header(path: str) -> dict[str, Any]:
    return json.loads(_read(path, [HEADER])[HEADER].tobytes())


@functools.lru_cache(maxsize=8)
def _examples(path: str, split: str) -> Sequence[Example]:
    said = _header(path)["splits"][split]
    ends = {
        "item": np.arange(1, len(said["names"]) + 1),
        "phoneme": np.cumsum(said["phonemes"]),
        "frame": np.cumsum(said["frames"]),
    }
    ends["mel"] = ends["frame"]
    examples: list[dict[str, Any]] = [{"name": name} for name in said["names"]]
    for path_of_array, values in _read(path, None, split).items():
        name = path_of_array.partition("/")[2]
        axis = FEATURES[name].axis
        for example, part in zip(examples, np.split(values, ends[axis][:-1]), strict=True):
            example[name] = part[0] if axis == "item" else part
    return examples
