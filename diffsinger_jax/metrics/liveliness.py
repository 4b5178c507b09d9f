"""How pitch lives: vibrato, movement at note changes, distances from the notes, takes.

Of f0 beside the notes that were sung. None of them asks for the same pitch as a recording's: each
is a number, or a distribution, that a performance has, to be put beside the singer's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from diffsinger_jax.pitch import cents, fill_unvoiced, midi_to_hz

VIBRATO_HZ = (3.0, 8.0)
LONG_NOTE_SEC = 0.5
"""Shorter notes have no vibrato to measure."""
TRANSITION_SEC = (0.15, 0.1)
"""Left alone at the start and the end of a long note."""
LEAST_VIBRATO_CENTS = 15.0
"""Root mean square of the movement from which on it counts as vibrato."""
LEAST_REGULARITY = 0.5
"""And the share of its power within 1 Hz of its rate."""
CHANGE_SEC = 0.25
"""Around a note change: where preparation is looked for before it, and overshoot after it."""
LEAST_STEP_SEMITONES = 1.0
WILD_CENTS = 400.0
"""Further from its note a frame is an error of the f0 tracker or the label, and left out."""
QUANTILES = 200


class SungNote(NamedTuple):
    """A note on frames: [first, last), midi 69 = A4."""

    first: int
    last: int
    midi: float


class Vibrato(NamedTuple):
    """The movement between 3 and 8 Hz of one long note.

    Attributes:
      rms_cents: root mean square; a sinusoid's amplitude over sqrt(2).
      rate_hz: where its spectrum is highest.
      regularity: share of the power that lies within 1 Hz of there.
    """

    rms_cents: float
    rate_hz: float
    regularity: float

    @property
    def is_vibrato(self) -> bool:
        """Whether it is deep and regular enough to be called so."""
        return self.rms_cents >= LEAST_VIBRATO_CENTS and self.regularity >= LEAST_REGULARITY


class Change(NamedTuple):
    """Pitch around the border of two notes, in cents, both from 0.

    Attributes:
      preparation: how far it moves the other way before the change.
      overshoot: how far it moves beyond the new note's level after it.
    """

    preparation: float
    overshoot: float


def notes_of_frames(midi: np.ndarray, onset: np.ndarray) -> list[SungNote]:
    """The notes of frames, rests left out.

    Args:
      midi: f[T] of each frame's note, 0 in rests.
      onset: bool[T], True where a note starts.
    """
    edges = np.union1d(np.flatnonzero(onset), np.flatnonzero(np.diff(midi)) + 1)
    edges = np.unique(np.concatenate([[0], edges, [len(midi)]]).astype(int))
    return [
        SungNote(int(first), int(last), float(midi[first]))
        for first, last in zip(edges, edges[1:], strict=False)
        if midi[first] > 0
    ]


def deviations(f0: np.ndarray, note: SungNote) -> np.ndarray:
    """f64[frames] cents from the note, filled in where it is unvoiced; nan for a silent note."""
    own = np.asarray(f0[note.first : note.last], np.float64)
    if not np.any(own > 0):
        return np.full(len(own), np.nan)
    return cents(fill_unvoiced(own), midi_to_hz(note.midi))


def vibrato(f0: np.ndarray, note: SungNote, frames_per_sec: float) -> Vibrato | None:
    """The modulation of a note's steady part; None for a short one, or one with gaps.

    The line through it is taken away, then a Hann window's periodogram is summed over 3 to 8 Hz.

    Args:
      f0: f[T] Hz, 0 unvoiced.
      note: of it.
      frames_per_sec: of f0.
    """
    if note.last - note.first < LONG_NOTE_SEC * frames_per_sec:
        return None
    head, tail = (round(sec * frames_per_sec) for sec in TRANSITION_SEC)
    steady = SungNote(note.first + head, note.last - tail, note.midi)
    if np.mean(np.asarray(f0[steady.first : steady.last]) > 0) < 0.9:
        return None
    x = deviations(f0, steady)
    time = np.arange(len(x))
    x = x - np.polyval(np.polyfit(time, x, 1), time)
    window = np.hanning(len(x) + 2)[1:-1]
    size = 8 * len(x)  # padded: the peak of a short note is found between its own frequencies
    spectrum = np.abs(np.fft.rfft(x * window, size)) ** 2
    power = 2 * spectrum / (size * np.sum(window**2))  # its sum is the windowed variance
    rate = np.fft.rfftfreq(size, 1 / frames_per_sec)
    band = (rate >= VIBRATO_HZ[0]) & (rate <= VIBRATO_HZ[1])
    peak = float(rate[band][np.argmax(power[band])])
    near = np.abs(rate - peak) <= 1.0
    total = power[rate >= 1.0].sum()
    return Vibrato(
        rms_cents=float(np.sqrt(power[band].sum())),
        rate_hz=peak,
        regularity=float(power[near].sum() / total) if total > 0 else 0.0,
    )


def changes(f0: np.ndarray, notes: Sequence[SungNote], frames_per_sec: float) -> list[Change]:
    """Preparation and overshoot at each change between two notes without a rest between them."""
    reach = round(CHANGE_SEC * frames_per_sec)
    found = []
    for before, after in zip(notes, notes[1:], strict=False):
        step = after.midi - before.midi
        short = min(before.last - before.first, after.last - after.first) < reach
        if before.last != after.first or abs(step) < LEAST_STEP_SEMITONES or short:
            continue
        old, new = deviations(f0, before), deviations(f0, after)
        if np.isnan(old).any() or np.isnan(new).any():
            continue
        up = np.sign(step)
        found.append(
            Change(
                preparation=max(0.0, float(np.max(-up * (old[-reach:] - _level(old))))),
                overshoot=max(0.0, float(np.max(up * (new[:reach] - _level(new))))),
            )
        )
    return found


def _level(deviation: np.ndarray) -> float:
    """The median of a note's middle half."""
    quarter = len(deviation) // 4
    return float(np.median(deviation[quarter : len(deviation) - quarter]))


