"""Sound files in and out: one channel, float32 in [-1, 1], wav or flac."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile
import soxr

from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.errors import InputError

TAGS = ("title", "artist", "software", "comment")
"""The text tags that both wav (LIST INFO) and flac (Vorbis comments) keep."""
_FORMATS = {".wav": "WAV", ".flac": "FLAC"}


def resample(wav: np.ndarray, rate_in: int, rate_out: int) -> np.ndarray:
    """f32[L] -> f32[L'] by band-limited interpolation (soxr, high quality)."""
    wav = np.asarray(wav, np.float32)
    return wav if rate_in == rate_out else soxr.resample(wav, rate_in, rate_out, quality="HQ")


def read_wav(
    path: str | os.PathLike, sample_rate: int | None = None, *, downmix: bool = False
) -> tuple[np.ndarray, int]:
    """Reads a sound file of any format that libsndfile knows.

    Args:
      path: wav, flac, ogg ...
      sample_rate: Hz to resample to; None keeps the file's own.
      downmix: average the channels instead of refusing more than one.

    Returns:
      (f32[L] in [-1, 1], sample rate in Hz).

    Raises:
      InputError: if the file is missing, is not a sound file, or has several channels.
    """
    if not os.path.isfile(path):
        raise InputError(f"{path}: there is no such sound file; check the path")
    try:
        wav, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(
            f"{path}: not a readable sound file ({_reason(error)}), expected wav or flac; "
            f"its header may be broken, export it again"
        ) from error
    if wav.shape[1] != 1 and not downmix:
        raise InputError(
            f"{path}: has {wav.shape[1]} channels, expected one; mix it down to mono first"
        )
    mono = wav.mean(axis=1) if wav.shape[1] != 1 else wav[:, 0]
    if sample_rate is None:
        return mono, rate
    return resample(mono, rate, sample_rate), sample_rate


def read_tags(path: str | os.PathLike) -> dict[str, str]:
    """The tags of a sound file, those of `TAGS` that are there."""
    with soundfile.SoundFile(path) as file:
        return {name: value for name in TAGS if (value := getattr(file, name))}


def write_wav(
    path: str | os.PathLike,
    wav: np.ndarray,
    sample_rate: int,
    subtype: str = "PCM_16",
    tags: Mapping[str, str] | None = None,
) -> None:
    """Writes one channel, the whole file or nothing; samples beyond [-1, 1] are clipped.

    Args:
      path: the suffix, .wav or .flac, chooses the format.
      wav: f32[L].
      sample_rate: Hz.
      subtype: "PCM_16", "PCM_24", or another that libsndfile has for the format.
      tags: text by a name in `TAGS`; libsndfile adds its own name to "software".

    Raises:
      InputError: for another suffix, a subtype the format lacks, or a place that cannot be
        written to.
      ValueError: if `wav` is not one channel of finite numbers, or for an unknown tag.
    """
    path = Path(path)
    wav, tags = np.asarray(wav, np.float32), dict(tags or {})
    if wav.ndim != 1 or not np.all(np.isfinite(wav)):
        raise ValueError(f"write_wav takes finite f32[L], got shape {wav.shape} or NaN in it")
    if unknown := set(tags) - set(TAGS):
        raise ValueError(f"unknown tags {sorted(unknown)}; there are {', '.join(TAGS)}")
    sound_format = _FORMATS.get(path.suffix.lower())
    if sound_format is None:
        raise InputError(f"{path}: cannot write {path.suffix!r} files; name it .wav or .flac")
    if not soundfile.check_format(sound_format, subtype):
        choices = ", ".join(soundfile.available_subtypes(sound_format))
        raise InputError(f"{path}: {sound_format} has no subtype {subtype!r}; choose of {choices}")

    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}; create it or choose another")

    memory = io.BytesIO()
    with soundfile.SoundFile(memory, "w", sample_rate, 1, subtype, format=sound_format) as file:
        for name, value in tags.items():
            setattr(file, name, value)  # before the samples, so that they stand in the header
        file.write(wav)
    try:
        with atomic_write(path) as partial:
            partial.write_bytes(memory.getbuffer())
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); choose a folder that you may write to"
        ) from error


def _reason(error: Exception) -> str:
    """The exception's own words without a final full stop."""
    return str(getattr(error, "error_string", error)).rstrip(".")
