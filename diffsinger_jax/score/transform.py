"""Scores to scores: another key, another tempo, long songs in pieces."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from diffsinger_jax.errors import InputError
from diffsinger_jax.pitch import semitones_to_ratio
from diffsinger_jax.types import SILENCE, Curve, Note, Phoneme, Piece, Score


def transpose(score: Score, semitones: float) -> Score:
    """Moves notes and f0 curves by semitones (100 cents each), up for positive ones."""

    def moved(piece: Piece) -> Piece:
        notes = tuple(
            note if note.midi is None else dataclasses.replace(note, midi=note.midi + semitones)
            for note in piece.notes
        )
        curves = dict(piece.curves)
        if "f0" in curves:
            values = (curves["f0"].values * semitones_to_ratio(semitones)).astype(np.float32)
            curves["f0"] = Curve(values, curves["f0"].timestep_sec)
        return dataclasses.replace(piece, notes=notes, curves=curves)

    return dataclasses.replace(score, pieces=tuple(map(moved, score.pieces)))


def change_tempo(score: Score, factor: float) -> Score:
    """Sings `factor` times as fast: all times, given durations and curves are divided by it.

    Raises:
      InputError: if the factor is not above 0.
    """
    if not (factor > 0 and math.isfinite(factor)):
        raise InputError(f"the tempo factor is above 0 (2 is twice as fast), got {factor!r}")

    def phoneme_at(phoneme: Phoneme) -> Phoneme:
        sec = phoneme.duration_sec
        return dataclasses.replace(phoneme, duration_sec=None if sec is None else sec / factor)

    def at_tempo(piece: Piece) -> Piece:
        return dataclasses.replace(
            piece,
            offset_sec=piece.offset_sec / factor,
            notes=tuple(
                dataclasses.replace(n, duration_sec=n.duration_sec / factor) for n in piece.notes
            ),
            phonemes=piece.phonemes and tuple(map(phoneme_at, piece.phonemes)),
            curves={
                name: Curve(curve.values, curve.timestep_sec / factor)
                for name, curve in piece.curves.items()
            },
        )

    def faster(at: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
        return lambda seconds: at(np.asarray(seconds) * factor)

    return dataclasses.replace(
        score,
        pieces=tuple(map(at_tempo, score.pieces)),
        expressions={name: faster(at) for name, at in score.expressions.items()},
    )


def is_silent(piece: Piece) -> bool:
    """True for a piece of nothing but rests, without breaths: it need not be rendered."""
    return all(note.midi is None for note in piece.notes) and all(
        phoneme.symbol == SILENCE for phoneme in piece.phonemes or ()
    )


def split_at_rests(
    score: Score,
    *,
    min_rest_sec: float = 0.3,
    max_piece_sec: float = 12.0,
    keep_sec: float = 0.5,
) -> Score:
    """Cuts pieces inside their rests, so that each is at most `max_piece_sec` long if it can be.

    A piece keeps part of the rests around it, in which the consonants before its first vowel
    find room. What is longer than twice `keep_sec` becomes a silent piece of its own (see
    `is_silent`). The pieces follow each other as before: no time is lost or moved. A stretch
    without rests stays whole, however long it is. Works before and after `phonemize`.

    Args:
      min_rest_sec: shorter rests are not cut.
      max_piece_sec: phrases are joined up to this length.
      keep_sec: of a long rest, what stays with the phrase on each side.
    """
    pieces: list[Piece] = []
    for piece in score.pieces:
        must, may = _cuts(piece, min_rest_sec, keep_sec)
        pieces += _cut(piece, _chosen(piece, must, may, max_piece_sec))
    return dataclasses.replace(score, pieces=tuple(pieces))


_CutPoint = tuple[int, float]
"""(index of a rest among the notes, seconds from its start)."""


def _cuts(
    piece: Piece, min_rest_sec: float, keep_sec: float
) -> tuple[list[_CutPoint], list[_CutPoint]]:
    """Where the piece must be cut, around long rests, and where it may be."""
    must: list[_CutPoint] = []
    may: list[_CutPoint] = []
    for i in range(len(piece.notes)):
        silence = _silence_sec(piece, i)
        if silence is None:
            continue
        is_first, is_last = i == 0, i == len(piece.notes) - 1
        if is_first and is_last:
            continue
        if silence > 2 * keep_sec:
            must += [] if is_first else [(i, keep_sec)]
            must += [] if is_last else [(i, silence - keep_sec)]
        elif silence >= min_rest_sec and not is_first and not is_last:
            may.append((i, silence / 2))
    return must, may


def _silence_sec(piece: Piece, i: int) -> float | None:
    """How much of note i is nothing but silence; None if it is sung or breathed in.

    With given durations, the consonants of the next note take the end of the rest.
    """
    note = piece.notes[i]
    if note.midi is not None:
        return None
    if piece.phonemes is None:
        return note.duration_sec
    own = [phoneme for phoneme in piece.phonemes if phoneme.note_index == i]
    if len(own) != 1 or own[0].symbol != SILENCE:
        return None
    given = own[0].duration_sec
    return note.duration_sec if given is None else min(given, note.duration_sec)


def _chosen(
    piece: Piece, must: Sequence[_CutPoint], may: Sequence[_CutPoint], max_piece_sec: float
) -> list[_CutPoint]:
    """All that must be, and as few of the others as keep the pieces short enough."""
    starts = np.concatenate([[0.0], np.cumsum([note.duration_sec for note in piece.notes])])

    def time(cut: _CutPoint) -> float:
        return float(starts[cut[0]] + cut[1])

    chosen: list[_CutPoint] = []
    begin = 0.0
    last_may: _CutPoint | None = None
    obligatory = set(must)
    end = (len(piece.notes), 0.0)
    for cut in [*sorted([*must, *may]), end]:
        if time(cut) - begin > max_piece_sec and last_may is not None:
            chosen.append(last_may)
            begin, last_may = time(last_may), None
        if cut in obligatory:
            chosen.append(cut)
            begin, last_may = time(cut), None
        else:
            last_may = cut
    return chosen


def _cut(piece: Piece, cuts: Sequence[_CutPoint]) -> list[Piece]:
    """The piece in len(cuts) + 1 pieces."""
    points = [(0, 0.0), *cuts, (len(piece.notes), 0.0)]
    pieces = []
    offset = 0.0
    for (first, skip), (last, until) in zip(points, points[1:], strict=False):
        # The rest that is cut counts on both sides.
        stop = last + 1 if until > 0 else last
        notes: list[Note] = []
        for i in range(first, stop):
            begin = skip if i == first else 0.0
            end = until if i == last else piece.notes[i].duration_sec
            notes.append(dataclasses.replace(piece.notes[i], duration_sec=end - begin))
        length = float(sum(note.duration_sec for note in notes))
        pieces.append(
            dataclasses.replace(
                piece,
                offset_sec=piece.offset_sec + offset,
                notes=tuple(notes),
                phonemes=_cut_phonemes(piece, first, skip, last, until, stop),
                curves={
                    name: _cut_curve(curve, offset, length) for name, curve in piece.curves.items()
                },
            )
        )
        offset += length
    return pieces


def _cut_phonemes(
    piece: Piece, first: int, skip: float, last: int, until: float, stop: int
) -> tuple[Phoneme, ...] | None:
    if piece.phonemes is None:
        return None
    phonemes = []
    for phoneme in piece.phonemes:
        i, sec = phoneme.note_index, phoneme.duration_sec
        if not first <= i < stop:
            continue
        if sec is not None:  # only silences are cut, so only theirs change
            sec = (until if i == last else sec) - (skip if i == first else 0.0)
        phonemes.append(dataclasses.replace(phoneme, note_index=i - first, duration_sec=sec))
    return tuple(phonemes)


def _cut_curve(curve: Curve, offset_sec: float, length_sec: float) -> Curve:
    """The part of a curve, to the nearest of its samples; a constant stays one value."""
    if len(curve.values) == 1:
        return Curve(curve.values, length_sec)
    step = curve.timestep_sec
    start = min(round(offset_sec / step), len(curve.values) - 1)
    count = max(1, math.ceil(length_sec / step - 1e-6))
    return Curve(curve.values[start : start + count], step)
