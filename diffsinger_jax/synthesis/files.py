"""A song as files: sound that says it is synthetic, and on request mel, f0, `.ds` and a picture."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

import diffsinger_jax
from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.audio.wav import read_tags, read_wav, resample, write_wav
from diffsinger_jax.audio.wav_stream import WavStream
from diffsinger_jax.errors import InputError
from diffsinger_jax.plots import song_picture
from diffsinger_jax.score.ds import write_ds
from diffsinger_jax.synthesis.song import Song

EXTRAS = ("mel", "f0", "ds", "picture")
"""What can be written beside the sound."""


def require_writable(folder: str | os.PathLike) -> None:
    """Checks that files can be made in a folder, which may not be there yet; leaves no trace.

    Raises:
      InputError: if they cannot.
    """
    existing = Path(folder).absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        # A real file, not os.access: that says yes to root on folders nobody can write to.
        with tempfile.NamedTemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written to ({error.strerror}); choose another output folder"
        ) from error


def output_stems(scores: Sequence[str | os.PathLike]) -> list[str]:
    """A file name for each score: its own, with its kind behind it where two are alike.

    Raises:
      InputError: if two are still alike.
    """
    paths = [Path(path) for path in scores]
    stems = [path.stem for path in paths]
    stems = [
        f"{path.stem}_{path.suffix[1:]}" if stems.count(path.stem) > 1 else path.stem
        for path in paths
    ]
    for stem, path in zip(stems, paths, strict=True):
        if stems.count(stem) > 1:
            raise InputError(f"{path}: another score has the same name; sing one at a time")
    return stems


def save_song(
    song: Song,
    folder: str | os.PathLike,
    stem: str,
    *,
    tags: dict[str, str],
    extras: Iterable[str] = (),
    sound_format: str = "wav",
    bit_depth: int = 16,
    sample_rate: int | None = None,
) -> list[Path]:
    """Writes a song, each file whole or not at all; files of the same name are replaced.

    Args:
      song: what to write.
      folder: made if it is not there.
      stem: of the file names.
      tags: see `song_tags`.
      extras: of `EXTRAS`: STEM.mel.npz (mel f32[T, M], f0 f32[T], spec as JSON), STEM.f0.csv
        (seconds, Hz), STEM.ds (durations and f0 as they were sung), STEM.png.
      sound_format: "wav" or "flac".
      bit_depth: 16 or 24.
      sample_rate: Hz to resample to, None for the voice's own.

    Returns:
      The paths, the sound first.

    Raises:
      InputError: if the folder cannot be written to.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{stem}.{sound_format}"]
        rate = sample_rate or song.sample_rate
        wav = resample(song.wav, song.sample_rate, rate)
        if (peak := np.abs(wav).max(initial=0.0)) >= 1.0:  # resampling can overshoot
            wav = wav * (0.999 / peak)
        write_wav(paths[0], wav, rate, f"PCM_{bit_depth}", tags)
        for extra in extras:
            name, write = _WRITERS[extra]
            paths.append(folder / name.format(stem))
            write(paths[-1], song)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written to ({error.strerror}); choose another output folder"
        ) from error
    return paths


def mix_sounds(
    sounds: Sequence[str | os.PathLike], path: str | os.PathLike, *, bit_depth: int = 16
) -> None:
    """Adds up sound files of one rate, turned down together where they would be too loud.

    Args:
      sounds: the parts; shorter ones end in silence.
      path: of the mix, .wav or .flac; its tags are those of the first part.
      bit_depth: 16 or 24.

    Raises:
      InputError: if a part cannot be read, or the mix cannot be written.
    """
    parts = [read_wav(sound) for sound in sounds]
    mix = np.zeros(max(len(wav) for wav, _ in parts), np.float32)
    for wav, _ in parts:
        mix[: len(wav)] += wav
    if (peak := np.abs(mix).max(initial=0.0)) > 0.99:
        mix *= 0.99 / peak
    try:
        write_wav(path, mix, parts[0][1], f"PCM_{bit_depth}", read_tags(sounds[0]))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); choose another output folder"
        ) from error


def standard_output() -> BinaryIO:
    """The bytes of the process's standard output, whatever `print` is redirected to.

    Raises:
      InputError: if there is none.
    """
    if sys.__stdout__ is None:
        raise InputError("there is no standard output to write to; give a folder as --out")
    return cast(BinaryIO, sys.__stdout__.buffer)


def stream_song(
    blocks: Iterator[np.ndarray],
    folder: str | os.PathLike,
    stem: str,
    *,
    samples: int,
    sample_rate: int,
    tags: dict[str, str],
    bit_depth: int = 16,
) -> tuple[str, float, float]:
    """Writes the sound of a song block by block, so that it can be heard before it ends.

    The file has its name and its header from the first block on; it is removed if the song breaks
    off.

    Args:
      blocks: f32[L] each, see `Synthesizer.stream`; nothing is made before the first one is there.
      folder: made if it is not there; "-" for standard output.
      stem: of the file name.
      samples: of all blocks together.
      sample_rate: Hz.
      tags: see `song_tags`.
      bit_depth: 16 or 24.

    Returns:
      Where it went, its length in seconds, and seconds until the first block was written.

    Raises:
      InputError: if it cannot be written.
    """
    start = time.perf_counter()
    first = next(blocks)
    path = None if str(folder) == "-" else Path(folder) / f"{stem}.wav"
    place = "standard output" if path is None else str(path)
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        file: BinaryIO = standard_output() if path is None else open(path, "wb")
        try:
            stream = WavStream(file, samples, sample_rate, f"PCM_{bit_depth}", tags)
            stream.write(first)
            first_sec = time.perf_counter() - start
            for block in blocks:
                stream.write(block)
        except BaseException:
            if path is not None:
                path.unlink(missing_ok=True)
            raise
        finally:
            if path is not None:
                file.close()
    except OSError as error:
        raise InputError(
            f"{place}: cannot be written to ({error.strerror}); choose another place"
        ) from error
    return place, samples / sample_rate, first_sec


def song_tags(title: str, voice_name: str, licence: str, seed: int) -> dict[str, str]:
    """Tags of a sound file that say what it is, and whose voice it was learned from."""
    return {
        "title": title,
        "artist": voice_name,
        "software": f"diffsinger_jax {diffsinger_jax.__version__}",
        "comment": f"synthetic singing voice; voice {voice_name}; seed {seed}; licence {licence}",
    }


def _write_mel(path: Path, song: Song) -> None:
    memory = io.BytesIO()
    spec = json.dumps(vars(song.spec))
    np.savez_compressed(memory, mel=song.mel, f0=song.f0, spec=np.array(spec))
    _replace(path, memory.getvalue())


def _write_f0(path: Path, song: Song) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["time_sec", "f0_hz"])
    for frame, hz in enumerate(song.f0):
        writer.writerow([f"{frame / song.spec.frames_per_sec:.5f}", f"{hz:.3f}"])
    _replace(path, text.getvalue().encode())


def _write_ds(path: Path, song: Song) -> None:
    write_ds(path, song.score)


def _write_picture(path: Path, song: Song) -> None:
    # The file's name, not the score's title: plain fonts have no kana.
    song_picture(path, song.mel, song.f0, song.notes, song.phonemes, song.spec, path.stem)


_WRITERS = {
    "mel": ("{}.mel.npz", _write_mel),
    "f0": ("{}.f0.csv", _write_f0),
    "ds": ("{}.ds", _write_ds),
    "picture": ("{}.png", _write_picture),
}


def _replace(path: Path, data: bytes) -> None:
    with atomic_write(path) as partial:
        partial.write_bytes(data)
