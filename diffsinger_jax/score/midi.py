"""MIDI files with lyrics (.mid, .kar) to a `Song`."""

from __future__ import annotations

import bisect
import dataclasses
from fractions import Fraction
from pathlib import Path

import mido

from diffsinger_jax.errors import InputError, first_line
from diffsinger_jax.score.lyrics import clean_lyric
from diffsinger_jax.score.options import ReadOptions
from diffsinger_jax.score.song import Part, Song, unique_names
from diffsinger_jax.score.timeline import LONGEST_OVERLAP, TempoMap, WrittenNote, checked_tempo

_ENCODINGS = ("utf-8", "cp932")
_WHAT_MIDO_RAISES = (
    EOFError, ValueError, LookupError, OSError, AttributeError, TypeError, ArithmeticError,
    mido.KeySignatureError,
)  # fmt: skip
_LARGEST_BYTES = 2 * 2**20  # mido reads about as much in five seconds

_Track = list[tuple[int, mido.Message]]  # with absolute ticks


@dataclasses.dataclass
class _PlayedNote:
    """A note, in ticks."""

    start: int
    end: int
    midi: int
    lyric: str | None = None
    where: str = ""
    hyphen: bool = False
    homeless: list[_Lyric] = dataclasses.field(default_factory=list)  # kept by the first note


def read_midi(path: str | Path, options: ReadOptions) -> Song:
    """Reads the notes that stand at lyric events, one part for each channel that has them.

    Lyrics are `lyrics` meta events, or `text` events in files without (karaoke); each stands at
    the start of its note, in the track of the notes or in one of its own. A track whose own
    notes have lyrics is a part; lyrics of a track without notes belong to the channel with most
    notes at them. Lyrics "-", "+" or a lone "ー" are slurs, as are notes without one. The other
    channels are instruments.

    Args:
      path: of the file.
      options: its encoding is that of the lyrics; None tries UTF-8, then Shift-JIS.

    Raises:
      InputError: if it is not MIDI, or a lyric stands at no note.
    """
    source = str(path)
    midi = _parsed(Path(path))
    tracks = [_with_ticks(track) for track in midi.tracks]

    def quarters(tick: int) -> Fraction:
        return Fraction(tick, midi.ticks_per_beat)

    parts = []
    for name, notes, sung in _lines(tracks, options.encoding, midi.ticks_per_beat, source):
        if sung or options.part is not None or options.lyric is not None:
            line = tuple(
                WrittenNote(
                    quarters(n.start), quarters(n.end), n.midi, n.lyric, False, n.where, n.hyphen
                )
                for n in notes
            )
            if sung:
                _check_overlaps(notes, source)
            parts.append(Part(name, line, sung))
    if not parts:
        raise InputError(
            f"{source}: it has no lyrics at its notes; write a lyric event (or text event) at the "
            "start of each note to be sung, or sing it on one syllable with --lyric a"
        )
    try:
        tempo = [
            (quarters(tick), checked_tempo(mido.tempo2bpm(message.tempo)))
            for track in tracks
            for tick, message in track
            if message.type == "set_tempo"
        ]
    except (ValueError, ZeroDivisionError) as error:
        said = error if isinstance(error, ValueError) else "a tempo without time for a quarter"
        raise InputError(f"{source}: it has {said}; set it anew") from error
    end = max((tick for track in tracks for tick, _ in track), default=0)
    names = unique_names([part.name for part in parts])
    parts = [dataclasses.replace(p, name=n) for p, n in zip(parts, names, strict=True)]
    return Song(Path(path).stem, "", source, tuple(parts), TempoMap(tempo), quarters(end))


def played_notes(path: Path) -> list[tuple[float, float, float]]:
    """(start, end in seconds, pitch) of every note of a file, by their starts.

    Raises:
      InputError: if it is not MIDI.
    """
    notes: list[tuple[float, float, float]] = []
    sounding: dict[int, float] = {}
    now = 0.0
    for message in _parsed(path):
        now += message.time
        if message.type not in ("note_on", "note_off"):
            continue
        start = sounding.pop(message.note, now)
        if now > start:
            notes.append((start, now, float(message.note)))
        if message.type == "note_on" and message.velocity > 0:
            sounding[message.note] = now
    return sorted(notes)


def _parsed(path: Path) -> mido.MidiFile:
    if path.stat().st_size > _LARGEST_BYTES:
        raise InputError(f"{path}: a MIDI file of more than 2 MiB; is it one song?")
    try:
        # latin1 keeps the bytes: a file does not say how its lyrics are encoded.
        midi = mido.MidiFile(path, charset="latin1")
    except _WHAT_MIDO_RAISES as error:
        raise InputError(
            f"{path}: not a readable MIDI file ({first_line(error)}); export it again"
        ) from error
    if not 0 < midi.ticks_per_beat < 0x8000:
        raise InputError(
            f"{path}: its time is counted in film frames (SMPTE); export it with ticks per "
            "quarter note"
        )
    return midi


