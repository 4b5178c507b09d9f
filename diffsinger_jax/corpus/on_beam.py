"""The heavy parts of preparing a corpus as Apache Beam pipelines, on any of its runners.

Songs are plain data and features are files in a folder, so a worker needs this package and the
folders, nothing else. What a song gives is computed by the functions that a build without Beam
calls, and TFDS orders records by a hash of their names: the shards hold the same examples.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_datasets as tfds
from apache_beam.options.pipeline_options import PipelineOptions

from diffsinger_jax.corpus.features import FeatureJob, fill_one, value_range
from diffsinger_jax.corpus.shards import Example, RecordBuilder, example_features, write_with

logging.getLogger("apache_beam").setLevel(logging.ERROR)  # it speaks of what is not installed

RANGE_FILE = "range.json"
"""Where the workers leave the mel's range for the program that started them."""


def fill_cache_on_beam(jobs: Sequence[FeatureJob], folder: Path, options: Sequence[str]) -> None:
    """As `features.fill_cache`; what a killed pipeline has computed stays.

    Args:
      options: of Beam, as on its command line.
    """
    missing = [job for job in jobs if not job.cache_file(folder).exists()]
    with _pipeline(options) as pipeline:
        _ = _spread(pipeline, missing) | "MelAndF0" >> beam.Map(fill_one, folder)


def write_shards_on_beam(
    folder: Path,
    n_mels: int,
    songs: Mapping[str, Sequence[Any]],
    examples_of: Callable[[Any], Iterable[Example]],
    options: Sequence[str],
    curves: Sequence[str] = (),
) -> Path:
    """As `shards.write_shards`, from the songs of each split and what makes examples of one."""
    splits = {
        split: beam.Create(list(of_split))
        | f"Spread{split}" >> beam.Reshuffle()
        | f"Examples{split}" >> beam.FlatMap(_named, examples_of)
        for split, of_split in songs.items()
    }
    download = tfds.download.DownloadConfig(beam_options=PipelineOptions(list(options)))
    return write_with(
        RecordBuilder(example_features(n_mels, curves), splits, folder), download_config=download
    )


def value_range_on_beam(
    folder: Path,
    songs: Sequence[Any],
    examples_of: Callable[[Any], Iterable[Example]],
    options: Sequence[str],
) -> tuple[np.ndarray, np.ndarray]:
    """As `features.value_range`, over the examples of songs.

    Args:
      folder: where workers can leave the result.
    """
    file = folder / RANGE_FILE
    with _pipeline(options) as pipeline:
        _ = (
            _spread(pipeline, songs)
            | "Range" >> beam.FlatMap(functools.partial(_ranges, examples_of))
            | "Widest" >> beam.CombineGlobally(_widest).without_defaults()
            | "Leave" >> beam.Map(_leave, file)
        )
    low, high = json.loads(file.read_text())
    return np.asarray(low, np.float32), np.asarray(high, np.float32)


def _pipeline(options: Sequence[str]) -> beam.Pipeline:
    return beam.Pipeline(options=PipelineOptions(list(options)))


def _spread(pipeline: beam.Pipeline, items: Sequence[Any]) -> beam.PCollection:
    """The items, over all workers."""
    return pipeline | beam.Create(list(items)) | "Spread" >> beam.Reshuffle()


def _named(song: Any, examples_of: Callable) -> Iterable[tuple[str, Example]]:
    for example in examples_of(song):
        yield example["name"], example


def _ranges(examples_of: Callable, song: Any) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    mels = [example["mel"] for example in examples_of(song)]
    if mels:
        yield value_range(mels)


def _widest(
    ranges: Iterable[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray] | None:
    ranges = [one for one in ranges if one is not None]  # Beam may combine none at all
    if not ranges:
        return None
    lows, highs = zip(*ranges, strict=True)
    return np.min(lows, axis=0), np.max(highs, axis=0)


def _leave(widest: tuple[np.ndarray, np.ndarray], file: Path) -> None:
    file.write_text(json.dumps([np.asarray(edge, np.float64).tolist() for edge in widest]))
