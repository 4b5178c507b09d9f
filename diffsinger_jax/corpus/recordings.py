"""Raw recordings to what a vocoder learns from: sound and f0 in pieces, written as shards.

Any wav or flac will do; nothing is known of what is sung. The mel is not kept: training computes
it from the sound of each cut, perhaps shifted in pitch.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from diffsinger_jax.audio.f0 import require_extractor
from diffsinger_jax.audio.mel import frame_count
from diffsinger_jax.audio.wav import read_wav
from diffsinger_jax.corpus.features import (
    FeatureJob,
    check_header,
    file_digest,
    fill_cache,
    load_features,
)
from diffsinger_jax.corpus.output import finish, is_finished, make_folder, work_folder
from diffsinger_jax.corpus.shards import Example, recording_features, write_records
from diffsinger_jax.corpus.songs import assign_splits
from diffsinger_jax.errors import InputError
from diffsinger_jax.types import MelSpec

RECORDINGS_FILE = "recordings.json"
"""Its name inside a prepared folder."""
SUFFIXES = (".wav", ".flac")
FULL_SCALE = 2**15
"""Of the whole numbers that samples are kept as."""


class RawRecording(NamedTuple):
    """A sound file.

    Attributes:
      name: its path below its raw folder, without the suffix.
      path: of the file.
    """

    name: str
    path: Path

    @property
    def song(self) -> str:
        """What must not be in two splits, see `assign_splits`."""
        return self.name


@dataclasses.dataclass(frozen=True)
class RecordingSettings:
    """What prepared recordings depend on, besides the sound files.

    Attributes:
      mel: whose sample rate, hop and framing sound and f0 follow.
      f0: a name in `audio.f0.F0_EXTRACTORS`.
      piece_sec: pieces are no longer than this.
      validation: prefixes of the names that are held out.
      licence: of the recordings, with the credit that must travel with what is made from them.
    """

    mel: MelSpec = MelSpec()
    f0: str = "harvest"
    piece_sec: float = 10.0
    validation: tuple[str, ...] = ()
    licence: str = ""

    def validate(self) -> None:
        """Raises InputError for a name or number that cannot be."""
        require_extractor(self.f0)
        if not self.piece_sec > 0:
            raise InputError(f"--piece_sec is {self.piece_sec}, expected more than 0")


@dataclasses.dataclass(frozen=True)
class RecordingsInfo:
    """What prepared recordings say of themselves.

    Attributes:
      mel: that they were prepared for.
      licence: see `RecordingSettings`.
      names: of the pieces of each split, in the order of its shards.
      frames: i32[n] of each of them.
    """

    mel: MelSpec
    licence: str
    names: Mapping[str, tuple[str, ...]]
    frames: Mapping[str, np.ndarray]


def find_recordings(raw: Sequence[Path]) -> list[RawRecording]:
    """All wav and flac files below the folders, by name.

    Raises:
      InputError: if there is none, or two have the same name.
    """
    found: dict[str, Path] = {}
    for root in raw:
        if not root.is_dir():
            raise InputError(f"there is no folder {root}, given as --raw; check the path")
        for path in sorted(root.rglob("*")):
            if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
                continue
            name = path.relative_to(root).with_suffix("").as_posix()
            if name in found:
                raise InputError(
                    f"two recordings are called {name}, {found[name]} and {path}; rename one, or "
                    "leave one folder out"
                )
            found[name] = path
    if not found:
        folders = ", ".join(map(str, raw))
        raise InputError(f"there is no wav or flac file below {folders}; check --raw")
    return [RawRecording(name, found[name]) for name in sorted(found)]


def prepare_recordings(
    recordings: Sequence[RawRecording], settings: RecordingSettings, out: Path, processes: int
) -> RecordingsInfo | None:
    """Makes the folder `out`, whole or not at all; goes on where one that was killed stood.

    Args:
      recordings: by `find_recordings`.
      settings: of the build.
      out: folder to make.
      processes: on this machine.

    Returns:
      What it holds; None if it held just this already.

    Raises:
      InputError: for files that cannot be read, and an `out` that cannot be written.
    """
    settings.validate()
    splits = assign_splits(recordings, (), settings.validation)
    jobs = {
        one.name: FeatureJob(one.name, one.path, file_digest(one.path), settings.mel, settings.f0)
        for one in recordings
    }
    fingerprint = _fingerprint(jobs, settings)
    if is_finished(out, fingerprint, RECORDINGS_FILE):
        return None
    for job in jobs.values():
        check_header(job.wav)
    work = work_folder(out)
    make_folder(work)
    with tqdm(total=len(jobs), desc="f0", unit="recording", dynamic_ncols=True) as bar:
        for _ in fill_cache(list(jobs.values()), work, processes):
            bar.update()
    staging = work / "recordings"
    shutil.rmtree(staging, ignore_errors=True)  # of a build that was killed
    with tqdm(total=len(jobs), desc="shards", unit="recording", dynamic_ncols=True) as bar:

        def examples(split: str) -> Iterator[Example]:
            for name, job in jobs.items():
                if splits[name] == split:
                    yield from cut_pieces(job, work, settings.piece_sec)
                    bar.update()

        by_split = {split: functools.partial(examples, split) for split in set(splits.values())}
        folder = write_records(staging, recording_features(), dict(sorted(by_split.items())))
    info = _look_at(folder, settings)
    (folder / RECORDINGS_FILE).write_text(json.dumps(_to_dict(info), indent=1) + "\n")
    finish(folder, out, fingerprint)
    return info


def cut_pieces(job: FeatureJob, cache: Path, piece_sec: float) -> Iterator[Example]:
    """The records of one recording: stretches of whole frames, about equally long.

    Args:
      job: whose features are in the cache.
      cache: see `fill_cache`.
      piece_sec: longest.
    """
    spec = job.spec
    wav, _ = read_wav(job.wav, spec.sample_rate, downmix=True)
    f0 = load_features(job.cache_file(cache)).f0
    frames = len(wav) // spec.hop
    count = max(1, int(np.ceil(spec.seconds(frames) / piece_sec)))
    edges = np.linspace(0, frames, count + 1).round().astype(int)
    for number, (first, end) in enumerate(zip(edges[:-1], edges[1:], strict=True), 1):
        if first == end:  # no sound at all
            continue
        sound = wav[spec.samples(first) : spec.samples(end)]
        yield {
            "name": f"{job.name}#{number}",
            "wav": np.clip(np.round(sound * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype("i2"),
            "f0": f0[first : first + frame_count(len(sound), spec)],
        }


def read_recordings_info(folder: Path) -> RecordingsInfo:
    """Reads `recordings.json`.

    Raises:
      InputError: for a folder that is missing or something else.
    """
    file = folder / RECORDINGS_FILE
    advice = "give a folder written by diffsinger-jax prepare-recordings"
    try:
        return _from_dict(json.loads(file.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{folder} holds no recordings: no {file.name} in it; {advice}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} does not describe recordings ({error}); {advice}") from error


def _look_at(folder: Path, settings: RecordingSettings) -> RecordingsInfo:
    """What the shards hold, in their own order."""
    builder = tfds.builder_from_directory(folder)
    names, frames = {}, {}
    for split in builder.info.splits:
        pieces = builder.as_data_source(split)
        names[split] = tuple(piece["name"].decode() for piece in pieces)
        frames[split] = np.asarray([len(piece["f0"]) for piece in pieces], np.int32)
    if not names.get("train"):
        raise InputError("the recordings to train on hold no sound; give others, or hold out fewer")
    return RecordingsInfo(settings.mel, settings.licence, names, frames)


def _to_dict(info: RecordingsInfo) -> dict[str, Any]:
    return {
        "mel": dataclasses.asdict(info.mel),
        "licence": info.licence,
        "splits": {
            split: {"names": names, "frames": info.frames[split].tolist()}
            for split, names in info.names.items()
        },
    }


def _from_dict(fields: Mapping[str, Any]) -> RecordingsInfo:
    splits = fields["splits"].items()
    return RecordingsInfo(
        mel=MelSpec(**fields["mel"]),
        licence=fields["licence"],
        names={split: tuple(one["names"]) for split, one in splits},
        frames={split: np.asarray(one["frames"], np.int32) for split, one in splits},
    )


def _fingerprint(jobs: Mapping[str, FeatureJob], settings: RecordingSettings) -> str:
    """A hash of the settings, the names and the sound files' contents."""
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(settings)).encode())
    for name, job in jobs.items():
        digest.update(name.encode() + job.digest)
    return digest.hexdigest()
