"""A piece of a score -> unpadded arrays, begun and ended by silence, ready for `Batch` rows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping

import numpy as np

from diffsinger_jax.errors import InputError
from diffsinger_jax.pipeline.collate import Example
from diffsinger_jax.pitch import f0_at
from diffsinger_jax.score.phonology import is_vowel
from diffsinger_jax.synthesis.timing import fit_to_score
from diffsinger_jax.types import (
    SILENCE,
    Curve,
    Note,
    Phoneme,
    Piece,
    Vocabulary,
    frames_from_seconds,
    frames_reached,
)

SILENCE_SEC = 0.3
"""Silence put before and after a piece that has none of its own: voices learn from such pieces."""


@dataclasses.dataclass(frozen=True)
class PieceArrays:
    """What a voice needs to know of one piece; N counts the added silences too.

    Attributes:
      piece: as it was given.
      phonemes: N of them; `note_index` is -1 for an added head, len(notes) for an added tail.
      example: tokens, note_midi, note_sec, slur, onset, language [N] and speaker, as in a
        prepared corpus.
      starts, fills, start_frames: [N], for `timing.fit_to_score`.
      total_frames: length by the notes, with head and tail.
      given_frames: i32[N] where the score gives the durations, else None.
      note_frames: i32[K] of the notes, an added head and tail too.
      note_pitches: f64[K] MIDI of the same, nan for rests.
      head_frames, tail_frames: of them, added before the piece's offset and after its end.
      rest_sec: of the silence before its first sung note, that of the song before it included.
      leads: False where there was no time before the first note: its consonants then start with
        the note, and the head is cut away again.
    """

    piece: Piece
    phonemes: tuple[Phoneme, ...]
    example: Example
    starts: np.ndarray
    fills: np.ndarray
    start_frames: np.ndarray
    total_frames: int
    given_frames: np.ndarray | None
    note_frames: np.ndarray
    note_pitches: np.ndarray
    head_frames: int
    tail_frames: int
    rest_sec: float
    leads: bool

    @property
    def frames(self) -> int:
        """T, which no prediction changes."""
        return self.total_frames if self.given_frames is None else int(self.given_frames.sum())

    @property
    def word_frames(self) -> np.ndarray:
        """i32[N], at each phoneme that starts a note the frames up to the next, else 0.

        What the score says of durations: their sums from one start up to the next.
        """
        firsts = np.flatnonzero(self.starts)
        edges = np.append(np.asarray(self.start_frames)[firsts], self.total_frames)
        frames = np.zeros(len(self.phonemes), np.int32)
        frames[firsts] = np.maximum(np.diff(edges), 0)
        return frames

    def ph_frames(self, predicted_frames: np.ndarray) -> np.ndarray:
        """i32[N] durations in frames: the given ones, or predictions fitted to the score."""
        if self.given_frames is not None:
            return self.given_frames
        return fit_to_score(
            predicted_frames[: len(self.phonemes)],
            starts=self.starts,
            fills=self.fills,
            start_frames=self.start_frames,
            total_frames=self.total_frames,
        )


TIMINGS: Mapping[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "nearest": frames_from_seconds,
    "openvpi": frames_reached,
}
"""How seconds become frames, by the name in a voice: (durations, frames_per_sec) -> i32[N]."""


def piece_arrays(  # long: one array after the other, each from those before it
    piece: Piece,
    vocabulary: Vocabulary,
    frames_per_sec: float,
    *,
    language: int = 0,
    speaker: int = 0,
    room_sec: float = 0.0,
    timing: str = "nearest",
) -> PieceArrays:
    """Numbers of one piece whose phonemes are known.

    Args:
      piece: with phonemes.
      frames_per_sec: of the voice's mel.
      language, speaker: ids.
      room_sec: silence in the song before the piece, time for its first consonants.
      timing: a name in `TIMINGS`.

    Raises:
      InputError: for an unknown phoneme, or where only some durations are given.
    """
    if not piece.phonemes:
        raise ValueError("the piece has no phonemes; read its lyrics with a dictionary first")
    if timing == "openvpi":
        piece = dataclasses.replace(piece, phonemes=vowels_once(piece))
    phonemes = list(piece.phonemes or ())
    knows_silence = SILENCE in vocabulary.phonemes
    has_head = knows_silence and phonemes[0].symbol != SILENCE
    has_tail = knows_silence and phonemes[-1].symbol != SILENCE
    silence_frames = math.ceil(SILENCE_SEC * frames_per_sec)
    head_frames, tail_frames = has_head * silence_frames, has_tail * silence_frames

    first_sung = 0
    if has_head:
        phonemes = _first_onset_on_its_vowel(phonemes)
        phonemes.insert(0, Phoneme(SILENCE, -1, onset=True))
        first_sung = 1
    if has_tail:
        phonemes.append(Phoneme(SILENCE, len(piece.notes), onset=True))
    given_frames = _given_frames(piece, frames_per_sec, head_frames, tail_frames, timing)

    added = Note(silence_frames / frames_per_sec, midi=None)
    notes = [_note_of(phoneme, piece.notes, added) for phoneme in phonemes]
    # Where notes begin, in frames: -1 is the head, len(notes) the tail.
    lengths = TIMINGS[timing](
        np.asarray([note.duration_sec for note in piece.notes]), frames_per_sec
    )
    begins = head_frames + np.concatenate([[0], np.cumsum(lengths), [-head_frames]])
    note_index = np.array([phoneme.note_index for phoneme in phonemes])

    onset = np.array([phoneme.onset for phoneme in phonemes])
    starts = onset.copy()
    first_begins_sec = (begins[note_index[first_sung]] - head_frames) / frames_per_sec
    leads = not has_head or bool(room_sec + first_begins_sec >= SILENCE_SEC)
    if not leads:
        starts[note_index == note_index[first_sung]] = False
        starts[first_sung] = True
    example = {
        "tokens": vocabulary.phoneme_ids([p.symbol for p in phonemes], where=piece.where),
        "note_midi": np.array([note.midi or 0.0 for note in notes], np.float32),
        "note_sec": np.array([note.duration_sec for note in notes], np.float32),
        "slur": np.array([note.slur for note in notes], np.int32),
        "onset": onset.astype(np.int32),
        "language": _languages(phonemes, vocabulary, language),
        "speaker": np.int32(speaker),
    }
    return PieceArrays(
        piece=piece,
        phonemes=tuple(phonemes),
        example=example,
        starts=starts,
        fills=_fills([p.symbol for p in phonemes], note_index, starts),
        start_frames=begins[note_index],
        total_frames=int(head_frames + lengths.sum() + tail_frames),
        given_frames=given_frames,
        note_frames=np.concatenate(
            [[head_frames][:has_head], lengths, [tail_frames][:has_tail]]
        ).astype(np.int32),
        note_pitches=np.array(
            [
                *[np.nan][:has_head],
                *(np.nan if note.midi is None else note.midi for note in piece.notes),
                *[np.nan][:has_tail],
            ]
        ),
        head_frames=head_frames,
        tail_frames=tail_frames,
        rest_sec=room_sec + _leading_rests_sec(piece.notes),
        leads=leads,
    )


def _leading_rests_sec(notes: tuple[Note, ...]) -> float:
    sung = next((i for i, note in enumerate(notes) if note.midi is not None), len(notes))
    return float(sum(note.duration_sec for note in notes[:sung]))


def resample_f0(curve: Curve, count: int, frames_per_sec: float) -> np.ndarray:
    """f32[count] of an f0 curve at frame times, see `pitch.f0_at`."""
    return f0_at(curve.values, np.arange(count) / frames_per_sec / curve.timestep_sec)


def vowels_once(piece: Piece) -> tuple[Phoneme, ...]:
    """Phonemes without the repeats of a vowel on slurs, which openvpi's voices never met."""
    merged: list[Phoneme] = []
    for phoneme in piece.phonemes or ():
        repeats = phoneme.onset and piece.notes[phoneme.note_index].slur
        if repeats and merged and merged[-1].symbol == phoneme.symbol:
            before, sec = merged[-1].duration_sec, phoneme.duration_sec
            longer = None if before is None or sec is None else before + sec
            merged[-1] = dataclasses.replace(merged[-1], duration_sec=longer)
        else:
            merged.append(phoneme)
    return tuple(merged)


