"""MIDI files with lyrics (.mid) to a `Score`."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import mido

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.timeline import TempoMap, WrittenNote, notes_in_seconds
from diffsinger_jax.types import Piece, Score

_ENCODINGS = ("utf-8", "cp932")

_Track = list[tuple[int, mido.Message]]  # with absolute ticks


@dataclasses.dataclass
class _PlayedNote:
    """A note, in ticks."""

    start: int
    end: int
    midi: int
    lyric: str | None = None
    where: str = ""


def read_midi(path: str | Path, *, encoding: str | None = None) -> Score:
    """Reads the notes that stand at lyric events as one `Piece`.

    Lyrics are `lyrics` meta events, or `text` events in files without (karaoke); each stands at
    the start of its note, in the track of the notes or in one of its own. Of all tracks and
    channels the one with most lyrics at its notes is sung. Lyrics "-", "+" or a lone "ー" are
    slurs, as are notes without one.

    Args:
      path: of the file.
      encoding: of the lyrics, as "gbk"; None tries UTF-8, then Shift-JIS.

    Raises:
      InputError: if it is not MIDI, has no lyrics, lyrics without a note, or overlapping notes.
    """
    source = str(path)
    try:
        # latin1 keeps the bytes: a file does not say how its lyrics are encoded.
        midi = mido.MidiFile(path, charset="latin1")
    except (EOFError, ValueError, KeyError, IndexError, OSError, mido.KeySignatureError) as error:
        raise InputError(
            f"{source}: not a readable MIDI file ({error}); export it again"
        ) from error
    if not 0 < midi.ticks_per_beat < 0x8000:
        raise InputError(
            f"{source}: its time is counted in film frames (SMPTE); export it with ticks per "
            "quarter note"
        )
    tracks = [_with_ticks(track) for track in midi.tracks]
    notes = _sung_notes(tracks, encoding, midi.ticks_per_beat, source)
    _check_overlaps(notes, source)

    def quarters(tick: int) -> Fraction:
        return Fraction(tick, midi.ticks_per_beat)

    sung = [
        WrittenNote(quarters(n.start), quarters(n.end), n.midi, n.lyric, False, n.where)
        for n in notes
    ]
    tempo = TempoMap(
        (quarters(tick), mido.tempo2bpm(message.tempo))
        for track in tracks
        for tick, message in track
        if message.type == "set_tempo" and message.tempo > 0
    )
    end = max(tick for track in tracks for tick, _ in track)
    piece = Piece(0.0, notes_in_seconds(sung, quarters(end), tempo, source))
    return Score(Path(path).stem, "", (piece,), source)


def _with_ticks(track: mido.MidiTrack) -> _Track:
    tick, messages = 0, []
    for message in track:
        tick += message.time
        messages.append((tick, message))
    return messages


def _sung_notes(
    tracks: list[_Track], encoding: str | None, ticks_per_quarter: int, source: str
) -> list[_PlayedNote]:
    """The notes of the channel that the lyrics stand at, with them."""
    lyrics = _lyrics(tracks, encoding, source)
    bar_lengths = _bar_lengths(tracks, ticks_per_quarter)
    tolerance = max(1, ticks_per_quarter // 32)
    best: list[_PlayedNote] = []
    found: list[_PlayedNote | None] = [None] * len(lyrics)
    for track in tracks:
        for notes in _notes_by_channel(track, source, bar_lengths):
            starts = {note.start: note for note in reversed(notes)}
            match = [
                next((starts[t] for t in _around(tick, tolerance) if t in starts), None)
                for tick, _ in lyrics
            ]
            if sum(m is not None for m in match) > sum(m is not None for m in found):
                best, found = notes, match
    if not best:
        raise InputError(
            f"{source}: it has no lyrics at its notes; write a lyric event (or text event) at the "
            "start of each note to be sung"
        )
    for (tick, text), note in zip(lyrics, found, strict=True):
        if note is None:
            raise InputError(
                f"{source}: bar {_bar(tick, bar_lengths)}: no note starts at the lyric {text!r} "
                f"(tick {tick}); move it to the start of its note"
            )
        note.lyric = (note.lyric or "") + text
    return best


def _around(tick: int, tolerance: int) -> list[int]:
    """Ticks within the tolerance, the nearest first."""
    return sorted(range(tick - tolerance, tick + tolerance + 1), key=lambda t: abs(t - tick))


def _lyrics(tracks: list[_Track], encoding: str | None, source: str) -> list[tuple[int, str]]:
    """(tick, text) of the lyric events, or of the text events where there are none."""
    for kind in ("lyrics", "text"):
        lyrics = []
        for track in tracks:
            for tick, message in track:
                if message.type == kind:
                    text = _decoded(message.text.encode("latin1"), encoding, source)
                    # Karaoke: @ and {} hold titles, / and \ start a line or page.
                    text = "" if text[:1] in ("@", "{", "%") else text.strip("/\\ \r\n\t\0")
                    if text:
                        lyrics.append((tick, text))
        if lyrics:
            return sorted(lyrics, key=lambda lyric: lyric[0])
    return []


def _decoded(data: bytes, encoding: str | None, source: str) -> str:
    for name in (encoding,) if encoding else _ENCODINGS:
        try:
            return data.decode(name)
        except UnicodeDecodeError:
            continue
        except LookupError as error:
            raise InputError(
                f"{source}: there is no encoding {name!r}; utf-8, cp932 and gbk are usual"
            ) from error
    raise InputError(
        f"{source}: its lyrics ({data!r}) are not {encoding or ' or '.join(_ENCODINGS)}; say how "
        "they are encoded, or export them as UTF-8"
    )


def _notes_by_channel(
    track: _Track, source: str, bar_lengths: list[tuple[int, int]]
) -> list[list[_PlayedNote]]:
    """The notes of each channel of a track, by their starts."""
    channels: dict[int, list[_PlayedNote]] = {}
    sounding: dict[tuple[int, int], _PlayedNote] = {}
    for tick, message in track:
        if message.type not in ("note_on", "note_off"):
            continue
        key = (message.channel, message.note)
        if message.type == "note_on" and message.velocity > 0:
            note = sounding[key] = _PlayedNote(tick, -1, message.note)
            channels.setdefault(message.channel, []).append(note)
        elif key in sounding:
            sounding.pop(key).end = tick
    for notes in channels.values():
        last_bar, count = 0, 0
        for note in notes:
            bar = _bar(note.start, bar_lengths)
            last_bar, count = bar, count + 1 if bar == last_bar else 1
            note.where = f"bar {bar}, note {count}"
            if note.end <= note.start:
                raise InputError(
                    f"{source}: {note.where} ({_name(note)}, tick {note.start}) is struck again "
                    "before it ends, or never ends; give it an end after its start"
                )
    return list(channels.values())


def _check_overlaps(notes: list[_PlayedNote], source: str) -> None:
    for earlier, later in zip(notes, notes[1:], strict=False):
        if later.start < earlier.end:
            raise InputError(
                f"{source}: {later.where} ({_name(later)}, tick {later.start}) starts before "
                f"{earlier.where} ({_name(earlier)}, until tick {earlier.end}) has ended; a "
                "singer sings one note at a time, so shorten the first"
            )


def _name(note: _PlayedNote) -> str:
    names = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
    return f"{names[note.midi % 12]}{note.midi // 12 - 1}"


def _bar_lengths(tracks: list[_Track], ticks_per_quarter: int) -> list[tuple[int, int]]:
    """(tick, ticks per bar from there on), by the time signatures; 4/4 before the first."""
    signatures = {
        tick: max(1, 4 * ticks_per_quarter * message.numerator // message.denominator)
        for track in tracks
        for tick, message in track
        if message.type == "time_signature"
    }
    return sorted(({0: 4 * ticks_per_quarter} | signatures).items())


def _bar(tick: int, bar_lengths: list[tuple[int, int]]) -> int:
    """The number of the bar that a tick lies in, from 1; a new signature starts a new bar."""
    bar, start, length = 1, *bar_lengths[0]
    for change, next_length in bar_lengths[1:]:
        if change > tick:
            break
        bar += -(-(change - start) // length)  # a bar cut short counts
        start, length = change, next_length
    return bar + (tick - start) // length
