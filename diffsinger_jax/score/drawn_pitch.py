"""Pitch as it is drawn in UTAU and OpenUtau: points with shapes, vibrato, a curve of deviations."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

A4_HZ, A4_CENTS = 440.0, 6900.0


@dataclasses.dataclass(frozen=True)
class PitchPoint:
    """A point of a note's pitch line.

    Attributes:
      tick: of the song.
      cents: above the note.
      shape: of the line up to the next point: "io" (cosine), "l" (straight), "i" (begins flat),
        "o" (ends flat).
    """

    tick: float
    cents: float
    shape: str = "io"


@dataclasses.dataclass(frozen=True)
class Vibrato:
    """A vibrato at the end of a note; OpenUtau's numbers, within its bounds.

    Attributes:
      length: percent of the note; 0 for none.
      period: of one oscillation, in lengths of the note.
      depth: cents.
      fade_in, fade_out: percent of the vibrato's length.
      shift: percent of a period.
      drift: percent of the depth, by which its middle lies above the note.
    """

    length: float = 0.0
    period: float = 1.0
    depth: float = 25.0
    fade_in: float = 10.0
    fade_out: float = 10.0
    shift: float = 0.0
    drift: float = 0.0


@dataclasses.dataclass(frozen=True)
class DrawnNote:
    """A note with its pitch line, times in ticks of the song.

    Attributes:
      start, end: of the note.
      midi: its pitch.
      points: in order of time; none for a flat line.
      vibrato: of it.
    """

    start: float
    end: float
    midi: float
    points: tuple[PitchPoint, ...] = ()
    vibrato: Vibrato = Vibrato()


def drawn_f0(
    notes: Sequence[DrawnNote],
    ticks_of: Callable[[np.ndarray], np.ndarray],
    deviation: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Callable[[np.ndarray], np.ndarray]:
    """The pitch of a line of notes at any time.

    Notes that follow each other at once are a phrase. Within one, cents(t) is the note's own
    pitch, plus its vibrato

        depth (sin(2 pi ((t - v) / period + shift)) + drift) fade(t)

    from v on, plus, of every note, how far its pitch line lies from the note that sounds at t:
    lines begin before their note and so glide from the one before. Between points u in [0, 1]

        io: (1 - cos(pi u)) / 2     l: u     i: 1 - cos(pi u / 2)     o: sin(pi u / 2)

    Before a phrase its first pitch holds, after it its last. Source: OpenUtau's RenderPhrase.

    Args:
      notes: in order, not overlapping.
      ticks_of: seconds f64[n] -> ticks f64[n], the tempo.
      deviation: ticks f64[n] -> cents f64[n] added to all (`pitd`).

    Returns:
      seconds f64[n] -> Hz f64[n], all above 0.
    """
    phrases: list[list[DrawnNote]] = []
    for note in notes:
        if phrases and abs(note.start - phrases[-1][-1].end) < 1e-6:
            phrases[-1].append(note)
        else:
            phrases.append([note])
    # A phrase rules from the middle of the gap before it to the middle of the gap after.
    turns = [
        (before[-1].end + after[0].start) / 2
        for before, after in zip(phrases, phrases[1:], strict=False)
    ]

    def f0(seconds: np.ndarray) -> np.ndarray:
        ticks = ticks_of(np.asarray(seconds, np.float64))
        cents = np.empty(len(ticks))
        edges = [0, *np.searchsorted(ticks, turns).tolist(), len(ticks)]
        for phrase, first, last in zip(phrases, edges, edges[1:], strict=False):
            cents[first:last] = _phrase_cents(phrase, ticks[first:last])
        if deviation is not None:
            cents += deviation(ticks)
        return A4_HZ * 2.0 ** ((np.clip(cents, 0.0, 12_800.0) - A4_CENTS) / 1200.0)

    return f0


def _phrase_cents(notes: Sequence[DrawnNote], ticks: np.ndarray) -> np.ndarray:
    starts = [note.start for note in notes]
    sounding = np.clip(np.searchsorted(starts, ticks, side="right") - 1, 0, len(notes) - 1)
    cents = np.array([100.0 * note.midi for note in notes])[sounding]
    for i, note in enumerate(notes):
        first, last = np.searchsorted(ticks, [note.start, note.end])
        if note.vibrato.length > 0:
            cents[first:last] += _vibrato_cents(note, ticks[first:last])
        times, heights, shapes = _line(note, is_first=i == 0, begin=ticks[:1])
        first, last = np.searchsorted(ticks, [times[0], times[-1]])
        line = _interpolated(times, heights, shapes, ticks[first:last])
        before = notes[max(i - 1, 0)]
        base = np.where(ticks[first:last] >= note.start, note.midi, before.midi)
        cents[first:last] += line - 100.0 * base
    return cents


def _line(
    note: DrawnNote, is_first: bool, begin: np.ndarray
) -> tuple[list[float], list[float], list[str]]:
    """Times in ticks, heights in cents and shapes of a note's pitch line, to its end."""
    own = 100.0 * note.midi
    times = [point.tick for point in note.points]
    heights = [own + point.cents for point in note.points]
    shapes = [point.shape for point in note.points]
    if not times:
        times, heights, shapes = [note.start], [own], ["l"]
    earliest = min(note.start, float(begin[0])) if is_first and len(begin) else note.start
    if times[0] > earliest:
        times, heights, shapes = [earliest, *times], [heights[0], *heights], ["l", *shapes]
    if times[-1] < note.end:
        times, heights, shapes = [*times, note.end], [*heights, heights[-1]], [*shapes, "l"]
    return times, heights, shapes


