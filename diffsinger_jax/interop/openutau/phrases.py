"""A score with phonemes -> the phrases that OpenUtau renders, each with its words and notes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from diffsinger_jax.synthesis.arrays import vowels_once
from diffsinger_jax.types import SILENCE, Phoneme, Piece, Score


@dataclasses.dataclass(frozen=True)
class PhraseNote:
    """A sung note, or a breath with a pitch.

    Attributes:
      start_sec, end_sec: in the song.
      midi: its pitch, that of the nearest note for a breath.
      slur: whether it goes on with the syllable before.
    """

    start_sec: float
    end_sec: float
    midi: float
    slur: bool


@dataclasses.dataclass(frozen=True)
class Word:
    """The phonemes of one syllable.

    Attributes:
      symbols: in order.
      notes: indices into the phrase's notes, the first and the slurs after it.
    """

    symbols: tuple[str, ...]
    notes: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Phone:
    """A phoneme at its place in the song.

    Attributes:
      symbol: as the voicebank names it.
      start_sec, duration_sec: of it.
      midi: of the note that its word begins on.
    """

    symbol: str
    start_sec: float
    duration_sec: float
    midi: float

    @property
    def end_sec(self) -> float:
        """Where the next one starts."""
        return self.start_sec + self.duration_sec


@dataclasses.dataclass(frozen=True)
class Phrase:
    """What is sung between two silences.

    Attributes:
      piece: that it is part of.
      index: of that piece among those that are sung.
      language: a tag, "" where the score does not say.
      words: in order.
      notes: in order, without gaps between them but for given durations.
      room_sec: silence before its first note.
      given: its phones where the score says when they are sung; None to predict that.
      expressions: those of the score.
    """

    piece: Piece
    index: int
    language: str
    words: tuple[Word, ...]
    notes: tuple[PhraseNote, ...]
    room_sec: float
    given: tuple[Phone, ...] | None
    expressions: Mapping[str, Callable[[np.ndarray], np.ndarray]] = dataclasses.field(
        default_factory=dict
    )

    @property
    def symbols(self) -> tuple[str, ...]:
        """Of all its words."""
        return tuple(symbol for word in self.words for symbol in word.symbols)


def phrases_of(score: Score, sung_pieces: Sequence[Piece]) -> list[Phrase]:
    """The stretches of a prepared score between its silences.

    Args:
      score: whose pieces they are.
      sung_pieces: those of it that are not silent.
    """
    phrases: list[Phrase] = []
    end_sec = 0.0
    for index, piece in enumerate(sung_pieces):
        phonemes = vowels_once(piece)
        starts = _starts(piece, phonemes)
        for first, last in _sounding(phonemes):
            phrase = _phrase(piece, index, phonemes[first:last], starts[first : last + 1])
            room_sec = max(phrase.notes[0].start_sec - end_sec, 0.0)
            phrases.append(
                dataclasses.replace(
                    phrase,
                    room_sec=room_sec,
                    language=piece.language or score.language,
                    expressions=score.expressions,
                )
            )
            end_sec = phrase.notes[-1].end_sec
    return phrases


def _starts(piece: Piece, phonemes: Sequence[Phoneme]) -> list[float | None]:
    """Where each phoneme and the end are, where the durations are given."""
    durations = [phoneme.duration_sec for phoneme in phonemes]
    if any(sec is None for sec in durations):
        return [None] * (len(phonemes) + 1)
    ends = np.cumsum([sec or 0.0 for sec in durations], dtype=np.float64)
    return [piece.offset_sec, *(piece.offset_sec + ends).tolist()]


def _sounding(phonemes: Sequence[Phoneme]) -> list[tuple[int, int]]:
    """First and last + 1 of each run of phonemes that are not silence."""
    edges = [i for i, p in enumerate(phonemes) if p.symbol == SILENCE]
    bounds = [-1, *edges, len(phonemes)]
    return [(a + 1, b) for a, b in zip(bounds, bounds[1:], strict=False) if b - a > 1]


def _phrase(
    piece: Piece, index: int, phonemes: Sequence[Phoneme], starts: Sequence[float | None]
) -> Phrase:
    heads = [_head(piece, p.note_index) for p in phonemes]
    ends = piece.offset_sec + np.cumsum([note.duration_sec for note in piece.notes])
    first, last = heads[0], phonemes[-1].note_index
    while last + 1 < len(piece.notes) and piece.notes[last + 1].slur:
        last += 1
    pitches = _pitches(piece)
    notes = tuple(
        PhraseNote(
            float(ends[i]) - piece.notes[i].duration_sec, float(ends[i]), pitches[i],
            piece.notes[i].slur,
        )
        for i in range(first, last + 1)
    )  # fmt: skip
    words = []
    for head in dict.fromkeys(heads):
        symbols = tuple(p.symbol for p, h in zip(phonemes, heads, strict=True) if h == head)
        own = [head - first]
        while own[-1] + 1 < len(notes) and notes[own[-1] + 1].slur:
            own.append(own[-1] + 1)
        words.append(Word(symbols, tuple(own)))
    given = None
    if starts[0] is not None:
        given = tuple(
            Phone(p.symbol, start, end - start, notes[head - first].midi)
            for p, head, start, end in zip(phonemes, heads, starts, starts[1:], strict=False)
            if start is not None and end is not None
        )
    return Phrase(piece, index, piece.language, tuple(words), notes, 0.0, given)


def _head(piece: Piece, note_index: int) -> int:
    """The note that the syllable of a note begins on."""
    while note_index > 0 and piece.notes[note_index].slur:
        note_index -= 1
    return note_index


def _pitches(piece: Piece) -> list[float]:
    """Of every note; a rest has that of the nearest note, 60 where there is none."""
    sung = [i for i, note in enumerate(piece.notes) if note.midi is not None]
    if not sung:
        return [60.0] * len(piece.notes)
    nearest = [min(sung, key=lambda j: abs(j - i)) for i in range(len(piece.notes))]
    return [float(piece.notes[j].midi or 0.0) for j in nearest]