def distances(f0: np.ndarray, notes: Sequence[SungNote]) -> np.ndarray:
    """f64[frames] cents from the notes of all voiced frames, those beyond 400 left out."""
    found = [
        cents(own[own > 0], midi_to_hz(note.midi))
        for note in notes
        if len(own := np.asarray(f0[note.first : note.last], np.float64))
    ]
    every = np.concatenate(found) if found else np.zeros(0)
    return every[np.abs(every) <= WILD_CENTS]


def wasserstein(first: np.ndarray, second: np.ndarray) -> float:
    """The distance of two distributions of numbers: mean |difference| of their quantiles.

    Args:
      first, second: samples, in one unit.

    Returns:
      In that unit; nan where one has no sample.
    """
    if not len(first) or not len(second):
        return float("nan")
    places = (np.arange(QUANTILES) + 0.5) / QUANTILES
    return float(np.mean(np.abs(np.quantile(first, places) - np.quantile(second, places))))


def notes_within(f0: np.ndarray, notes: Sequence[SungNote], bound_cents: float = 50.0) -> float:
    """Share of the notes whose middle half's median is within a bound; nan of no note."""
    levels = [abs(_level(deviations(f0, note))) for note in notes if note.last - note.first >= 4]
    return float(np.mean(np.asarray(levels) <= bound_cents)) if levels else float("nan")


def take_spread(takes: Sequence[np.ndarray]) -> float:
    """Root mean square, over frames voiced in all takes, of their standard deviation in cents."""
    stacked = np.asarray(takes, np.float64)
    voiced = np.all(stacked > 0, axis=0)
    if not voiced.any():
        return float("nan")
    return float(np.sqrt(np.mean(np.var(cents(stacked[:, voiced]), axis=0))))
