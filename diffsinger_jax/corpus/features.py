"""What is computed from a song's audio, once, and kept on disk until the corpus is finished."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context, parent_process
from pathlib import Path

import numpy as np
import soundfile

from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.audio.f0 import extract_f0
from diffsinger_jax.audio.mel import compile_librosa, log_mel
from diffsinger_jax.audio.wav import read_wav, resample
from diffsinger_jax.errors import InputError
from diffsinger_jax.features import extractor
from diffsinger_jax.types import MelSpec

_VERSION = 1  # of the features: a change of their code makes caches of older builds invalid
_CURVE = "curve/"  # before the names of optional features in a cache file
_CLIPPED = 0.999
_CLIPPED_RUN = 3  # so many samples in a row at full scale are clipping, one is a normalised peak


@dataclasses.dataclass(frozen=True)
class SongFeatures:
    """All frames of a recording, and what its samples say.

    Attributes:
      mel: f32[T, M] log amplitude.
      f0: f32[T] Hz, 0 unvoiced.
      duration_sec: of the audio.
      channels: in the file; the features are of their average.
      peak: largest |sample|.
      clipped_runs: how often several samples in a row stand at full scale.
      curves: the optional features that were asked for, f32[T] by name.
    """

    mel: np.ndarray
    f0: np.ndarray
    duration_sec: float
    channels: int
    peak: float
    clipped_runs: int
    curves: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class FeatureJob:
    """One recording to be worked on: what goes to a process, and names its cache file.

    Attributes:
      name: of the song.
      wav: its sound file.
      digest: of the file's contents.
      spec: of the mel.
      f0_method: a name in `F0_EXTRACTORS`.
      curves: names of optional features in `FEATURES`.
    """

    name: str
    wav: Path
    digest: bytes
    spec: MelSpec
    f0_method: str
    curves: tuple[str, ...] = ()

    def cache_file(self, folder: Path) -> Path:
        """Named by a hash of the settings and the sound file's contents."""
        settings = json.dumps(
            [_VERSION, dataclasses.asdict(self.spec), self.f0_method, *self.curves]
        )
        digest = hashlib.sha256(settings.encode() + self.digest).hexdigest()
        return folder / f"{digest}.npz"  # names may hold what file names may not


def file_digest(path: Path) -> bytes:
    """SHA-256 of a file's contents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def check_header(path: Path) -> None:
    """Raises InputError for a file that is not sound, before hours are spent on the others."""
    try:
        soundfile.info(path)
    except soundfile.LibsndfileError as error:
        raise InputError(
            f"{path}: not a readable sound file ({error.error_string.rstrip('.')}), expected wav "
            "or flac; its header may be broken, export it again"
        ) from error


def compute_features(job: FeatureJob) -> SongFeatures:
    """Reads, resamples, and measures one recording.

    Raises:
      InputError: for a sound file that cannot be read.
    """
    wav, rate = read_wav(job.wav, downmix=True)
    full_scale = np.abs(wav) >= _CLIPPED
    runs = np.lib.stride_tricks.sliding_window_view(
        np.pad(full_scale, (1, _CLIPPED_RUN - 1)), _CLIPPED_RUN + 1
    )  # [L, 1 + run]: a run starts after a sample that is not clipped
    resampled = resample(wav, rate, job.spec.sample_rate)
    f0 = extract_f0(resampled, job.spec, job.f0_method)
    return SongFeatures(
        mel=log_mel(resampled, job.spec),
        f0=f0,
        duration_sec=len(wav) / rate,
        channels=soundfile.info(job.wav).channels,
        peak=float(np.max(np.abs(wav), initial=0.0)),
        clipped_runs=int(np.sum(~runs[:, 0] & runs[:, 1:].all(axis=1))),
        curves={
            name: np.asarray(extractor(name)(resampled, f0, job.spec), np.float32)
            for name in job.curves
        },
    )


def load_features(file: Path) -> SongFeatures:
    """Reads what `fill_cache` has kept of one recording."""
    with np.load(file) as arrays:
        kept = {name: arrays[name] for name in arrays.files}
    curves = {
        name.removeprefix(_CURVE): kept.pop(name) for name in list(kept) if name.startswith(_CURVE)
    }
    return SongFeatures(**{k: v if v.ndim else v.item() for k, v in kept.items()}, curves=curves)


def fill_cache(jobs: Sequence[FeatureJob], folder: Path, processes: int) -> Iterator[str]:
    """Computes what the cache does not have yet, and yields the name of each song that is there.

    A file appears in the cache whole or not at all, so that this may be killed at any moment.

    Raises:
      InputError: for a sound file that cannot be read.
    """
    missing = []
    for job in jobs:
        if job.cache_file(folder).exists():
            yield job.name
        else:
            missing.append(job)
    if processes == 1 or len(missing) <= 1:
        for job in missing:
            yield fill_one(job, folder)
        return
    compile_librosa()
    # Workers start from scratch: forking a process with threads (JAX, TFDS) may deadlock.
    with ProcessPoolExecutor(
        min(processes, len(missing)), get_context("spawn"), initializer=_start_worker
    ) as pool:
        futures = [pool.submit(fill_one, job, folder) for job in missing]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def fill_one(job: FeatureJob, folder: Path) -> str:
    """Computes one cache file, whole or not at all, and returns the song's name."""
    target = job.cache_file(folder)
    with atomic_write(target) as partial, partial.open("wb") as file:
        fields = dataclasses.asdict(compute_features(job))
        curves = {_CURVE + name: curve for name, curve in fields.pop("curves").items()}
        np.savez(file, **fields, **curves)
    return job.name


def _start_worker() -> None:
    """Makes a worker end with its parent, even if that was killed and could not tell it to."""

    def follow() -> None:
        if (parent := parent_process()) is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def value_range(mels: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(min f32[M], max f32[M]) per bin over all frames of mels f32[T, M]."""
    ranges = [(mel.min(axis=0), mel.max(axis=0)) for mel in mels]
    lows, highs = zip(*ranges, strict=True)
    return np.min(lows, axis=0), np.max(highs, axis=0)
