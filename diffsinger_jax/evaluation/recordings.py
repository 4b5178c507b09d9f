"""The recorded sound of the pieces of a prepared corpus, which keeps only their mels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from diffsinger_jax.audio.mel import log_mel
from diffsinger_jax.audio.wav import read_wav
from diffsinger_jax.errors import InputError
from diffsinger_jax.pipeline.prepared import Example, text
from diffsinger_jax.types import MelSpec

SUFFIXES = (".wav", ".flac")
TOLERANCE = 0.01
"""Largest difference of log amplitudes between a piece's mel and its place in the recording."""


def song_of(name: str) -> str:
    """The song of a piece named "song#number"."""
    return name.split("#")[0]


def piece_recordings(
    folder: str | Path, examples: Sequence[Example], spec: MelSpec
) -> list[np.ndarray]:
    """Finds each piece in the recording of its song, by its mel.

    Args:
      folder: with the sound files, at any depth; that of the song "pjs011" is called pjs011 or
        pjs011_..., as .wav or .flac.
      examples: pieces named "song#number".

    Returns:
      f32[T * hop] in [-1, 1] at `spec.sample_rate`, of each piece.

    Raises:
      InputError: where a song has no file, or a piece is not in it.
    """
    songs = {song_of(text(example["name"])) for example in examples}
    files = [p for p in sorted(Path(folder).rglob("*")) if p.suffix.lower() in SUFFIXES]
    sounds = {song: _songs_sound(song, files, folder, spec) for song in sorted(songs)}
    mels = {song: log_mel(sound, spec) for song, sound in sounds.items()}
    found = []
    for example in examples:
        name = text(example["name"])
        song = song_of(name)
        first = _find(np.asarray(example["mel"]), mels[song])
        if first is None:
            raise InputError(
                f"the piece {name} is not in the recording of {song} in {folder}; give the sound "
                "files that the corpus was prepared from"
            )
        start = first * spec.hop
        samples = len(example["mel"]) * spec.hop
        sound = sounds[song][start : start + samples]
        found.append(np.pad(sound, (0, samples - len(sound))))
    return found


def _songs_sound(song: str, files: Sequence[Path], folder: str | Path, spec: MelSpec) -> np.ndarray:
    named = [p for p in files if p.stem == song] or [
        p for p in files if p.stem.startswith(song + "_")
    ]
    if not named:
        raise InputError(
            f"there is no recording of {song} in {folder}, expected {song}.wav or .flac; give the "
            "folder that the corpus was prepared from, or leave --recordings out"
        )
    return read_wav(named[0], spec.sample_rate, downmix=True)[0]


def _find(piece: np.ndarray, song: np.ndarray) -> int | None:
    """The frame of the song's mel where the piece's begins, None if it is not in it."""
    loudest = int(piece.sum(axis=1).argmax())  # silence would be found in many places
    distance = np.abs(song - piece[loudest]).max(axis=1)
    for frame in np.flatnonzero(distance < TOLERANCE):
        first = int(frame) - loudest
        there = song[first : first + len(piece)] if first >= 0 else song[:0]
        if there.shape == piece.shape and np.abs(there - piece).max() < TOLERANCE:
            return first
    return None