def _languages(phonemes: list[Phoneme], vocabulary: Vocabulary, language: int) -> np.ndarray:
    """i32[N] ids: of what stands before a phoneme's slash, else the piece's."""
    known = {name: number for number, name in enumerate(vocabulary.languages)}
    prefixes = (phoneme.symbol.rpartition("/")[0] for phoneme in phonemes)
    return np.array([known.get(prefix, language) for prefix in prefixes], np.int32)


def _note_of(phoneme: Phoneme, notes: tuple[Note, ...], added: Note) -> Note:
    return notes[phoneme.note_index] if 0 <= phoneme.note_index < len(notes) else added


def _first_onset_on_its_vowel(phonemes: list[Phoneme]) -> list[Phoneme]:
    """A piece's first phoneme is always an onset; once silence stands before it, its vowel is."""
    own = [i for i, p in enumerate(phonemes) if p.note_index == phonemes[0].note_index]
    onset = next(
        (i for i in own[1:] if phonemes[i].onset),
        next((i for i in own if is_vowel(phonemes[i].symbol)), 0),
    )
    return [
        dataclasses.replace(p, onset=i == onset) if i in own and i <= onset else p
        for i, p in enumerate(phonemes)
    ]


def _fills(symbols: list[str], note_index: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """bool[N]: the vowels of each start's own note, or where it has none the start itself."""
    fills = np.zeros(len(symbols), bool)
    firsts = np.flatnonzero(starts)
    for first, last in zip(firsts, np.append(firsts[1:], len(symbols)), strict=True):
        vowels = [
            i
            for i in range(first, last)
            if note_index[i] == note_index[first] and is_vowel(symbols[i])
        ]
        fills[vowels or [int(first)]] = True
    return fills


def _given_frames(
    piece: Piece, frames_per_sec: float, head_frames: int, tail_frames: int, timing: str
) -> np.ndarray | None:
    """i32[N] of the score's own durations, with head and tail, or None if it gives none."""
    phonemes = piece.phonemes or ()
    given = [p.duration_sec for p in phonemes if p.duration_sec is not None]
    missing = [i for i, phoneme in enumerate(phonemes) if phoneme.duration_sec is None]
    if not given:
        return None
    if missing:
        symbol = phonemes[missing[0]].symbol
        raise InputError(
            f"{piece.where or 'a piece'}: phoneme {missing[0] + 1} ({symbol}) has no duration "
            f"though others have one; give every phoneme of the piece a duration, or none"
        )
    frames = TIMINGS[timing](np.asarray(given), frames_per_sec)
    head = [head_frames] if head_frames else []
    tail = [tail_frames] if tail_frames else []
    return np.concatenate([head, frames, tail]).astype(np.int32)
