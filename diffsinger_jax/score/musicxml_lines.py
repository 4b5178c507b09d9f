"""Which lines of a MusicXML score are sung: parts, voices on one staff, notes of chords."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from fractions import Fraction

from diffsinger_jax.score.musicxml_part import Measure, MeasureNote, Syllable

_SINGERS = re.compile(
    r"sing|gesang|stimme|voice|vocal|voix|voce|canto|chant|choir|chorus|chor|coro|sopran|mezzo|"
    r"alt\b|alto|tenor|ténor|bass\b|basso\b|bariton|women|men\b|frauen|männer|descant|treble|"
    r"cantus|solo|^[satb]{1,4}\d?\.?$",
    re.IGNORECASE,
)
_SAME_RHYTHM = 0.6
"""A line without lyrics of its own takes another's if it starts so many of its notes with it."""


@dataclasses.dataclass
class Line:
    """One note at a time; the notes of a chord stay together until `one_note` is taken.

    Attributes:
      name: of its part.
      part: index of it.
      staff: of it.
      measures: the notes of each measure, by their starts, chords from the top.
    """

    name: str
    part: int
    staff: str
    measures: list[list[MeasureNote]]
    borrowed: bool = False

    @property
    def notes(self) -> list[MeasureNote]:
        """Of all measures."""
        return [note for measure in self.measures for note in measure]

    @property
    def has_lyrics(self) -> bool:
        """True if any note has a syllable."""
        return any(note.lyrics for note in self.notes)

    @property
    def onsets(self) -> set[tuple[int, Fraction]]:
        """(measure, start) of its notes, without those that are tied to one before."""
        return {
            (i, note.start)
            for i, measure in enumerate(self.measures)
            for note in measure
            if not note.tied
        }

    @property
    def chord_size(self) -> int:
        """Of the largest chord that a fifth of its notes or more belong to."""
        sizes = [size for m in self.measures for size in _chord_sizes(m)]
        frequent = [s for s in set(sizes) if sum(x >= s for x in sizes) >= 0.2 * len(sizes)]
        return max(frequent, default=1)


def sung_lines(parts: Sequence[Sequence[Measure]], names: Sequence[str]) -> list[Line]:
    """The lines that have lyrics, and those that sing the same words in the same rhythm.

    Two voices that sound together on a staff are two lines. A voice without lyrics takes those
    that stand at the same time on its staff, in its part, or in the first line that has some.
    """
    lines = [
        line
        for i, (measures, name) in enumerate(zip(parts, names, strict=True))
        for line in _lines_of_part(measures, name, i)
    ]
    lyrical = [line for line in lines if line.has_lyrics]
    if not lyrical:
        return []
    sung: list[Line] = []
    for line in lines:
        if line in lyrical:
            sung.append(line)
            continue
        near = [other for other in lyrical if other.part == line.part]
        same_staff = [other for other in near if other.staff == line.staff]
        source = (same_staff or near or lyrical)[0]
        onsets = line.onsets
        together = len(onsets & source.onsets) / max(1, len(onsets))
        sings = bool(same_staff or _SINGERS.search(line.name)) and line.chord_size <= 2
        if sings and together >= _SAME_RHYTHM:
            sung.append(_with_lyrics_of(line, source))
    return sung


def all_lines(parts: Sequence[Sequence[Measure]], names: Sequence[str]) -> list[Line]:
    """Every line, of instruments too."""
    return [
        line
        for i, (measures, name) in enumerate(zip(parts, names, strict=True))
        for line in _lines_of_part(measures, name, i)
    ]


def divided(line: Line) -> list[Line]:
    """A line of chords as one line for each of their notes; where there are fewer, they join."""
    return [
        dataclasses.replace(line, measures=one_note(line, count + 1))
        for count in range(line.chord_size)
    ]


def one_note(line: Line, voice_line: int) -> list[list[MeasureNote]]:
    """Of each chord one note, counted from the top; the lowest where there are fewer."""
    result = []
    for measure in line.measures:
        chords: dict[Fraction, list[MeasureNote]] = {}
        for note in measure:
            chords.setdefault(note.start, []).append(note)
        chosen = []
        for chord in chords.values():
            lyrics = next((note.lyrics for note in chord if note.lyrics), {})
            note = chord[min(voice_line, len(chord)) - 1]
            chosen.append(dataclasses.replace(note, lyrics=lyrics))
        result.append(chosen)
    return result


def chords(line: Line, measures: Sequence[Measure]) -> list[str]:
    """The numbers of the measures in which the line has chords."""
    return [
        measure.number
        for measure, notes in zip(measures, line.measures, strict=False)
        if any(size > 1 for size in _chord_sizes(notes))
    ]


def _chord_sizes(notes: Sequence[MeasureNote]) -> list[int]:
    starts = [note.start for note in notes]
    return [starts.count(start) for start in dict.fromkeys(starts)]


def _lines_of_part(measures: Sequence[Measure], name: str, index: int) -> list[Line]:
    staves = list(dict.fromkeys(note.staff for m in measures for note in m.notes))
    lines = []
    for staff in sorted(staves):
        on_staff = [[n for n in m.notes if n.staff == staff] for m in measures]
        voices = sorted({note.voice for notes in on_staff for note in notes}, key=_voice_key)
        if not any(_sound_together(notes) for notes in on_staff):
            groups = [on_staff]
        else:
            groups = [[[n for n in m if n.voice == voice] for m in on_staff] for voice in voices]
        for notes in groups:
            ordered = [sorted(m, key=lambda n: (n.start, -n.midi)) for m in notes]
            lines.append(Line(name, index, staff, ordered))
    return lines


def _voice_key(voice: str) -> tuple[int, str]:
    return (int(voice) if voice.isdecimal() else 10**6, voice)


def _sound_together(notes: Sequence[MeasureNote]) -> bool:
    """True if two voices overlap; the notes of one chord have one voice."""
    ordered = sorted(notes, key=lambda n: n.start)
    return any(
        later.start < earlier.end and later.voice != earlier.voice
        for i, earlier in enumerate(ordered)
        for later in ordered[i + 1 : i + 8]
    )


def _with_lyrics_of(line: Line, source: Line) -> Line:
    measures = []
    for own, others in zip(line.measures, source.measures, strict=False):
        lyrics: dict[Fraction, dict[int, Syllable]] = {
            n.start: n.lyrics for n in others if n.lyrics
        }
        measures.append(
            [
                note if note.tied else dataclasses.replace(note, lyrics=lyrics.get(note.start, {}))
                for note in own
            ]
        )
    return dataclasses.replace(line, measures=measures, borrowed=True)