def _with_ticks(track: mido.MidiTrack) -> _Track:
    tick, messages = 0, []
    for message in track:
        tick += message.time
        messages.append((tick, message))
    return messages


@dataclasses.dataclass(frozen=True)
class _Lyric:
    """A lyric event: when, what is sung, whether its word goes on, what was written."""

    tick: int
    text: str | None
    hyphen: bool
    written: str


def _lines(
    tracks: list[_Track], encoding: str | None, ticks_per_quarter: int, source: str
) -> list[tuple[str, list[_PlayedNote], bool]]:
    """(name, notes, True if they are sung) of each channel, with the lyrics at their notes."""
    bar_lengths = _bar_lengths(tracks, ticks_per_quarter)
    kind = "lyrics" if any(m.type == "lyrics" for t in tracks for _, m in t) else "text"
    lines, loose = [], []
    for track in tracks:
        name = next((m.name for _, m in track if m.type == "track_name"), "")
        name = _decoded(name.encode("latin1"), encoding, source) if name.isascii() else ""
        lyrics = _lyrics(track, kind, encoding, source)
        channels = _notes_by_channel(track, source, bar_lengths)
        taken = _set_lyrics(lyrics, channels, ticks_per_quarter) if lyrics else None
        lines += [(name, notes, notes is taken) for notes in channels]
        loose += [] if taken else lyrics
    if loose:
        # Lyrics in a track without notes: of the channel with most notes at them.
        free = [notes for _, notes, sung in lines if not sung]
        taken = _set_lyrics(sorted(loose, key=lambda x: x.tick), free, ticks_per_quarter)
        lines = [(name, notes, sung or notes is taken) for name, notes, sung in lines]
    for _, notes, sung in lines:
        if sung:
            _check_lyrics(notes, source, bar_lengths)
    return lines


def _set_lyrics(
    lyrics: list[_Lyric], channels: list[list[_PlayedNote]], ticks_per_quarter: int
) -> list[_PlayedNote] | None:
    """Gives lyrics to the notes of the channel with most notes at them; None if there is none."""
    tolerance = max(1, ticks_per_quarter // 8)
    best: list[_PlayedNote] | None = None
    found: list[_PlayedNote | None] = []
    for notes in channels:
        starts = sorted({note.start: note for note in reversed(notes)}.items())
        ticks = [tick for tick, _ in starts]
        match = [_nearest(lyric.tick, ticks, starts, tolerance) for lyric in lyrics]
        if sum(m is not None for m in match) > sum(m is not None for m in found):
            best, found = notes, match
    if best is None:
        return None
    for lyric, note in zip(lyrics, found, strict=True):
        if note is None:
            best[0].homeless.append(lyric)
        elif lyric.text is not None:
            note.lyric = (note.lyric or "") + lyric.text
            note.hyphen = lyric.hyphen
    return best


def _nearest(tick: int, ticks: list[int], starts: list, tolerance: int) -> _PlayedNote | None:
    i = bisect.bisect_left(ticks, tick)
    near = [j for j in (i - 1, i) if 0 <= j < len(ticks) and abs(ticks[j] - tick) <= tolerance]
    return starts[min(near, key=lambda j: abs(ticks[j] - tick))][1] if near else None


def _check_lyrics(
    notes: list[_PlayedNote], source: str, bar_lengths: list[tuple[int, int]]
) -> None:
    for lyric in notes[0].homeless:
        if lyric.text is not None:
            raise InputError(
                f"{source}: bar {_bar(lyric.tick, bar_lengths)}: no note starts at the lyric "
                f"{lyric.written!r} (tick {lyric.tick}); move it to the start of its note"
            )


def _lyrics(track: _Track, kind: str, encoding: str | None, source: str) -> list[_Lyric]:
    """The lyric events of a track, or its text events in files without."""
    raw = [
        (tick, _decoded(message.text.encode("latin1"), encoding, source))
        for tick, message in track
        if message.type == kind
    ]
    # Karaoke: @ and {} hold titles, / and \\ start a line or page.
    raw = [(tick, text) for tick, text in raw if text[:1] not in ("@", "{", "%")]
    # Where some syllables begin or end with a space, those without go on with the word.
    spaced = sum(t[:1] in (" ", "/", "\\") or t[-1:] == " " for _, t in raw) > 1
    lyrics = []
    for i, (tick, text) in enumerate(raw):
        clean, hyphen = clean_lyric(text.strip("/\\ \r\n\t\0"))
        following = raw[i + 1][1] if i + 1 < len(raw) else " "
        goes_on = text[-1:] not in (" ", "\r", "\n") and following[:1] not in (" ", "/", "\\")
        lyrics.append(_Lyric(tick, clean, hyphen or (spaced and goes_on), text))
    return lyrics


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
        if later.start < earlier.end - LONGEST_OVERLAP * (earlier.end - earlier.start):
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
