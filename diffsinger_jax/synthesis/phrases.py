"""Stretches without a rest that are too long to sing at once, cut where a syllable begins."""

from __future__ import annotations

import dataclasses

from diffsinger_jax.types import Phoneme, Piece, Score

LONGEST_SEC = 30.0
"""Attention needs memory by the square of the length; no singer has that breath either."""


def split_long_phrases(score: Score, longest_sec: float = LONGEST_SEC) -> Score:
    """Halves pieces longer than `longest_sec`, again and again, at notes with a syllable.

    Each new piece begins with its note, first consonants and all, as a piece at time 0 does.
    Pieces with given durations or curves stay whole: they fix what happens at every moment.

    Args:
      score: with phonemes, cut at its rests already.
    """
    pieces = [part for piece in score.pieces for part in _halves(piece, longest_sec)]
    return dataclasses.replace(score, pieces=tuple(pieces))


def _halves(piece: Piece, longest_sec: float) -> list[Piece]:
    assert piece.phonemes is not None  # as the caller promises
    given = piece.curves or any(p.duration_sec is not None for p in piece.phonemes)
    if piece.duration_sec <= longest_sec or given:
        return [piece]
    begin, begins = 0.0, {}
    for i, note in enumerate(piece.notes):
        if i > 0 and note.midi is not None and not note.slur:
            begins[i] = begin
        begin += note.duration_sec
    if not begins:
        return [piece]
    cut = min(begins, key=lambda i: abs(begins[i] - begin / 2))
    before = dataclasses.replace(
        piece,
        notes=piece.notes[:cut],
        phonemes=tuple(p for p in piece.phonemes if p.note_index < cut),
    )
    after = dataclasses.replace(
        piece,
        offset_sec=piece.offset_sec + begins[cut],
        notes=piece.notes[cut:],
        phonemes=_from_note(piece.phonemes, cut),
    )
    return [*_halves(before, longest_sec), *_halves(after, longest_sec)]


def _from_note(phonemes: tuple[Phoneme, ...], first_note: int) -> tuple[Phoneme, ...]:
    """The phonemes from a note on; the first of them is the onset of its note."""
    own = [
        dataclasses.replace(p, note_index=p.note_index - first_note)
        for p in phonemes
        if p.note_index >= first_note
    ]
    return tuple(
        dataclasses.replace(p, onset=i == 0) if p.note_index == 0 else p for i, p in enumerate(own)
    )
