"""One part of a MusicXML score: its measures, with times in quarters from their bar lines."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from fractions import Fraction

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.lyrics import clean_lyric
from diffsinger_jax.score.musicxml_order import Signs
from diffsinger_jax.score.musicxml_tempo import TempoMarks

_SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_LATIN = re.compile(r"[A-Za-zÀ-ɏ]")


@dataclasses.dataclass(frozen=True)
class Syllable:
    """A written syllable; its word goes on after a hyphen."""

    text: str
    hyphen: bool = False


@dataclasses.dataclass
class MeasureNote:
    """A pitched note of one measure, times in quarters from its bar line."""

    start: Fraction
    end: Fraction
    midi: float
    lyrics: dict[int, Syllable]  # by verse
    tied: bool
    voice: str
    staff: str
    breath: bool = False


@dataclasses.dataclass
class Measure:
    """One measure of one part.

    Attributes:
      number: as printed.
      notes: of all staves and voices; those of a chord start together.
      length: as far as its notes and rests reach, in quarters.
      bar_length: by the time signature.
      signs: repeats and jumps.
      tempo: marks of tempo.
      graces: how many grace notes were left out.
      unpitched: staves with notes that have no pitch.
    """

    number: str
    notes: list[MeasureNote] = dataclasses.field(default_factory=list)
    length: Fraction = Fraction(0)
    bar_length: Fraction = Fraction(4)
    signs: Signs = dataclasses.field(default_factory=Signs)
    tempo: TempoMarks = dataclasses.field(default_factory=TempoMarks)
    graces: int = 0
    unpitched: set[str] = dataclasses.field(default_factory=set)


class PartReader:
    """Walks through a part; keeps what one measure says for the next ones."""

    def __init__(self, source: str):
        """Takes the file's name, for error messages."""
        self._source = source
        self._divisions, self._transpose = Fraction(1), 0
        self._bar_length = Fraction(4)
        self._passes: frozenset[int] = frozenset()

    def measures(self, part: ET.Element) -> Iterator[Measure]:
        """Yields the measures of a <part>.

        Raises:
          InputError: for divisions or durations that cannot be.
          ValueError, KeyError, ZeroDivisionError: for malformed numbers and names.
        """
        for element in part.findall("measure"):
            yield self._measure(element)

    def _measure(self, element: ET.Element) -> Measure:
        measure = Measure(element.get("number", "?"))
        position = chord_start = Fraction(0)
        ending_stops = False
        for child in element:
            if child.tag == "attributes":
                self._read_attributes(child, measure.number)
            elif child.tag in ("backup", "forward"):
                step = _number(child, "duration", Fraction(0)) / self._divisions
                position += step if child.tag == "forward" else -step
                position = max(position, Fraction(0))
            elif child.tag in ("direction", "sound"):
                measure.tempo.read_direction(child, position)
                measure.signs.read_direction(child)
            elif child.tag == "barline":
                self._passes, stops = measure.signs.read_barline(child, self._passes)
                ending_stops = ending_stops or stops
            elif child.tag == "note" and child.find("grace") is not None:
                measure.graces += 1
            elif child.tag == "note":
                is_chord = child.find("chord") is not None
                length = self._length(child, measure.number)
                start = chord_start if is_chord else position
                if not is_chord:
                    chord_start, position = position, position + length
                self._read_note(child, measure, start, length)
            measure.length = max(measure.length, position)
        measure.signs.passes, measure.bar_length = self._passes, self._bar_length
        if ending_stops:
            self._passes = frozenset()
        return measure

    def _read_attributes(self, element: ET.Element, number: str) -> None:
        self._divisions = _number(element, "divisions", self._divisions)
        if self._divisions <= 0:
            raise InputError(
                f"{self._source}: measure {number}: divisions must be above 0, not "
                f"{self._divisions}; export the score again"
            )
        if written := element.findtext("time/beats"):
            beats = sum(int(number) for number in re.findall(r"\d+", written))
            unit = int(element.findtext("time/beat-type", "4"))
            if beats < 1 or unit < 1:
                raise ValueError(f"a time signature of {beats}/{unit}")
            self._bar_length = Fraction(4 * beats, unit)
        if element.find("transpose") is not None:
            octaves = int(element.findtext("transpose/octave-change", "0"))
            chromatic = int(element.findtext("transpose/chromatic", "0"))
            self._transpose = chromatic + 12 * octaves

    def _length(self, element: ET.Element, number: str) -> Fraction:
        length = _number(element, "duration", Fraction(-1)) / self._divisions
        if length < 0:
            raise InputError(
                f"{self._source}: measure {number}: a note has no duration, or a negative one; "
                "export the score again"
            )
        return length

    def _read_note(
        self, element: ET.Element, measure: Measure, start: Fraction, length: Fraction
    ) -> None:
        staff = element.findtext("staff", "1")
        if element.find("notations/fermata") is not None and length > 0:
            measure.tempo.fermatas.add((start, start + length))
        if element.find("cue") is not None or length == 0:
            return
        if element.find("unpitched") is not None:
            measure.unpitched.add(staff)
        elif element.find("pitch") is not None:
            articulations = element.findall("notations/articulations/*")
            measure.notes.append(
                MeasureNote(
                    start=start,
                    end=start + length,
                    midi=_midi(element) + self._transpose,
                    lyrics=_lyrics(element),
                    tied=any(
                        tie.get("type") == "stop"
                        for tie in [*element.findall("tie"), *element.findall("notations/tied")]
                    ),
                    voice=element.findtext("voice", "1"),
                    staff=staff,
                    breath=any(mark.tag in ("breath-mark", "caesura") for mark in articulations),
                )
            )


def _number(element: ET.Element, tag: str, default: Fraction) -> Fraction:
    text = (element.findtext(tag) or "").strip()
    return Fraction(text) if re.fullmatch(r"-?\d{1,9}(\.\d{1,9})?", text) else default


def _midi(element: ET.Element) -> float:
    step = element.findtext("pitch/step", "C").strip().upper()
    alter = float(element.findtext("pitch/alter") or 0)
    octave = int(element.findtext("pitch/octave", "4"))
    return 12 * (octave + 1) + _SEMITONES[step] + alter


def _lyrics(element: ET.Element) -> dict[int, Syllable]:
    """The syllables of a note, by verse."""
    lyrics: dict[int, Syllable] = {}
    for lyric in element.findall("lyric"):
        # Several <text>s stand in one <lyric> where syllables are elided.
        texts = [t.text or "" for t in lyric.findall("text")]
        text, hyphen = clean_lyric((" " if _LATIN.search("".join(texts)) else "").join(texts))
        syllabics = [s.text for s in lyric.findall("syllabic")]
        digits = re.search(r"(\d+)\D*$", lyric.get("number", "1"))  # also "part1verse2"
        if text:
            goes_on = hyphen or (bool(syllabics) and syllabics[-1] in ("begin", "middle"))
            verse = int(digits.group(1)) if digits else 1
            lyrics.setdefault(verse, Syllable(text, goes_on))
    return lyrics
