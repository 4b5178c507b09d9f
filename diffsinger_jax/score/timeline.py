"""From notes on a musical timeline, counted in quarters, to the notes of a `Score`, in seconds."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Iterable, Sequence
from fractions import Fraction

import numpy as np

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.lyrics import LONG_MARK, is_slur
from diffsinger_jax.types import BREATH, Note

DEFAULT_TEMPO = 120.0
"""Quarters in a minute where a file says nothing, as MusicXML and MIDI have it."""

BREATH_SEC, BREATH_SHARE = 0.3, 0.4
"""A breath mark takes so long from the end of its note, but no more than that share of it."""

FASTEST = 10_000.0
"""Quarters a minute; what is faster is a faulty file."""

LONGEST_SEC = 4 * 3600.0
MOST_NOTES = 50_000
"""No song is longer; what seems so is a faulty file."""

LONGEST_OVERLAP = Fraction(1, 4)
"""Played legato: a note may sound on into the next for this share of its length."""


@dataclasses.dataclass(frozen=True)
class WrittenNote:
    """A note as written, times in quarters.

    Attributes:
      start, end: quarters from the beginning, start < end.
      midi: pitch, 69 = A4.
      lyric: as written, None without one.
      tied: True if it prolongs a note of the same pitch that ends where it starts.
      where: for error messages, as "measure 3, note 2".
      hyphen: True if the word goes on with the next syllable.
      breath: True if a breath is taken after it.
      overrides: (index, symbol) of phonemes that replace the dictionary's.
    """

    start: Fraction
    end: Fraction
    midi: float
    lyric: str | None
    tied: bool
    where: str
    hyphen: bool = False
    breath: bool = False
    overrides: tuple[tuple[int, str], ...] = ()


def checked_tempo(bpm: float) -> float:
    """Quarters a minute, if music can have so many.

    Raises:
      ValueError: if it cannot.
    """
    if not 1.0 <= bpm <= FASTEST:
        raise ValueError(f"a tempo of {bpm:g} quarters a minute; it is from 1 to {FASTEST:g}")
    return bpm


class TempoMap:
    """Quarters to seconds, by steps of constant tempo."""

    def __init__(self, changes: Iterable[tuple[Fraction, float]]):
        """Takes (position in quarters, quarters per minute > 0), in any order.

        Of several at one position the last counts. Before the first its tempo holds already.
        """
        ordered = sorted(dict(changes).items()) or [(Fraction(0), DEFAULT_TEMPO)]
        self._starts = [Fraction(0)] + [position for position, _ in ordered if position > 0]
        at_zero = [bpm for position, bpm in ordered if position <= 0] or [ordered[0][1]]
        self._bpms = [at_zero[-1]] + [bpm for position, bpm in ordered if position > 0]
        self._seconds = [0.0]
        for i in range(1, len(self._starts)):
            quarters = self._starts[i] - self._starts[i - 1]
            self._seconds.append(self._seconds[-1] + float(quarters) * 60.0 / self._bpms[i - 1])

    def seconds(self, quarters: Fraction) -> float:
        """Seconds from the beginning to a position, >= 0."""
        i = bisect.bisect_right(self._starts, quarters) - 1
        return self._seconds[i] + float(quarters - self._starts[i]) * 60.0 / self._bpms[i]

    def quarters(self, seconds: np.ndarray) -> np.ndarray:
        """f64[n] positions of f64[n] seconds, the inverse; before 0 the first tempo goes on."""
        i = np.maximum(np.searchsorted(self._seconds, seconds, side="right") - 1, 0)
        starts = np.array([float(start) for start in self._starts])
        return starts[i] + (seconds - np.array(self._seconds)[i]) * np.array(self._bpms)[i] / 60.0


def without_short_overlaps(sung: Sequence[WrittenNote]) -> tuple[list[WrittenNote], int]:
    """Ends notes that sound on a little into the next one (legato) where that one starts.

    Returns:
      The notes, and how many of them were shortened.
    """
    trimmed, count = list(sung), 0
    for i, (note, following) in enumerate(zip(sung, sung[1:], strict=False)):
        overlap = note.end - following.start
        if 0 < overlap <= LONGEST_OVERLAP * (note.end - note.start):
            trimmed[i] = dataclasses.replace(note, end=following.start)
            count += 1
    return trimmed, count


def notes_in_seconds(
    sung: Sequence[WrittenNote], end: Fraction, tempo: TempoMap, source: str
) -> tuple[Note, ...]:
    """Joins ties, marks slurs, and fills the gaps with rests.

    A note without a lyric, or with one that is a slur, is a slur if it follows a sung note at
    once; after a rest it starts anew on the vowel before it (lyric `LONG_MARK`). A breath takes
    its time from the note before it.

    Args:
      sung: in order of their starts.
      end: of the music, in quarters; a rest lasts until there.
      source: the file, for error messages.

    Returns:
      Notes without gaps from 0 to `end`.

    Raises:
      InputError: if a note starts before the one before it has ended, or if it is too long.
    """
    joined = _joined(sung, source)
    _check_size(joined, tempo.seconds(max(end, joined[-1].end if joined else end)), source)
    notes: list[Note] = []
    position = Fraction(0)

    def length(start: Fraction, stop: Fraction) -> float:
        return tempo.seconds(stop) - tempo.seconds(start)

    for i, note in enumerate(joined):
        if note.start > position:
            sec = length(position, note.start)
            notes.append(Note(sec, None, where=f"rest before {note.where}"))
        holds_on = note.lyric is None or is_slur(note.lyric)
        slur = bool(holds_on and notes and notes[-1].midi is not None)
        lyric = None if slur else LONG_MARK if holds_on else note.lyric
        sec = length(note.start, note.end)
        follows_at_once = i + 1 < len(joined) and joined[i + 1].start == note.end
        breath_sec = min(BREATH_SEC, BREATH_SHARE * sec) if note.breath and follows_at_once else 0.0
        notes.append(
            Note(sec - breath_sec, note.midi, lyric, slur, note.where, note.hyphen, note.overrides)
        )
        if breath_sec:
            notes.append(Note(breath_sec, None, BREATH, where=f"breath after {note.where}"))
        position = note.end
    if end > position:
        notes.append(Note(length(position, end), None, where="rest at the end"))
    return tuple(notes)


def _joined(sung: Sequence[WrittenNote], source: str) -> list[WrittenNote]:
    """Without ties: each note as long as it sounds."""
    joined: list[WrittenNote] = []
    for note in sung:
        last = joined[-1] if joined else None
        if last and note.start < last.end:
            raise InputError(
                f"{source}: {note.where} starts before {last.where} has ended; a singer sings "
                "one note at a time, so shorten the first or take one of them out"
            )
        ties = last and note.tied and note.start == last.end and note.midi == last.midi
        if last and ties and note.lyric is None:
            joined[-1] = dataclasses.replace(last, end=note.end, breath=note.breath)
        else:
            joined.append(note)
    return joined


def _check_size(notes: Sequence[WrittenNote], seconds: float, source: str) -> None:
    if len(notes) > MOST_NOTES:
        raise InputError(
            f"{source}: it has {len(notes)} notes, which no song has (the most are {MOST_NOTES}); "
            "check what exported it"
        )
    require_song_length(seconds, source)


def require_song_length(seconds: float, source: str) -> None:
    """Refuses what lasts longer than any song, which no machine could sing.

    Raises:
      InputError: for more than `LONGEST_SEC`, or no number.
    """
    if not seconds <= LONGEST_SEC:
        raise InputError(
            f"{source}: it lasts {seconds / 3600:.3g} hours, which no song does (the longest are "
            f"{LONGEST_SEC / 3600:g}); check its tempo and its last note"
        )
