"""The notes of a phrase as the pitch model sees them: rests filled, lengths in frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from diffsinger_jax.interop.openutau.curves import FrameGrid
from diffsinger_jax.interop.openutau.dictionary import SoundTable
from diffsinger_jax.interop.openutau.phrases import Phone, Phrase, PhraseNote
from diffsinger_jax.interop.openutau.timing import HEAD_FRAMES, TAIL_FRAMES, frames_of
from diffsinger_jax.types import BREATH, SILENCE

_NO_NOTE = 60.0
_SHORT_SEC = 1e-3
"""OpenUtau compares positions by ticks; a shorter overlap is none."""


@dataclasses.dataclass(frozen=True)
class Melody:
    """Notes and rests, the head first and the tail last.

    Attributes:
      midi: f64[K]; a rest has that of a note near it.
      rest: bool[K].
      frames: i64[K], with the sum of the phonemes' frames.
    """

    midi: np.ndarray
    rest: np.ndarray
    frames: np.ndarray


def melody(phrase: Phrase, phones: Sequence[Phone], grid: FrameGrid, table: SoundTable) -> Melody:
    """The notes of a phrase with a rest before, between and after them where there is time."""
    notes = phrase.notes
    frame_ms = 1000.0 * grid.frame_sec
    begin_sec = min(phones[0].start_sec, notes[0].start_sec)
    head = HEAD_FRAMES * frame_ms + 1000.0 * (notes[0].start_sec - begin_sec)
    midi, rest, lengths_ms = [notes[0].midi], [True], [head]
    was_rest = True
    for note, following in zip(notes, (*notes[1:], None), strict=True):
        if not note.slur:
            was_rest = not _is_sung(note, phones, table)
        midi.append(note.midi)
        rest.append(was_rest)
        lengths_ms.append(1000.0 * (note.end_sec - note.start_sec))
        gap = following.start_sec - note.end_sec if following else 0.0
        if gap > _SHORT_SEC:
            midi.append(note.midi)
            rest.append(True)
            lengths_ms.append(1000.0 * gap)
    midi.append(notes[-1].midi)
    rest.append(True)
    lengths_ms.append(TAIL_FRAMES * frame_ms)
    frames = fitted(frames_of(lengths_ms, frame_ms), grid.frames)
    return Melody(filled(np.array(midi), np.array(rest)), np.array(rest), frames)


def filled(midi: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Pitches of rests: of the nearest note by number, the earlier one of two, 60 without any."""
    if rest.all():
        return np.full(len(midi), _NO_NOTE)
    result = midi.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], rest, [False]]).astype(int)))
    for first, last in edges.reshape(-1, 2):
        if first == 0:
            result[first:last] = midi[last]
        elif last == len(midi):
            result[first:last] = midi[first - 1]
        else:
            middle = (first + last + 1) // 2
            result[first:middle], result[middle:last] = midi[first - 1], midi[last]
    return result


def fitted(frames: np.ndarray, total: int) -> np.ndarray:
    """Lengths with another sum: the last one changes, then those before it as far as needed."""
    result = frames.copy()
    result[-1] += total - result.sum()
    for i in range(len(result) - 1, 0, -1):
        if result[i] >= 0:
            break
        result[i - 1] += result[i]
        result[i] = 0
    return result


def _is_sung(note: PhraseNote, phones: Sequence[Phone], table: SoundTable) -> bool:
    """Whether a vowel sounds in a note's time."""
    inside = [
        p
        for p in phones
        if p.end_sec > note.start_sec + _SHORT_SEC and p.start_sec < note.end_sec - _SHORT_SEC
    ]
    return any(p.symbol not in (SILENCE, BREATH) and table.is_vowel(p.symbol) for p in inside)
