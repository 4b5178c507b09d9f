"""Labels and notes, each with times of their own, to phonemes that know their note."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from diffsinger_jax.corpus.nuclei import is_rest
from diffsinger_jax.corpus.songs import Label, SungNote, SungPhoneme

UNMATCHED_SEC = 0.15
"""What it costs to give one note to two vowels, or two notes to one vowel, in seconds of
mistiming: more than singers are off, less than a usual note."""
LEGATO_SEC = 0.06
"""A shorter gap between two notes is the player's, not a rest."""

# How a cell of the matching is reached, and with it what has gone on: the vowel, the note, both.
_BOTH, _VOWEL, _NOTE = range(3)


def match_notes(nuclei: Sequence[Label], notes: Sequence[SungNote]) -> list[list[int]]:
    """Which notes each vowel is sung on, in order, by dynamic programming.

    The cheapest way through three moves: the next vowel on the next note (costs the seconds
    between their starts); the next vowel on the same note, and the same vowel on the next note
    (both cost `UNMATCHED_SEC`, and what of it lies outside the other).

    Args:
      nuclei: vowels (and moraic nasals) in order, at least one.
      notes: in order, at least one.

    Returns:
      For each vowel the indices of its notes, at least one; vowels on the same note name the
      same one.
    """
    cost = np.full((len(nuclei), len(notes)), np.inf)
    move = np.full(cost.shape, _BOTH, np.int8)
    for (i, vowel), (j, note) in itertools.product(enumerate(nuclei), enumerate(notes)):
        apart = abs(vowel.start_sec - note.start_sec)
        if i == j == 0:
            cost[i, j] = apart
            continue
        vowel_outside = UNMATCHED_SEC + max(0.0, vowel.end_sec - note.end_sec)
        note_outside = UNMATCHED_SEC + max(0.0, note.end_sec - vowel.end_sec)
        ways = (
            cost[i - 1, j - 1] + apart if i and j else np.inf,
            cost[i - 1, j] + vowel_outside if i else np.inf,
            cost[i, j - 1] + note_outside if j else np.inf,
        )
        move[i, j] = int(np.argmin(ways))
        cost[i, j] = ways[move[i, j]]
    matched: list[list[int]] = [[] for _ in nuclei]
    i, j = len(nuclei) - 1, len(notes) - 1
    matched[i].insert(0, j)
    while i or j:
        step = move[i, j]
        i, j = i - (step != _NOTE), j - (step != _VOWEL)
        matched[i].insert(0, j)
    return matched


class _Part(NamedTuple):
    """A phoneme on its way: `note` is an index into the notes, None for a rest."""

    label: Label
    note: int | None
    onset: bool
    slur: bool = False


def align(
    labels: Sequence[Label], nuclei: Sequence[int], notes: Sequence[SungNote] | None
) -> tuple[SungPhoneme, ...]:
    """Gives every phoneme its note.

    A vowel over several notes becomes one phoneme per note, split where the notes begin, with
    `slur` on the further ones. Of several vowels on one note only the first is its onset. A
    leading consonant has the note of the vowel after it; consonants at the end of a syllable
    (before a rest, or `cl`, the closure of a double consonant) have that of the vowel before.
    Rests last from where they begin to the next onset, as they do in a score.

    Args:
      labels: in order, at least one; a gap between two goes to the first.
      nuclei: indices of the labels that start a syllable's note; rests are not among them.
      notes: of the score in time; None if the corpus has none: then each nucleus has a note of
        its own, of unknown pitch, up to the next onset.
    """
    ends = [label.start_sec for label in labels[1:]] + [labels[-1].end_sec]
    labels = [Label(x.symbol, x.start_sec, end) for x, end in zip(labels, ends, strict=True)]
    if notes is None:
        matched = [[n] for n in range(len(nuclei))]
    else:
        matched = match_notes([labels[i] for i in nuclei], notes) if nuclei and notes else []
    notes_of = dict(zip(nuclei, matched, strict=False))

    parts: list[_Part] = []
    last_note = None
    for i, label in enumerate(labels):
        if is_rest(label.symbol):
            parts.append(_Part(label, None, onset=True))
        elif i not in notes_of:
            parts.append(_Part(label, _note_of_consonant(labels, i, notes_of), onset=i == 0))
        else:
            own = notes_of[i]
            pieces = _split(label, [notes[j].start_sec for j in own[1:]] if notes else [])
            parts.append(_Part(pieces[0], own[0], onset=i == 0 or own[0] != last_note))
            parts += [
                _Part(p, j, True, slur=True) for p, j in zip(pieces[1:], own[1:], strict=True)
            ]
            last_note = own[-1]

    until_onset = _seconds_to_next_onset(parts)
    if notes is None:
        note_sec = {p.note: sec for p, sec in zip(parts, until_onset, strict=True) if p.onset}
    else:
        note_sec = dict(enumerate(_note_lengths(notes)))
    return tuple(
        SungPhoneme(
            part.label.symbol,
            part.label.start_sec,
            part.label.end_sec,
            midi=0.0 if part.note is None else notes[part.note].midi if notes else None,
            note_sec=sec if part.note is None else note_sec[part.note],
            slur=part.slur,
            onset=part.onset,
        )
        for part, sec in zip(parts, until_onset, strict=True)
    )


def _note_of_consonant(
    labels: Sequence[Label], i: int, notes_of: Mapping[int, Sequence[int]]
) -> int | None:
    """That of the next vowel, or of the last one if a rest comes first; None beside no vowel."""

    def nearest(indices: Iterable[int], which: int) -> int | None:
        for j in indices:
            if is_rest(labels[j].symbol):
                return None
            if j in notes_of:
                return notes_of[j][which]
        return None

    before = nearest(range(i - 1, -1, -1), -1)
    after = nearest(range(i + 1, len(labels)), 0)
    if labels[i].symbol == "cl":
        return after if before is None else before
    return before if after is None else after


def _split(label: Label, cuts_sec: Sequence[float]) -> list[Label]:
    """Parts of a label, cut where told, or evenly if that is not inside it."""
    edges = [label.start_sec, *cuts_sec, label.end_sec]
    if min(b - a for a, b in itertools.pairwise(edges)) <= 0.0:
        edges = np.linspace(label.start_sec, label.end_sec, len(edges)).tolist()
    return [Label(label.symbol, a, b) for a, b in itertools.pairwise(edges)]


def _seconds_to_next_onset(parts: Sequence[_Part]) -> list[float]:
    """From each part's start to where the next onset starts, or the end."""
    seconds, next_sec = [], parts[-1].label.end_sec
    for part in reversed(parts):
        seconds.append(next_sec - part.label.start_sec)
        if part.onset:
            next_sec = part.label.start_sec
    return seconds[::-1]


def _note_lengths(notes: Sequence[SungNote]) -> list[float]:
    """From each note's start to its end, or to the next note if that follows at once."""
    following = [note.start_sec for note in notes[1:]] + [np.inf]
    return [
        float((after if after - note.end_sec < LEGATO_SEC else note.end_sec) - note.start_sec)
        for note, after in zip(notes, following, strict=True)
    ]