def _interpolated(
    times: list[float], heights: list[float], shapes: list[str], at: np.ndarray
) -> np.ndarray:
    result = np.empty(len(at))
    edges = np.searchsorted(at, times)
    for i, shape in enumerate(shapes[:-1]):
        first, last = edges[i], edges[i + 1]
        length = times[i + 1] - times[i]
        u = (at[first:last] - times[i]) / length if length > 0 else np.ones(last - first)
        result[first:last] = heights[i] + (heights[i + 1] - heights[i]) * _shaped(u, shape)
    return result


def _shaped(u: np.ndarray, shape: str) -> np.ndarray:
    if shape == "l":
        return u
    if shape == "i":
        return 1.0 - np.cos(np.pi / 2.0 * u)
    if shape == "o":
        return np.sin(np.pi / 2.0 * u)
    return (1.0 - np.cos(np.pi * u)) / 2.0


def _vibrato_cents(note: DrawnNote, ticks: np.ndarray) -> np.ndarray:
    vibrato = note.vibrato
    length = min(max(vibrato.length, 0.0), 100.0) / 100.0
    fade_in = min(max(vibrato.fade_in, 0.0), 100.0)
    fade_out = min(max(vibrato.fade_out, 0.0), 100.0 - fade_in)
    depth = min(max(vibrato.depth, 5.0), 200.0)
    shift = min(max(vibrato.shift, 0.0), 100.0) / 100.0
    drift = min(max(vibrato.drift, -100.0), 100.0) / 100.0
    place = (ticks - note.start) / (note.end - note.start)  # of the note, in [0, 1]
    begin = 1.0 - length
    angle = 2.0 * np.pi * ((place - begin) / vibrato.period + shift)
    cents = depth * (np.sin(angle) + drift)
    rise, fall = length * fade_in / 100.0, length * fade_out / 100.0
    gain = np.ones(len(place))
    if rise > 0:
        gain = np.where(place < begin + rise, (place - begin) / rise, gain)
    if fall > 0:
        gain = np.where(place > 1.0 - fall, (1.0 - place) / fall, gain)
    return np.where(place < begin, 0.0, cents * gain)


def deviation_curve(
    ticks: Sequence[float], cents: Sequence[float]
) -> Callable[[np.ndarray], np.ndarray]:
    """Cents between the points of a `pitd` curve, straight lines; 0 before and after it."""
    points = sorted(zip(ticks, cents, strict=True))
    x, y = np.array([p[0] for p in points]), np.array([p[1] for p in points])
    return lambda at: np.interp(at, x, y, left=0.0, right=0.0)


def snapped(
    points: Sequence[PitchPoint], snap_first: bool, before: float | None, midi: float
) -> tuple[PitchPoint, ...]:
    """The points, the first of them on the note before if it snaps there.

    Args:
      points: as drawn.
      snap_first: whether it snaps.
      before: pitch of the note that ends where this one starts; None for a gap.
      midi: of this note.
    """
    ordered = sorted(points, key=lambda p: p.tick)
    if snap_first and ordered:
        cents = 0.0 if before is None else 100.0 * (before - midi)
        ordered[0] = dataclasses.replace(ordered[0], cents=cents)
    return tuple(ordered)
