"""Curves in time, and how OpenUtau samples them on the frames of a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from diffsinger_jax.interop.openutau.phrases import Phone, Phrase
from diffsinger_jax.interop.openutau.timing import HEAD_FRAMES, TAIL_FRAMES, padded_frames
from diffsinger_jax.pitch import fill_unvoiced, hz_to_midi
from diffsinger_jax.score.drawn_pitch import DrawnNote, PitchPoint, drawn_f0, snapped

PORTAMENTO_MS = 40.0
"""Before and after the beginning of a note, where OpenUtau draws no other line."""


@dataclasses.dataclass(frozen=True)
class TimedCurve:
    """Values at times.

    Attributes:
      start_sec: of the first one, in the song.
      step_sec: from one to the next.
      values: f64[n].
    """

    start_sec: float
    step_sec: float
    values: np.ndarray

    def at(self, times_sec: np.ndarray) -> np.ndarray:
        """f64[T]: straight lines between the values, the first and the last one held."""
        places = (np.asarray(times_sec, np.float64) - self.start_sec) / self.step_sec
        return np.interp(places, np.arange(len(self.values)), self.values)


@dataclasses.dataclass(frozen=True)
class FrameGrid:
    """The frames of one model over a phrase.

    Attributes:
      ph_dur: i64[N + 2] of head, phonemes and tail.
      start_sec: of the first frame, in the song.
      frame_sec: from one to the next.
    """

    ph_dur: np.ndarray
    start_sec: float
    frame_sec: float

    @classmethod
    def of(cls, phones: Sequence[Phone], frame_sec: float) -> FrameGrid:
        """Head and tail of 8 frames each around the phonemes."""
        ph_dur = padded_frames([phone.duration_sec for phone in phones], frame_sec)
        return cls(ph_dur, phones[0].start_sec - HEAD_FRAMES * frame_sec, frame_sec)

    @property
    def frames(self) -> int:
        """T."""
        return int(self.ph_dur.sum())

    @property
    def times_sec(self) -> np.ndarray:
        """f64[T] of each frame."""
        return self.start_sec + np.arange(self.frames) * self.frame_sec

    def curve(self, values: np.ndarray) -> TimedCurve:
        """Values f[T] on these frames."""
        return TimedCurve(self.start_sec, self.frame_sec, np.asarray(values, np.float64))


def given_curve(phrase: Phrase, name: str) -> TimedCurve | None:
    """A curve of the phrase's piece, in its units."""
    if (curve := phrase.piece.curves.get(name)) is None:
        return None
    values = np.asarray(curve.values, np.float64)
    return TimedCurve(phrase.piece.offset_sec, curve.timestep_sec, values)


def given_pitch(phrase: Phrase) -> TimedCurve | None:
    """The f0 of the phrase's piece in MIDI numbers, its gaps filled; None if it gives none."""
    curve = given_curve(phrase, "f0")
    if curve is None or not np.any(curve.values > 0):
        return None
    return dataclasses.replace(curve, values=hz_to_midi(fill_unvoiced(curve.values)))


def drawn_pitch(phrase: Phrase, grid: FrameGrid) -> TimedCurve:
    """The notes' pitches, from one to the next by the line that OpenUtau draws by itself."""
    notes = []
    for before, note in zip((None, *phrase.notes), phrase.notes, strict=False):
        start_ms = 1000.0 * note.start_sec
        points = [PitchPoint(start_ms + x, 0.0) for x in (-PORTAMENTO_MS, PORTAMENTO_MS)]
        line = snapped(points, True, before.midi if before else None, note.midi)
        notes.append(DrawnNote(start_ms, 1000.0 * note.end_sec, note.midi, line))
    return grid.curve(hz_to_midi(drawn_f0(notes, lambda sec: 1000.0 * sec)(grid.times_sec)))


def on_other_frames(values: np.ndarray, source: FrameGrid, target: FrameGrid) -> np.ndarray:
    """A predicted curve f[T] on the frames of another model: head, body and tail apart, by time.

    Args:
      values: on the frames of `source`.
      source, target: of the same phrase.
    """
    if source.frame_sec == target.frame_sec and len(values) == target.frames:
        return np.asarray(values, np.float64)
    parts = [
        (values[:HEAD_FRAMES], HEAD_FRAMES),
        (values[HEAD_FRAMES:-TAIL_FRAMES], target.frames - HEAD_FRAMES - TAIL_FRAMES),
        (values[-TAIL_FRAMES:], TAIL_FRAMES),
    ]
    ratio = target.frame_sec / source.frame_sec
    return np.concatenate(
        [
            np.interp(np.arange(count) * ratio, np.arange(len(part)), part)
            if len(part)
            else np.zeros(count)
            for part, count in parts
        ]
    )
