"""OpenUtau projects (.ustx) to a `Song`, with the pitch that they draw."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.drawn_pitch import (
    DrawnNote,
    PitchPoint,
    Vibrato,
    deviation_curve,
    drawn_f0,
    snapped,
)
from diffsinger_jax.score.options import ReadOptions
from diffsinger_jax.score.plain_yaml import parse_yaml
from diffsinger_jax.score.song import Part, Song, unique_names
from diffsinger_jax.score.timeline import TempoMap, WrittenNote, checked_tempo
from diffsinger_jax.score.utau_lyrics import utau_lyric

TICKS = 480
"""In a quarter, in every .ustx (its `resolution`)."""

_MOST_ITEMS = 1_000_000

_NEUTRAL = {"velc": 100.0, "voic": 100.0, "pexp": 100.0}
"""What expressions are where no curve is drawn; 0 for the others."""


def read_ustx(path: str | Path, options: ReadOptions) -> Song:
    """Reads a project: one part for each track with notes, tempo map, lyrics, hints and pitch.

    Pitch points with their shapes, vibrato and `pitd` become the f0 that is sung; so are
    phonemes in brackets ("か[k a]") and phoneme overrides. `+`, `+~` and `-` are slurs, R is a
    rest. Other curves are expressions, in OpenUtau's units.

    Raises:
      InputError: if it is no such project, or a number in it cannot be.
    """
    source = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{source}: not UTF-8 ({error.reason}); save it in OpenUtau") from error
    root = parse_yaml(text, source)
    if not isinstance(root, dict) or "voice_parts" not in root:
        raise InputError(f"{source}: not an OpenUtau project, it has no voice_parts; save it again")
    project = _Project(root, source)
    return project.song(Path(path).stem)


class _Project:
    """Typed access to a project; every fault names its place."""

    def __init__(self, root: Mapping[str, Any], source: str):
        self.source = source
        self.root = root
        self.tempo = TempoMap(self._tempos())
        self._bars = self._bar_starts()
        self._left = _MOST_ITEMS

    def song(self, stem: str) -> Song:
        tracks = _list(self.root, "tracks")
        by_track: dict[int, list[Mapping]] = {}
        for number, part in enumerate(_list(self.root, "voice_parts"), 1):
            place = f"voice part {number}"
            if not isinstance(part, dict):
                self.fail(place, "it is not a mapping")
            track = int(self.number(part, "track_no", place, 0))
            by_track.setdefault(track, []).append(part)
        names, parts, end = [], [], 0.0
        for track, voice_parts in sorted(by_track.items()):
            name = ""
            if 0 <= track < len(tracks) and isinstance(tracks[track], dict):
                name = str(tracks[track].get("track_name") or "")
            name = name or str(voice_parts[0].get("name") or "")
            part, last = self._part(name, voice_parts)
            if part.notes:
                names.append(name)
                singer, phonemizer = self._singer(tracks, track)
                parts.append(dataclasses.replace(part, singer=singer, phonemizer=phonemizer))
                end = max(end, last)
        named = zip(parts, unique_names(names), strict=True)
        return Song(
            title=str(self.root.get("name") or stem),
            language="",
            source=self.source,
            parts=tuple(dataclasses.replace(part, name=name) for part, name in named),
            tempo=self.tempo,
            end=Fraction(end).limit_denominator(TICKS) / TICKS,
        )

    def _singer(self, tracks: Sequence[Any], number: int) -> tuple[str, str]:
        """Who sings a track, and what reads its lyrics."""
        track = tracks[number] if 0 <= number < len(tracks) else {}
        said = track if isinstance(track, dict) else {}
        return str(said.get("singer") or ""), str(said.get("phonemizer") or "")

    def fail(self, place: str, what: str) -> None:
        raise InputError(f"{self.source}: {place}: {what}; mend it in OpenUtau and save it again")

    def number(self, mapping: Mapping, key: str, place: str, default: float | None = None) -> float:
        """A finite number."""
        said = mapping.get(key)
        if said in (None, "", "null", "~") and default is not None:
            return default
        try:
            value = float(said)  # type: ignore[arg-type]  # of None and the like it says TypeError
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value) or abs(value) > 1e9:
            self.fail(place, f"{key} is {said!r}, expected a number")
        return value

    def _spend(self, items: int, place: str) -> None:
        """Counts what is walked through, which aliases may repeat without end."""
        self._left -= items
        if self._left < 0:
            self.fail(place, f"it has more than {_MOST_ITEMS} notes, points and values")

    # Time

    def _tempos(self) -> list[tuple[Fraction, float]]:
        changes = [t for t in _list(self.root, "tempos") if isinstance(t, dict)]
        changes = changes or [{"position": "0", "bpm": self.root.get("bpm", "120")}]
        tempos = []
        for i, change in enumerate(changes, 1):
            place = f"tempo {i}"
            position = self.number(change, "position", place, 0.0)
            try:
                bpm = checked_tempo(self.number(change, "bpm", place))
            except ValueError as error:
                self.fail(place, f"it is {error}")
            tempos.append((Fraction(position) / TICKS, bpm))
        return tempos

    def _bar_starts(self) -> list[tuple[float, int, float]]:
        """(tick, bar, ticks of a bar) of each time signature."""
        bars = [(0.0, 1, 4.0 * TICKS)]
        for said in _list(self.root, "time_signatures"):
            if not isinstance(said, dict):
                continue
            bar = int(self.number(said, "bar_position", "time signature", 0.0)) + 1
            beats = self.number(said, "beat_per_bar", "time signature", 4.0)
            unit = self.number(said, "beat_unit", "time signature", 4.0)
            if beats <= 0 or unit <= 0:
                self.fail("time signature", f"it is {beats:g}/{unit:g}")
            tick, last, length = bars[-1]
            bars.append((tick + max(0, bar - last) * length, bar, 4.0 * TICKS * beats / unit))
        return bars

    def bar(self, tick: float) -> int:
        start, bar, length = [b for b in self._bars if b[0] <= max(tick, 0.0)][-1]
        return bar + int((tick - start) // length)

    def seconds(self, tick: float) -> float:
        return self.tempo.seconds(Fraction(tick) / TICKS)

    def tick(self, seconds: float) -> float:
        return float(self.tempo.quarters(np.array([seconds]))[0]) * TICKS

    # Notes

    def _part(self, name: str, voice_parts: Sequence[Mapping]) -> tuple[Part, float]:
        """All voice parts of a track as one line, and its last tick."""
        notes: list[tuple[WrittenNote, DrawnNote, Mapping, str]] = []
        place = f"track {name!r}" if name else "the track"
        drawn_curves: dict[str, list[tuple[list[float], list[float]]]] = {}
        last = 0.0
        for voice_part in voice_parts:
            offset = self.number(voice_part, "position", place, 0.0)
            for i, raw in enumerate(_list(voice_part, "notes"), 1):
                self._spend(1, place)
                if note := self._note(raw, offset, f"{place}, note {i}"):
                    notes.append(note)
            for curve in _list(voice_part, "curves"):
                if isinstance(curve, dict):
                    abbr = str(curve.get("abbr"))
                    points = self._points(curve, offset, f"part {name!r}, curve {abbr}")
                    drawn_curves.setdefault(abbr, []).append(points)
            last = max([last] + [drawn.end for _, drawn, _, _ in notes])
        notes.sort(key=lambda note: note[1].start)
        drawn = self._with_lines(notes)
        deviations = [
            deviation_curve(*points) for points in drawn_curves.pop("pitd", []) if points[0]
        ]

        def deviation(ticks: np.ndarray) -> np.ndarray:
            return sum((d(ticks) for d in deviations), np.zeros(len(ticks)))

        f0 = drawn_f0(drawn, lambda sec: self.tempo.quarters(sec) * TICKS, deviation)
        line = tuple(sung for sung, _, _, _ in notes)
        expressions = {
            abbr: self._expression(curves, _NEUTRAL.get(abbr, 0.0))
            for abbr, curves in drawn_curves.items()
            if any(len(ticks) for ticks, _ in curves)
        }
        return Part(name, line, f0=f0 if line else None, expressions=expressions), last

    def _note(
        self, raw: Any, offset: float, place: str
    ) -> tuple[WrittenNote, DrawnNote, Mapping, str] | None:
        """A sung note; None for a rest."""
        if not isinstance(raw, dict):
            self.fail(place, "it is not a mapping")
        position = self.number(raw, "position", place)
        start = offset + position
        duration = self.number(raw, "duration", place)
        midi = self.number(raw, "tone", place) + self.number(raw, "tuning", place, 0.0) / 100.0
        if start < 0 or duration <= 0:
            self.fail(place, f"it starts at tick {start:g} and lasts {duration:g} ticks")
        if not 0 <= midi <= 127:
            self.fail(place, f"its tone is {midi:g}, expected 0 to 127")
        end = start + duration
        lyric, hyphen = utau_lyric(str(raw.get("lyric") or ""))
        if lyric is None:
            return None
        where = f"bar {self.bar(start)}, {place.rpartition(', ')[2]}"
        sung = WrittenNote(
            Fraction(start) / TICKS, Fraction(end) / TICKS, midi, lyric or None, False, where,
            hyphen=hyphen, overrides=self._overrides(raw, place),
        )  # fmt: skip
        return sung, DrawnNote(start, end, midi), raw, place

    def _overrides(self, raw: Mapping, place: str) -> tuple[tuple[int, str], ...]:
        said = [o for o in _list(raw, "phoneme_overrides") if isinstance(o, dict)]
        return tuple(
            (int(self.number(o, "index", place)), str(o["phoneme"]))
            for o in said
            if o.get("phoneme") not in (None, "", "null", "~")
        )

    # Pitch

    def _with_lines(
        self, notes: Sequence[tuple[WrittenNote, DrawnNote, Mapping, str]]
    ) -> list[DrawnNote]:
        drawn = []
        for i, (_, note, raw, place) in enumerate(notes):
            earlier = notes[i - 1][1] if i else None
            before = earlier.midi if earlier and earlier.end == note.start else None
            if i + 1 < len(notes):  # a short overlap ends where the next note starts
                note = dataclasses.replace(note, end=min(note.end, notes[i + 1][1].start))
            if note.end <= note.start:
                continue
            pitch = raw.get("pitch")
            pitch = pitch if isinstance(pitch, dict) else {}
            begin_sec = self.seconds(note.start)
            self._spend(len(_list(pitch, "data")), place)
            points = [
                PitchPoint(
                    self.tick(begin_sec + self.number(p, "x", place) / 1000.0),
                    10.0 * self.number(p, "y", place),
                    str(p.get("shape") or "io"),
                )
                for p in _list(pitch, "data")
                if isinstance(p, dict)
            ]
            snaps = str(pitch.get("snap_first", "true")).lower() == "true"
            drawn.append(
                dataclasses.replace(
                    note,
                    points=snapped(points, snaps, before, note.midi),
                    vibrato=self._vibrato(raw, note, place),
                )
            )
        return drawn

    def _vibrato(self, raw: Mapping, note: DrawnNote, place: str) -> Vibrato:
        said = raw.get("vibrato")
        if not isinstance(said, dict):
            return Vibrato()
        values = {
            name: self.number(said, key, f"{place}, vibrato", default)
            for name, key, default in (
                ("length", "length", 0.0), ("period", "period", 175.0), ("depth", "depth", 25.0),
                ("fade_in", "in", 10.0), ("fade_out", "out", 10.0), ("shift", "shift", 0.0),
                ("drift", "drift", 0.0),
            )
        }  # fmt: skip
        length_ms = 1000.0 * (self.seconds(note.end) - self.seconds(note.start))
        values["period"] = min(max(values["period"], 5.0), 500.0) / length_ms
        return Vibrato(**values)

    def _points(self, curve: Mapping, offset: float, place: str) -> tuple[list[float], list[float]]:
        """Ticks of the song and values of a curve's points, in order."""
        xs, ys = _list(curve, "xs"), _list(curve, "ys")
        if len(xs) != len(ys):
            self.fail(place, f"it has {len(xs)} times and {len(ys)} values")
        self._spend(len(xs), place)
        ticks = [offset + self.number({"x": x}, "x", place) for x in xs]
        values = [self.number({"y": y}, "y", place) for y in ys]
        points = sorted(zip(ticks, values, strict=True))
        return [tick for tick, _ in points], [value for _, value in points]

    def _expression(
        self, curves: Sequence[tuple[list[float], list[float]]], neutral: float
    ) -> Callable[[np.ndarray], np.ndarray]:
        """Values of the curves of a track's voice parts, by seconds of the song.

        Straight lines between points, at whole ticks as OpenUtau has it; neutral outside of them.
        """

        def at(seconds: np.ndarray) -> np.ndarray:
            ticks = np.round(self.tempo.quarters(np.asarray(seconds, np.float64)) * TICKS)
            values = np.full(len(ticks), neutral)
            for xs, ys in curves:
                if xs:
                    inside = (ticks >= xs[0]) & (ticks <= xs[-1])
                    values = np.where(inside, np.interp(ticks, xs, ys), values)
            return values

        return at


def _list(mapping: Mapping, key: str) -> list:
    value = mapping.get(key)
    return value if isinstance(value, list) else []
