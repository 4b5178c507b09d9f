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

from diffsinger_jax.features import FEATURES, core_names

Example = Mapping[str, Any]
"""A name, and an array or a number for each column, see `example_features`."""


def example_features(n_mels: int, curves: Iterable[str] = ()) -> tfds.features.FeaturesDict:
    """The record of one piece, N phonemes and T frames; sum(ph_frames) = T.

    Args:
      n_mels: M.
      curves: names of the optional features in it.
    """
    columns: dict[str, tfds.features.FeatureConnector] = {"name": tfds.features.Text()}
    for name in (*core_names(), *curves):
        feature = FEATURES[name]
        if not feature.derived:
            shape = {"item": (), "mel": (None, n_mels)}.get(feature.axis, (None,))
            columns[name] = tfds.features.Tensor(shape=shape, dtype=np.dtype(feature.dtype).type)
    return tfds.features.FeaturesDict(columns)


def recording_features() -> tfds.features.FeaturesDict:
    """The record of a stretch of sound for vocoders, L samples and T frames."""
    return tfds.features.FeaturesDict(
        {
            "name": tfds.features.Text(),
            # [L] in 2^-15: a whole number each, and packed, since sound is long.
            "wav": tfds.features.Tensor(shape=(None,), dtype=np.int16, encoding="bytes"),
            "f0": tfds.features.Tensor(shape=(None,), dtype=np.float32),  # [T]
        }
    )


class RecordBuilder(tfds.core.GeneratorBasedBuilder):
    """Hands examples to TFDS, which orders them by a hash of their names."""

    VERSION = tfds.core.Version("1.0.0")
    name = "singing"

    def __init__(
        self, features: tfds.features.FeaturesDict, splits: Mapping[str, Any], data_dir: Path
    ):
        """Makes nothing yet.

        Args:
          features: of a record.
          splits: by name, pairs of a name and an example: an iterator, or a Beam transform.
          data_dir: to work in.
        """
        self._features, self._splits = features, splits
        super().__init__(data_dir=data_dir, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(builder=self, features=self._features)

    def _split_generators(self, dl_manager):
        return self._splits

    def _generate_examples(self):
        raise NotImplementedError("splits come with their examples; TFDS asks for the method only")


def write_shards(
    folder: Path,
    n_mels: int,
    splits: Mapping[str, Callable[[], Iterable[Example]]],
    curves: Iterable[str] = (),
) -> Path:
    """`write_records` of pieces of songs, see `example_features`."""
    return write_records(folder, example_features(n_mels, curves), splits)


def write_records(
    folder: Path,
    features: tfds.features.FeaturesDict,
    splits: Mapping[str, Callable[[], Iterable[Example]]],
) -> Path:
    """Writes the shards of all splits; the same examples give the same bytes.

    Args:
      folder: to work in; TFDS makes folders of its own below it.
      features: of a record.
      splits: by name, a function that yields the examples, each with a name of its own.

    Returns:
      The folder with the shards, `dataset_info.json` and `features.json`.
    """
    named = {
        split: ((example["name"], example) for example in examples())
        for split, examples in splits.items()
    }
    return write_with(RecordBuilder(features, named, folder))


def write_with(builder: RecordBuilder, **how: Any) -> Path:
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
