"""TFDS ArrayRecord shards, written from Python without TensorFlow."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import tensorflow_datasets as tfds

Example = Mapping[str, np.ndarray | str]


def example_features(n_mels: int) -> tfds.features.FeaturesDict:
    """The record of one piece, N phonemes and T frames; sum(ph_frames) = T."""

    def per_phoneme(dtype: type) -> tfds.features.Tensor:
        return tfds.features.Tensor(shape=(None,), dtype=dtype)

    return tfds.features.FeaturesDict(
        {
            "name": tfds.features.Text(),
            "speaker": tfds.features.Scalar(np.int32),
            "language": per_phoneme(np.int32),
            "tokens": per_phoneme(np.int32),
            "note_midi": per_phoneme(np.float32),
            "note_sec": per_phoneme(np.float32),
            "slur": per_phoneme(np.int32),
            "onset": per_phoneme(np.int32),
            "ph_frames": per_phoneme(np.int32),
            "f0": tfds.features.Tensor(shape=(None,), dtype=np.float32),  # [T]
            "mel": tfds.features.Tensor(shape=(None, n_mels), dtype=np.float32),  # [T, M]
        }
    )


class PieceBuilder(tfds.core.GeneratorBasedBuilder):
    """Hands examples to TFDS, which orders them by a hash of their names."""

    VERSION = tfds.core.Version("1.0.0")
    name = "singing"

    def __init__(self, n_mels: int, splits: Mapping[str, Any], data_dir: Path):
        """Makes nothing yet.

        Args:
          n_mels: M.
          splits: by name, pairs of a name and an example: an iterator, or a Beam transform.
          data_dir: to work in.
        """
        self._n_mels, self._splits = n_mels, splits
        super().__init__(data_dir=data_dir, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(builder=self, features=example_features(self._n_mels))

    def _split_generators(self, dl_manager):
        return self._splits

    def _generate_examples(self):
        raise NotImplementedError("splits come with their examples; TFDS asks for the method only")


def write_shards(
    folder: Path, n_mels: int, splits: Mapping[str, Callable[[], Iterable[Example]]]
) -> Path:
    """Writes the shards of all splits; the same examples give the same bytes.

    Args:
      folder: to work in; TFDS makes folders of its own below it.
      splits: by name, a function that yields the examples, each with a name of its own.

    Returns:
      The folder with the shards, `dataset_info.json` and `features.json`.
    """
    named = {
        split: ((example["name"], example) for example in examples())
        for split, examples in splits.items()
    }
    return write_with(PieceBuilder(n_mels, named, folder))


def write_with(builder: PieceBuilder, **how: Any) -> Path:
    """Lets TFDS build; `how` goes to its `download_and_prepare`. Returns the builder's folder."""
    tfds.disable_progress_bar()
    serialize = mock.patch.object(tfds.core.ExampleSerializer, "serialize_example", _serialize)
    with serialize, contextlib.redirect_stdout(io.StringIO()):  # it announces a download
        builder.download_and_prepare(**how)
    return Path(builder.data_dir)


def _serialize(serializer: tfds.core.ExampleSerializer, example: Example) -> bytes:
    """As TFDS does it, which has no setting for this, but with the fields of a record sorted.

    Protocol buffers write maps in an order that differs from process to process.
    """
    return serializer.get_tf_example(example).SerializeToString(deterministic=True)
