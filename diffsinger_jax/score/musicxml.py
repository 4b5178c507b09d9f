"""MusicXML (.musicxml, .xml, .mxl) to a `Song`: the lines that are sung, repeats written out."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.musicxml_file import parse_musicxml
from diffsinger_jax.score.musicxml_lines import (
    Line,
    all_lines,
    chords,
    divided,
    one_note,
    sung_lines,
)
from diffsinger_jax.score.musicxml_order import order
from diffsinger_jax.score.musicxml_part import Measure, MeasureNote, PartReader
from diffsinger_jax.score.musicxml_tempo import Tempos
from diffsinger_jax.score.options import ReadOptions
from diffsinger_jax.score.song import Part, Song, unique_names
from diffsinger_jax.score.timeline import TempoMap, WrittenNote

_Measures = list[Measure]


def read_musicxml(path: str | Path, options: ReadOptions) -> Song:
    """Reads a partwise score.

    Repeats, endings and jumps (D.C., D.S., Fine, Coda) are written out; a later pass takes the
    next verse where one is given. A tie is one note; grace and cue notes are left out; tempo
    marks of all parts count, words of tempo where there is no number; transposing instruments
    sound. Voices that sound together are parts of their own, of chords the note
    `options.voice_line` is sung.

    Args:
      path: of the file.
      options: verse, voice_line, fermata, ritardando and, to find an instrument, part. A measure
        that gives only another verse's lyrics (a refrain written once) is sung on those.

    Raises:
      InputError: if it is not MusicXML, has no notes, or not this verse.
    """
    path = Path(path)
    source = str(path)
    root = parse_musicxml(path)
    if root.tag != "score-partwise":
        raise InputError(
            f"{source}: <{root.tag}> is not a partwise MusicXML score; export it as MusicXML "
            "(score-partwise) from the notation program"
        )
    parts = _read_parts(root, source)
    lines, lyrical = _choose_lines(parts, _part_names(root), options, source)
    verses = sorted({v for line in lyrical for n in line.notes for v in n.lyrics})
    if verses and options.verse not in verses:
        known = ", ".join(map(str, verses))
        raise InputError(
            f"{source}: there is no verse {options.verse}; the lyrics have verse {known}"
        )
    lead = parts[lines[0].part]
    sequence = list(order([measure.signs for measure in lead], source))
    count = max(map(len, parts))
    lengths = [_length_over_parts(parts, i) for i in range(count)]
    marks = [[part[i].tempo for part in parts if i < len(part)] for i in range(count)]
    tempos = Tempos(marks, [_number_of(parts, i) for i in range(count)], options)
    changes = tempos.on_timeline([i for i, _ in sequence], lengths)
    names = unique_names([line.name for line in lines])
    return Song(
        title=_title(root, path),
        language=_language(root),
        source=source,
        parts=tuple(
            _part(line, name, parts[line.part], sequence, lengths, options)
            for line, name in zip(lines, names, strict=True)
        ),
        tempo=TempoMap(changes),
        end=sum((lengths[i] for i, _ in sequence), Fraction(0)),
        remarks=tuple(tempos.remarks),
    )


def _read_parts(root: ET.Element, source: str) -> list[_Measures]:
    try:
        parts = [list(PartReader(source).measures(part)) for part in root.findall("part")]
    except InputError:
        raise
    except (ValueError, KeyError, ZeroDivisionError, OverflowError) as error:
        raise InputError(
            f"{source}: a number or note name in it is malformed ({error}); export it again"
        ) from error
    if not any(m.notes or m.unpitched for part in parts for m in part):
        raise InputError(f"{source}: there is no note in it to sing; check what exported it")
    return parts


def _choose_lines(
    parts: Sequence[_Measures], names: Sequence[str], options: ReadOptions, source: str
) -> tuple[list[Line], list[Line]]:
    """(the lines that can be sung, those of them with lyrics)."""
    lines = sung_lines(parts, names)
    if options.part is not None and options.part.strip().lower() == "all":
        lines = [
            one for line in lines for one in (divided(line) if line.chord_size > 1 else [line])
        ]
    lyrical = list(lines)
    if options.lyric is not None or options.part is not None or not lines:
        known = {(line.part, line.staff, tuple(n.voice for n in line.notes[:1])) for line in lines}
        lines = lines + [
            line
            for line in all_lines(parts, names)
            if (line.part, line.staff, tuple(n.voice for n in line.notes[:1])) not in known
        ]
    if not lines:
        raise InputError(
            f"{source}: none of its notes has a pitch, as drums have none; choose another score"
        )
    return lines, lyrical


def _part(
    line: Line,
    name: str,
    measures: Sequence[Measure],
    sequence: Sequence[tuple[int, int]],
    lengths: Sequence[Fraction],
    options: ReadOptions,
) -> Part:
    remarks = []
    chord_measures = chords(line, measures)
    if chord_measures:
        shown = ", ".join(chord_measures[:5]) + (" ..." if len(chord_measures) > 5 else "")
        which = "highest" if options.voice_line == 1 else f"{options.voice_line}. from the top"
        remarks.append(
            f"of the chords in measure {shown} the {which} note is sung; --voice_line "
            f"{2 if options.voice_line == 1 else 1} takes another"
        )
    if graces := sum(m.graces for m in measures):
        remarks.append(f"{graces} grace note{'s are' if graces > 1 else ' is'} left out")
    if any(line.staff in m.unpitched for m in measures):
        remarks.append("notes without a pitch are left out")
    single = one_note(line, options.voice_line)
    sung: list[WrittenNote] = []
    position = Fraction(0)
    for i, turn in sequence:
        if i < len(single):
            sung += _measure_notes(single[i], measures[i], position, turn, options.verse)
        position += lengths[i]
    return Part(name, tuple(sung), sung=line.has_lyrics, remarks=tuple(remarks))


def _measure_notes(
    notes: Sequence[MeasureNote], measure: Measure, position: Fraction, turn: int, verse: int
) -> list[WrittenNote]:
    given = sorted({v for n in notes for v in n.lyrics})
    sing = next((v for v in (verse + turn - 1, verse, *given) if v in given), verse)
    sung = []
    for count, note in enumerate(notes, 1):
        syllable = note.lyrics.get(sing)
        sung.append(
            WrittenNote(
                start=position + note.start,
                end=position + note.end,
                midi=note.midi,
                lyric=syllable.text if syllable else None,
                tied=note.tied,
                where=f"measure {measure.number}, note {count}",
                hyphen=bool(syllable and syllable.hyphen),
                breath=note.breath,
            )
        )
    return sung


def _title(root: ET.Element, path: Path) -> str:
    for tag in ("work/work-title", "movement-title"):
        if title := (root.findtext(tag) or "").strip():
            return title
    return path.stem


def _language(root: ET.Element) -> str:
    said = root.find("defaults/lyric-language")
    return "" if said is None else said.get("xml:lang", "")


def _part_names(root: ET.Element) -> list[str]:
    names = {
        part.get("id"): (part.findtext("part-name") or "").strip()
        for part in root.iter("score-part")
    }
    return [names.get(part.get("id"), "") for part in root.findall("part")]


def _number_of(parts: Sequence[_Measures], i: int) -> str:
    return next(part[i].number for part in parts if i < len(part))


def _length_over_parts(parts: Sequence[_Measures], i: int) -> Fraction:
    """Of measure i, in quarters: as far as any part reaches, so that a pick-up stays short."""
    measures = [part[i] for part in parts if i < len(part)]
    return max(m.length for m in measures) or measures[0].bar_length
