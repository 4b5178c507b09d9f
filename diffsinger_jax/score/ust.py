"""UTAU songs (.ust) to a `Song`, with the pitch that they draw (mode 2)."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.drawn_pitch import DrawnNote, PitchPoint, Vibrato, drawn_f0
from diffsinger_jax.score.options import ReadOptions
from diffsinger_jax.score.song import Part, Song
from diffsinger_jax.score.text_file import read_text
from diffsinger_jax.score.timeline import MOST_NOTES, TempoMap, WrittenNote, checked_tempo
from diffsinger_jax.score.utau_lyrics import utau_lyric

TICKS = 480
_SHAPES = {"": "io", "s": "l", "r": "o", "j": "i"}


def read_ust(path: str | Path, options: ReadOptions) -> Song:
    """Reads a song: lengths, lyrics, tempo, and pitch lines and vibrato where it draws them.

    Args:
      path: of the file.
      options: its encoding; None for the file's own word (`Charset=`), else UTF-8, Shift-JIS or
        GBK, whichever fits first.

    Raises:
      InputError: if it is no such file, or a number in it cannot be.
    """
    source = str(path)
    sections = _sections(read_text(Path(path), options.encoding), source)
    head = next((s for name, s in sections if name == "SETTING"), {})
    notes = [(name, s) for name, s in sections if re.fullmatch(r"\d+", name)]
    if not notes:
        raise InputError(f"{source}: not an UTAU song, it has no notes; save it again in UTAU")
    if len(notes) > MOST_NOTES:
        raise InputError(f"{source}: it has {len(notes)} notes, which no song has; check it")
    tempo_at, tick = {Fraction(0): _tempo(head, "the settings", source)}, Fraction(0)
    sung, raw = [], []
    for number, (name, section) in enumerate(notes, 1):
        place = f"note {number} ([#{name}])"
        length = Fraction(_number(section, "Length", place, source)).limit_denominator(1000)
        if length <= 0:
            raise InputError(f"{source}: {place}: Length is {length}, expected ticks above 0")
        if "Tempo" in section:
            tempo_at[tick / TICKS] = _tempo(section, place, source)
        lyric, hyphen = utau_lyric(section.get("Lyric", ""))
        if lyric is not None:
            midi = _number(section, "NoteNum", place, source)
            if not 0 <= midi <= 127:
                raise InputError(f"{source}: {place}: NoteNum is {midi:g}, expected 0 to 127")
            start, end = tick / TICKS, (tick + length) / TICKS
            sung.append(WrittenNote(start, end, midi, lyric or None, False, place, hyphen))
            raw.append(section)
        tick += length
    tempo = TempoMap(tempo_at.items())
    drawn = _drawn(sung, raw, tempo, source)
    f0 = drawn_f0(drawn, lambda sec: tempo.quarters(sec) * TICKS) if drawn else None
    title = head.get("ProjectName") or Path(path).stem
    part = Part(title, tuple(sung), f0=f0)
    return Song(title, "", source, (part,), tempo, tick / TICKS)


def _sections(text: str, source: str) -> list[tuple[str, dict[str, str]]]:
    """[#NAME] and the key=value lines under it, in order."""
    sections: list[tuple[str, dict[str, str]]] = []
    for line in text.splitlines():
        if match := re.fullmatch(r"\[#(\w+)\]", line.strip()):
            sections.append((match.group(1), {}))
        elif sections and "=" in line:
            key, _, value = line.partition("=")
            sections[-1][1][key.strip()] = value.strip()
    if not sections:
        raise InputError(f"{source}: not an UTAU song, it has no [#...] lines; save it again")
    return sections


def _number(section: Mapping[str, str], key: str, place: str, source: str) -> float:
    try:
        value = float(section.get(key, "").replace(",", "."))
    except ValueError:
        value = math.nan
    if not abs(value) < 1e9:
        raise InputError(
            f"{source}: {place}: {key} is {section.get(key, 'missing')!r}, expected a number; save "
            "it again in UTAU"
        )
    return value


def _tempo(section: Mapping[str, str], place: str, source: str) -> float:
    if "Tempo" not in section:
        return 120.0
    try:
        return checked_tempo(_number(section, "Tempo", place, source))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{source}: {place}: it has {error}; set it in UTAU") from error


def _drawn(
    sung: list[WrittenNote], raw: list[dict[str, str]], tempo: TempoMap, source: str
) -> list[DrawnNote]:
    """Notes with their pitch lines; none if the song draws none."""
    if not any(section.get("PBW") or section.get("VBR") for section in raw):
        return []
    drawn = []
    for i, (note, section) in enumerate(zip(sung, raw, strict=True)):
        start, end = float(note.start) * TICKS, float(note.end) * TICKS
        before = sung[i - 1] if i and sung[i - 1].end == note.start else None
        line = DrawnNote(start, end, note.midi)
        begin_sec = tempo.seconds(note.start)
        points = _points(section, 0.0 if before is None else 100.0 * (before.midi - note.midi))
        line = dataclasses.replace(
            line,
            points=tuple(
                PitchPoint(_tick(begin_sec + ms / 1000.0, tempo), cents, shape)
                for ms, cents, shape in points
            ),
            vibrato=_vibrato(section, tempo.seconds(note.end) - begin_sec),
        )
        drawn.append(line)
    return drawn


def _tick(seconds: float, tempo: TempoMap) -> float:
    import numpy as np

    return float(tempo.quarters(np.array([seconds]))[0]) * TICKS


def _points(section: Mapping[str, str], before_cents: float) -> list[tuple[float, float, str]]:
    """(ms, cents, shape) by PBS (start;height), PBW (widths), PBY (heights) and PBM (shapes)."""
    widths = _numbers(section.get("PBW", ""), ",")
    if not widths:
        return []
    begin = _numbers(section.get("PBS", "").replace(",", ";"), ";")
    heights = _numbers(section.get("PBY", ""), ",")
    shapes = [_SHAPES.get(s.strip(), "io") for s in section.get("PBM", "").split(",")]
    ms = begin[0] if begin else -40.0
    first = before_cents if before_cents else 10.0 * (begin[1] if len(begin) > 1 else 0.0)
    points = [(ms, first, shapes[0])]
    for i, width in enumerate(widths):
        ms += max(width, 0.0)
        is_last = i == len(widths) - 1
        height = 0.0 if is_last else 10.0 * (heights[i] if i < len(heights) else 0.0)
        points.append((ms, height, shapes[i + 1] if i + 1 < len(shapes) else "io"))
    return points


def _numbers(text: str, separator: str) -> list[float]:
    values = []
    for token in text.split(separator) if text.strip() else []:
        try:
            value = float(token) if token.strip() else 0.0
        except ValueError:
            value = 0.0
        values.append(value if abs(value) < 1e6 else 0.0)
    return values


def _vibrato(section: Mapping[str, str], note_sec: float) -> Vibrato:
    """VBR: length %, period ms, depth cents, fades %, shift %, drift %."""
    values = _numbers(section.get("VBR", ""), ",")
    if len(values) < 3 or values[0] <= 0:
        return Vibrato()
    values += [10.0, 10.0, 0.0, 0.0][len(values) - 3 :] if len(values) < 7 else []
    length, period, depth, fade_in, fade_out, shift, drift = values[:7]
    period = min(max(period, 5.0), 500.0) / 1000.0 / note_sec
    return Vibrato(length, period, depth, fade_in, fade_out, shift, drift)
