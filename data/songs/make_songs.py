"""Writes the songs that ship: `python data/songs/make_songs.py`.

The melodies stand in melodies/*.txt, a token per note:

    さ:A4:1         a syllable, its pitch, its quarters (0.5, 1/3)
    さ/い:A4:1      the syllables of two verses
    -:G4:0.5        a slur: a further note of the syllable before it
    ~:G4:2          a tie: the note before it lasts on
    R:1             a rest
    tempo=90        quarters in a minute from here on
    |               a bar line

and above them, lines as `title: さくらさくら` (title, composer, lyricist, key, time, tempo,
transpose). `transpose`, in semitones, moves a song to where the voice that ships, a man's, is at
home; `key` is the written one after that, in fifths.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from fractions import Fraction
from pathlib import Path
from xml.sax.saxutils import escape

import mido

from diffsinger_jax.score.dictionary import Dictionary, phonemize
from diffsinger_jax.score.ds import write_ds
from diffsinger_jax.score.pitch_names import midi_of_name
from diffsinger_jax.score.reader import read_score
from diffsinger_jax.score.transform import split_at_rests
from diffsinger_jax.types import Vocabulary

FOLDER = Path(__file__).resolve().parent
DIVISIONS = 24  # of a quarter: exact for triplets and sixteenths
PJS_PHONEMES = (
    "SP a i u e o N cl k s sh t ts ch n h f m y r w g z j d b p ky gy ny hy my ry by py".split()
)

_FLAT_SPELLINGS = ("C", "D-", "D", "E-", "E", "F", "G-", "G", "A-", "A", "B-", "B")
_TYPES = {4: "whole", 2: "half", 1: "quarter", Fraction(1, 2): "eighth", Fraction(1, 4): "16th"}


@dataclasses.dataclass(frozen=True)
class Token:
    """A note or rest as written: syllables by verse, `-` slur, `~` tie, nothing for a rest."""

    syllables: tuple[str, ...]
    midi: int | None
    quarters: Fraction
    tempo: float | None  # a change that starts here


@dataclasses.dataclass(frozen=True)
class Song:
    """A melody in measures, with what is said above it."""

    head: dict[str, str]
    measures: tuple[tuple[Token, ...], ...]


def parse_song(text: str) -> Song:
    """Reads the compact notation."""
    head: dict[str, str] = {}
    measures: list[list[Token]] = [[]]
    tempo = None
    for line in text.splitlines():
        key, colon, value = line.partition(": ")
        if colon:
            head[key] = value.strip()
            continue
        for token in line.split():
            if token == "|":
                measures.append([])
            elif token.startswith("tempo="):
                tempo = float(token.removeprefix("tempo="))
            else:
                *start, quarters = token.split(":")
                midi = None
                if len(start) == 2 and (pitch := midi_of_name(start[1])) is not None:
                    midi = round(pitch) + int(head.get("transpose", "0"))
                syllables = tuple(start[0].split("/")) if midi is not None else ()
                measures[-1].append(Token(syllables, midi, Fraction(quarters), tempo))
                tempo = None
    return Song(head, tuple(tuple(measure) for measure in measures if measure))


def musicxml_of(song: Song) -> str:
    """The song as a MusicXML document."""
    head = song.head
    beats, beat_type = head["time"].split("/")
    flat = [token for measure in song.measures for token in measure]
    marks = [token.syllables[0] if token.syllables else "" for token in flat] + [""]
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" '
        '"http://www.musicxml.org/dtds/partwise.dtd">',
        '<score-partwise version="4.0">',
        f"<work><work-title>{escape(head['title'])}</work-title></work>",
        "<identification>",
        f'<creator type="composer">{escape(head["composer"])}</creator>',
        f'<creator type="lyricist">{escape(head["lyricist"])}</creator>',
        "<rights>Public domain</rights>",
        "</identification>",
        '<defaults><lyric-language xml:lang="ja"/></defaults>',
        '<part-list><score-part id="P1"><part-name>Voice</part-name></score-part></part-list>',
        '<part id="P1">',
    ]
    i = 0
    for number, measure in enumerate(song.measures, 1):
        lines.append(f'<measure number="{number}">')
        if number == 1:
            lines += [
                f"<attributes><divisions>{DIVISIONS}</divisions>",
                f"<key><fifths>{head['key']}</fifths></key>",
                f"<time><beats>{beats}</beats><beat-type>{beat_type}</beat-type></time>",
                "<clef><sign>G</sign><line>2</line>",
                "<clef-octave-change>-1</clef-octave-change></clef></attributes>",
                _tempo_xml(float(head["tempo"])),
            ]
        for token in measure:
            if token.tempo is not None:
                lines.append(_tempo_xml(token.tempo))
            lines.append(_note_xml(token, following=marks[i + 1]))
            i += 1
        lines.append("</measure>")
    lines += ["</part>", "</score-partwise>"]
    return "\n".join(lines) + "\n"


def _tempo_xml(bpm: float) -> str:
    return (
        '<direction placement="above"><direction-type><metronome>'
        f"<beat-unit>quarter</beat-unit><per-minute>{bpm:g}</per-minute></metronome>"
        f'</direction-type><sound tempo="{bpm:g}"/></direction>'
    )


def _note_xml(token: Token, following: str) -> str:
    """One <note>, its children in the order of the schema."""
    mark = token.syllables[0] if token.syllables else ""
    xml = ["<note>"]
    if token.midi is None:
        xml.append("<rest/>")
    else:
        spelling = _FLAT_SPELLINGS[token.midi % 12]
        alter = "<alter>-1</alter>" if spelling.endswith("-") else ""
        octave = token.midi // 12 - 1
        xml.append(f"<pitch><step>{spelling[0]}</step>{alter}<octave>{octave}</octave></pitch>")
    xml.append(f"<duration>{int(token.quarters * DIVISIONS)}</duration>")
    ties = ["stop"] * (mark == "~") + ["start"] * (following == "~")
    xml += [f'<tie type="{kind}"/>' for kind in ties]
    xml.append("<voice>1</voice>")
    triplet = token.quarters.denominator % 3 == 0
    written = token.quarters * Fraction(3, 2) if triplet else token.quarters
    for dots, factor in ((0, 1), (1, Fraction(3, 2))):
        if written / factor in _TYPES:
            xml.append(f"<type>{_TYPES[written / factor]}</type>" + "<dot/>" * dots)
    if triplet:
        xml.append(
            "<time-modification><actual-notes>3</actual-notes>"
            "<normal-notes>2</normal-notes></time-modification>"
        )
    notations = [f'<tied type="{kind}"/>' for kind in ties]
    if mark == "-" and following != "-":
        notations.append('<slur type="stop"/>')
    if mark not in ("", "-", "~") and following == "-":
        notations.append('<slur type="start"/>')
    if notations:
        xml.append(f"<notations>{''.join(notations)}</notations>")
    if mark not in ("", "-", "~"):
        for verse, syllable in enumerate(token.syllables, 1):
            xml.append(
                f'<lyric number="{verse}"><syllabic>single</syllabic>'
                f"<text>{escape(syllable)}</text></lyric>"
            )
    return "".join(xml) + "</note>"


def midi_of(song: Song) -> mido.MidiFile:
    """The first verse as MIDI with lyric events in UTF-8, "-" for slurs."""
    file = mido.MidiFile(ticks_per_beat=480, charset="utf-8")
    track = mido.MidiTrack()
    file.tracks.append(track)
    beats, beat_type = map(int, song.head["time"].split("/"))
    track.append(mido.MetaMessage("track_name", name=song.head["title"]))
    track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(float(song.head["tempo"]))))
    track.append(mido.MetaMessage("time_signature", numerator=beats, denominator=beat_type))
    silent_ticks = 0
    for token in (token for measure in song.measures for token in measure):
        ticks = int(token.quarters * 480)
        if token.midi is None:
            silent_ticks += ticks
            continue
        track.append(mido.MetaMessage("lyrics", text=token.syllables[0], time=silent_ticks))
        track.append(mido.Message("note_on", note=token.midi, velocity=80))
        track.append(mido.Message("note_off", note=token.midi, time=ticks))
        silent_ticks = 0
    track.append(mido.MetaMessage("end_of_track", time=silent_ticks))
    return file


def main() -> None:
    """Reads the flags, of which there is only `--help`, and writes the songs."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    write_songs()


def write_songs() -> None:
    """Writes NAME.musicxml for each melody, and sakura also as MIDI and `.ds`."""
    for melody in sorted((FOLDER / "melodies").glob("*.txt")):
        song = parse_song(melody.read_text(encoding="utf-8"))
        (FOLDER / f"{melody.stem}.musicxml").write_text(musicxml_of(song), encoding="utf-8")
        if melody.stem == "sakura":
            midi_of(song).save(FOLDER / "sakura.mid")
    # From inside the folder: the score remembers where it was read from.
    os.chdir(FOLDER)
    score = split_at_rests(read_score("sakura.musicxml"))
    vocabulary = Vocabulary(tuple(PJS_PHONEMES))
    write_ds("sakura.ds", phonemize(score, Dictionary.of("ja"), vocabulary))


if __name__ == "__main__":
    main()
