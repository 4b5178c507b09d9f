"""From notes on a musical timeline, counted in quarters, to the notes of a `Score`, in seconds."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Iterable, Sequence
from fractions import Fraction

from diffsinger_jax.errors import InputError
from diffsinger_jax.types import Note

DEFAULT_TEMPO = 120.0
"""Quarters in a minute where a file says nothing, as MusicXML and MIDI have it."""

SLUR_LYRICS = frozenset({"-", "_", "+", "+~", "+*", "~", "ー", "－", "―", "〜", "～"})
"""Lyrics that say: go on with the syllable before (OpenUtau, karaoke files, Japanese scores)."""

LONG_MARK = "ー"
"""The lyric of a note that goes on with the vowel before it although a rest lies between."""


@dataclasses.dataclass(frozen=True)
class WrittenNote:
    """A note as written, times in quarters.

    Attributes:
      start, end: quarters from the beginning, start < end.
      midi: pitch, 69 = A4.
      lyric: as written, None without one.
      tied: True if it prolongs a note of the same pitch that ends where it starts.
      where: for error messages, as "measure 3, note 2".
    """

    start: Fraction
    end: Fraction
    midi: float
    lyric: str | None
    tied: bool
    where: str


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


def notes_in_seconds(
    sung: Sequence[WrittenNote], end: Fraction, tempo: TempoMap, source: str
) -> tuple[Note, ...]:
    """Joins ties, marks slurs, and fills the gaps with rests.

    A note without a lyric, or with one of `SLUR_LYRICS`, is a slur if it follows a sung note at
    once; after a rest it starts anew on the vowel before it (lyric `LONG_MARK`).

    Args:
      sung: in order of their starts.
      end: of the music, in quarters; a rest lasts until there.
      source: the file, for error messages.

    Returns:
      Notes without gaps from 0 to `end`.

    Raises:
      InputError: if a note starts before the one before it has ended.
    """
    joined: list[WrittenNote] = []
    for note in sung:
        last = joined[-1] if joined else None
        if last and note.start < last.end:
            raise InputError(
                f"{source}: {note.where} starts before {last.where} has ended; a singer sings "
                "one note at a time, so shorten the first or take one of them out"
            )
        ties = note.tied and last and note.start == last.end and note.midi == last.midi
        if ties and note.lyric is None:
            joined[-1] = dataclasses.replace(last, end=note.end)
        else:
            joined.append(note)

    notes: list[Note] = []
    position = Fraction(0)

    def length(start: Fraction, stop: Fraction) -> float:
        return tempo.seconds(stop) - tempo.seconds(start)

    for note in joined:
        if note.start > position:
            notes.append(
                Note(length(position, note.start), None, where=f"rest before {note.where}")
            )
        holds_on = note.lyric is None or note.lyric in SLUR_LYRICS
        slur = bool(holds_on and notes and notes[-1].midi is not None)
        lyric = None if slur else LONG_MARK if holds_on else note.lyric
        notes.append(Note(length(note.start, note.end), note.midi, lyric, slur, note.where))
        position = note.end
    if end > position:
        notes.append(Note(length(position, end), None, where="rest at the end"))
    return tuple(notes)
