"""MusicXML (.musicxml, .xml, .mxl) to a `Score`: the first part that has lyrics."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.musicxml_file import parse_musicxml
from diffsinger_jax.score.timeline import TempoMap, WrittenNote, notes_in_seconds
from diffsinger_jax.types import Piece, Score

_SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_QUARTERS = {"breve": 8, "whole": 4, "half": 2, "quarter": 1, "eighth": Fraction(1, 2)} | {
    f"{2**k}{'nd' if k == 5 else 'th'}": Fraction(4, 2**k) for k in range(4, 9)
}


@dataclasses.dataclass
class _WrittenNote:
    """A pitched note of one measure, times in quarters from its bar line."""

    start: Fraction
    end: Fraction
    midi: float
    lyrics: dict[int, str]  # by verse
    tied: bool
    chord: bool
    voice: str
    staff: str


@dataclasses.dataclass
class _Measure:
    """One measure of one part."""

    number: str
    notes: list[_WrittenNote] = dataclasses.field(default_factory=list)
    tempos: list[tuple[Fraction, float]] = dataclasses.field(default_factory=list)
    length: Fraction = Fraction(0)  # as far as its notes and rests reach
    bar_length: Fraction = Fraction(4)  # by the time signature
    forward: bool = False
    backward_times: int = 0
    passes: frozenset[int] = frozenset()  # of the ending it stands under, empty: every pass
    unpitched: bool = False


def read_musicxml(path: str | Path, *, verse: int = 1) -> Score:
    """Reads the sung part of a score as one `Piece`.

    The first part with lyrics is sung. Repeats and their endings are written out; a later pass
    takes the next verse where one is given. Ties are joined, notes without a lyric are slurs,
    grace and cue notes are left out, tempo marks (`<sound tempo>`, metronome marks) of all parts
    count, transposing instruments sound.

    Args:
      path: of the file.
      verse: the verse to sing, from 1. A measure that gives only another verse's lyrics (a
        refrain written once) is sung on those.

    Raises:
      InputError: if it is not MusicXML, has no lyrics or not this verse, has chords or two
        voices at once in the sung part, or jumps (da capo, dal segno).
    """
    path = Path(path)
    source = str(path)
    root = parse_musicxml(path)
    if root.tag != "score-partwise":
        raise InputError(
            f"{source}: <{root.tag}> is not a partwise MusicXML score; export it as MusicXML "
            "(score-partwise) from the notation program"
        )
    try:
        parts = [list(_measures(part, source)) for part in root.findall("part")]
    except InputError:
        raise
    except (ValueError, KeyError, ZeroDivisionError) as error:
        raise InputError(
            f"{source}: a number or note name in it is malformed ({error}); export it again"
        ) from error
    sung_part = next((p for p in parts if any(n.lyrics for m in p for n in m.notes)), None)
    if sung_part is None:
        raise InputError(
            f"{source}: no part has lyrics; write a syllable under each note to be sung"
        )
    staff = next(n.staff for m in sung_part for n in m.notes if n.lyrics)
    _check_single_voice(sung_part, staff, source)
    verses = sorted({v for m in sung_part for n in m.notes for v in n.lyrics})
    if verse not in verses:
        known = ", ".join(map(str, verses))
        raise InputError(f"{source}: there is no verse {verse}; the lyrics have verse {known}")

    sung: list[WrittenNote] = []
    tempos: list[tuple[Fraction, float]] = []
    position = Fraction(0)
    lengths = [_length_over_parts(parts, i) for i in range(len(sung_part))]
    written_tempos = _tempos_by_measure(parts, len(sung_part))
    for i, turn in _unrolled(sung_part):
        measure = sung_part[i]
        tempos += [(position + start, bpm) for start, bpm in written_tempos[i]]
        notes = sorted((n for n in measure.notes if n.staff == staff), key=lambda n: n.start)
        given = sorted({v for n in notes for v in n.lyrics})
        sing = next((v for v in (verse + turn - 1, verse, *given) if v in given), verse)
        for count, note in enumerate(notes, 1):
            where = f"measure {measure.number}, note {count}"
            start, end = position + note.start, position + note.end
            sung.append(WrittenNote(start, end, note.midi, note.lyrics.get(sing), note.tied, where))
        position += lengths[i]
    notes = notes_in_seconds(sung, position, TempoMap(tempos), source)
    return Score(_title(root, path), _language(root), (Piece(0.0, notes),), source)


def _title(root: ET.Element, path: Path) -> str:
    for tag in ("work/work-title", "movement-title"):
        if title := (root.findtext(tag) or "").strip():
            return title
    return path.stem


def _language(root: ET.Element) -> str:
    said = root.find("defaults/lyric-language")
    return "" if said is None else said.get("xml:lang", "")


# One part


def _measures(part: ET.Element, source: str) -> Iterator[_Measure]:
    """Walks through a part; positions in quarters, whatever the divisions are."""
    divisions, transpose, bar_length = Fraction(1), 0, Fraction(4)
    passes: frozenset[int] = frozenset()
    for element in part.findall("measure"):
        measure = _Measure(element.get("number", "?"))
        position = chord_start = Fraction(0)
        ending_stops = False
        for child in element:
            if child.tag == "attributes":
                divisions = _number(child, "divisions", divisions)
                if divisions <= 0:
                    raise InputError(
                        f"{source}: measure {measure.number}: divisions must be above 0, "
                        f"not {divisions}"
                    )
                if child.find("time/beats") is not None:
                    beats = sum(int(b) for b in re.findall(r"\d+", child.findtext("time/beats")))
                    bar_length = Fraction(4 * beats, int(child.findtext("time/beat-type")))
                if child.find("transpose") is not None:
                    octaves = int(child.findtext("transpose/octave-change", "0"))
                    transpose = int(child.findtext("transpose/chromatic", "0")) + 12 * octaves
            elif child.tag in ("backup", "forward"):
                step = _number(child, "duration", Fraction(0)) / divisions
                position += step if child.tag == "forward" else -step
                position = max(position, Fraction(0))
            elif child.tag in ("direction", "sound"):
                measure.tempos += [(position, bpm) for bpm in _tempo(child)]
                for sound in child.iter("sound"):
                    if "dacapo" in sound.attrib or "dalsegno" in sound.attrib:
                        raise InputError(
                            f"{source}: measure {measure.number}: jumps (D.C., D.S.) are not "
                            "followed; write the measures out"
                        )
            elif child.tag == "barline":
                passes, stops = _read_barline(child, measure, passes)
                ending_stops = ending_stops or stops
            elif child.tag == "note" and child.find("grace") is None:
                length = _number(child, "duration", Fraction(-1)) / divisions
                if length < 0:
                    raise InputError(
                        f"{source}: measure {measure.number}: a note has no duration, or a "
                        "negative one; export the score again"
                    )
                is_chord = child.find("chord") is not None
                start = chord_start if is_chord else position
                if not is_chord:
                    chord_start, position = position, position + length
                if child.find("unpitched") is not None:
                    measure.unpitched = True
                if length > 0 and child.find("pitch") is not None and child.find("cue") is None:
                    measure.notes.append(_note(child, start, length, transpose, is_chord))
            measure.length = max(measure.length, position)
        measure.passes, measure.bar_length = passes, bar_length
        if ending_stops:
            passes = frozenset()
        yield measure


def _number(element: ET.Element, tag: str, default: Fraction) -> Fraction:
    text = (element.findtext(tag) or "").strip()
    return Fraction(text) if re.fullmatch(r"-?\d+(\.\d+)?", text) else default


def _note(
    element: ET.Element, start: Fraction, length: Fraction, transpose: int, chord: bool
) -> _WrittenNote:
    step = element.findtext("pitch/step", "C").strip().upper()
    alter = float(element.findtext("pitch/alter") or 0)
    octave = int(element.findtext("pitch/octave", "4"))
    ties = [*element.findall("tie"), *element.findall("notations/tied")]
    lyrics: dict[int, str] = {}
    for lyric in element.findall("lyric"):
        # Several <text>s stand in one <lyric> where syllables are elided.
        text = "".join(t.text or "" for t in lyric.findall("text")).strip()
        digits = re.search(r"(\d+)\D*$", lyric.get("number", "1"))  # also "part1verse2"
        if text:
            lyrics.setdefault(int(digits.group(1)) if digits else 1, text)
    return _WrittenNote(
        start=start,
        end=start + length,
        midi=12 * (octave + 1) + _SEMITONES[step] + alter + transpose,
        lyrics=lyrics,
        tied=any(tie.get("type") == "stop" for tie in ties),
        chord=chord,
        voice=element.findtext("voice", "1"),
        staff=element.findtext("staff", "1"),
    )


def _tempo(element: ET.Element) -> list[float]:
    """Quarters per minute of a <direction> or <sound>: none or one."""
    for sound in element.iter("sound"):
        if re.fullmatch(r"\d+(\.\d+)?", sound.get("tempo", "")) and float(sound.get("tempo")) > 0:
            return [float(sound.get("tempo"))]
    for metronome in element.iter("metronome"):
        unit = _QUARTERS.get(metronome.findtext("beat-unit", ""))
        # "c. 60" and "60-66" are written too.
        number = re.search(r"\d+(\.\d+)?", metronome.findtext("per-minute", ""))
        if unit and number and float(number.group()) > 0:
            dots = len(metronome.findall("beat-unit-dot"))
            return [float(number.group()) * float(unit * (2 - Fraction(1, 2**dots)))]
    return []


# Repeats, tempo, voices


def _read_barline(
    barline: ET.Element, measure: _Measure, passes: frozenset[int]
) -> tuple[frozenset[int], bool]:
    """Notes repeats in the measure; returns the passes from here on, and whether they end here."""
    repeat, ending = barline.find("repeat"), barline.find("ending")
    if repeat is not None and repeat.get("direction") == "forward":
        measure.forward = True
    elif repeat is not None:
        measure.backward_times = int(repeat.get("times", "2"))
    if ending is None:
        return passes, False
    if ending.get("type") == "start":
        return frozenset(map(int, re.findall(r"\d+", ending.get("number", "")))), False
    return passes, True


def _unrolled(measures: list[_Measure]) -> Iterator[tuple[int, int]]:
    """Yields (index of the measure, which time it is sung) in the order of singing."""
    i = start = 0
    turn = 1
    while i < len(measures):
        measure = measures[i]
        if measure.forward and start != i:
            start, turn = i, 1
        if not measure.passes or turn in measure.passes:
            yield i, turn
            last_turn = max(measure.backward_times, *(p + 1 for p in measure.passes), 0)
            if measure.backward_times and turn < last_turn:
                i, turn = start, turn + 1
                continue
            follows = measures[i + 1].passes if i + 1 < len(measures) else frozenset()
            if measure.backward_times or (measure.passes and not follows):
                start, turn = i + 1, 1
        i += 1


def _length_over_parts(parts: list[list[_Measure]], i: int) -> Fraction:
    """Of measure i, in quarters: as far as any part reaches, so that a pick-up stays short."""
    measures = [part[i] for part in parts if i < len(part)]
    return max(m.length for m in measures) or measures[0].bar_length


def _tempos_by_measure(
    parts: list[list[_Measure]], count: int
) -> list[list[tuple[Fraction, float]]]:
    """(position in the measure, bpm) of each one, the tempo it starts with always first.

    So that a repeat goes back to the tempo of the place it goes back to.
    """
    current: list[tuple[Fraction, float]] = []
    by_measure = []
    for i in range(count):
        # Of two parts the first is right, within a part the last mark.
        said: dict[Fraction, float] = {}
        for part in parts:
            for position, bpm in dict(part[i].tempos if i < len(part) else ()).items():
                said.setdefault(position, bpm)
        changes = sorted(said.items())
        by_measure.append([(Fraction(0), bpm) for bpm in current] + changes)
        current = [changes[-1][1]] if changes else current
    return by_measure


def _check_single_voice(measures: list[_Measure], staff: str, source: str) -> None:
    for measure in measures:
        if measure.unpitched:
            raise InputError(
                f"{source}: measure {measure.number}: the sung part has a note without pitch; "
                "give it one, or make it a rest"
            )
        notes = sorted((n for n in measure.notes if n.staff == staff), key=lambda n: n.start)
        for count, note in enumerate(notes, 1):
            where = f"{source}: measure {measure.number}, note {count}"
            if note.chord:
                raise InputError(
                    f"{where} belongs to a chord; a singer sings one note at a time, so leave "
                    "one note of it in the sung part"
                )
            earlier = notes[count - 2] if count > 1 else None
            if earlier and note.start < earlier.end:
                raise InputError(
                    f"{where} (voice {note.voice}) sounds together with note {count - 1} (voice "
                    f"{earlier.voice}); a singer sings one note at a time, so move the second "
                    "voice to a part of its own"
                )
