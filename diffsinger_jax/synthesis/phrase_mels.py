"""Mels of pieces phrase by phrase, each with the same silence around it wherever it stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.features import FEATURES
from diffsinger_jax.pipeline.collate import collate
from diffsinger_jax.synthesis.buckets import pack
from diffsinger_jax.synthesis.row_keys import row_keys
from diffsinger_jax.types import SILENCE, Batch
from diffsinger_jax.voices.voice import Voice

PADDING_FRAMES = 8
"""Of silence before and after a phrase, as OpenUtau has it: so both make the same mel of it."""
_PIECES = 2**16
"""More than a song has."""


class _Phrase(NamedTuple):
    """What stands between two silences of a row.

    Attributes:
      row: of the batch.
      piece: its number in the song.
      number: among the phrases of its row.
      phonemes: from the silence before to the silence after, both included.
      ph_frames: i32 of them.
      places: i32[T], which frames of the row its frames are; some may be outside.
    """

    row: int
    piece: int
    number: int
    phonemes: slice
    ph_frames: np.ndarray
    places: np.ndarray


def phrase_mels(
    voice: Voice,
    batch: Batch,
    examples: Mapping[int, Mapping[str, np.ndarray]],
    seed: int,
    sampling: Sampling | None,
    frames_per_batch: int,
) -> np.ndarray:
    """The mels of a batch; what is no phrase's is silent.

    Args:
      voice: that sings.
      batch: of which f0 and curves are read.
      examples: of its rows that are not padding, each begun and ended by silence, by their numbers
        in the song.
      seed: of the noise; with the numbers of a piece and its phrase it gives its random key.
      sampling: how; None for the voice's own.
      frames_per_batch: bound on rows x frames of one call.

    Returns:
      f32[B, T, M] log amplitude.
    """
    spec = voice.info.mel
    silence = voice.info.vocabulary.phonemes.index(SILENCE) + 1
    rows = enumerate(examples.items())
    phrases = [p for row, (index, one) in rows for p in _phrases(row, index, one, silence)]
    mels = np.full((*batch.mask.shape, spec.n_mels), spec.silence, np.float32)
    sizes = [(len(phrase.places), len(phrase.ph_frames)) for phrase in phrases]
    for chosen, bucket in pack(sizes, frames_per_batch):
        some = [phrases[i] for i in chosen]
        cut = [_cut(phrase, examples[phrase.piece], batch, spec.frames_per_sec) for phrase in some]
        part = collate(cut, bucket, spec.n_mels)
        curves = {
            name: np.zeros((*part.mask.shape, *np.shape(values)[2:]), np.float32)
            for name, values in batch.curves.items()
        }
        for i, phrase in enumerate(some):
            for name, values in batch.curves.items():
                curves[name][i, : len(phrase.places)] = _held(values, phrase, batch)
        numbers = [phrase.number * _PIECES + phrase.piece for phrase in some]
        keys, _ = row_keys(seed, numbers, bucket.rows)
        made = np.asarray(voice.sample_mel(part._replace(curves=curves), keys, sampling))
        for mel, phrase in zip(made, some, strict=False):
            _place(mels[phrase.row, : int(batch.mask[phrase.row].sum())], mel, phrase.places)
    return mels


def _phrases(
    row: int, piece: int, example: Mapping[str, np.ndarray], silence: int
) -> list[_Phrase]:
    ends = np.cumsum(example["ph_frames"])
    quiet = np.flatnonzero(np.asarray(example["tokens"]) == silence).tolist()
    phrases: list[_Phrase] = []
    for before, after in zip(quiet, quiet[1:], strict=False):
        if after - before == 1:
            continue
        ph_frames = np.array(example["ph_frames"][before : after + 1])
        ph_frames[[0, -1]] = PADDING_FRAMES
        places = np.arange(ends[before] - PADDING_FRAMES, ends[after - 1] + PADDING_FRAMES)
        both = slice(before, after + 1)
        phrases.append(_Phrase(row, piece, len(phrases), both, ph_frames, places))
    return phrases


def _cut(
    phrase: _Phrase, example: Mapping[str, np.ndarray], batch: Batch, frames_per_sec: float
) -> dict[str, np.ndarray]:
    """The phrase as an example of its own."""
    cut = {
        name: values[phrase.phonemes] if FEATURES[name].axis == "phoneme" else values
        for name, values in example.items()
    }
    note_sec = np.array(cut["note_sec"])
    note_sec[[0, -1]] = PADDING_FRAMES / frames_per_sec
    frames = int(batch.mask[phrase.row].sum())
    inside = (phrase.places >= 0) & (phrase.places < frames)
    f0 = np.where(inside, _held(batch.f0, phrase, batch), 0.0).astype(np.float32)
    return cut | {"note_sec": note_sec, "ph_frames": phrase.ph_frames, "f0": f0}


def _held(values: np.ndarray, phrase: _Phrase, batch: Batch) -> np.ndarray:
    """What [B, T, ...] has at the phrase's frames; outside of the row its nearest end."""
    last = int(batch.mask[phrase.row].sum()) - 1
    return np.asarray(values)[phrase.row, np.clip(phrase.places, 0, last)]


def _place(target: np.ndarray, mel: np.ndarray, places: np.ndarray) -> None:
    """Writes a phrase into its row; where the silences of two meet, the louder one."""
    inside = (places >= 0) & (places < len(target))
    at = places[inside]
    target[at] = np.maximum(target[at], mel[: len(places)][inside])
