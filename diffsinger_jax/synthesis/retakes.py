"""Retakes: pitch drawn anew for some measures or notes, all the rest as it was."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

from diffsinger_jax.errors import InputError
from diffsinger_jax.types import Piece

_RANGE = re.compile(r"(measure|bar|note)s?\s+(\d+)(?:\s*-\s*(\d+))?", re.IGNORECASE)
_MEASURE = re.compile(r"\b(?:measure|bar) (\d+)\b")
FORM = 'as "measure 5-8", "note 12" or "measure 2, note 20-24"'


@dataclasses.dataclass(frozen=True)
class Retake:
    """What of a score's pitch is drawn anew.

    Attributes:
      spans: ("measure" or "note", first, last), both counted from 1 and both included; notes are
        those of the whole score, rests not counted.
      seed: of what is drawn; None for one more than that of the rest.
    """

    spans: tuple[tuple[str, int, int], ...]
    seed: int | None = None

    def chosen(self, pieces: Sequence[Piece], source: str = "") -> list[np.ndarray]:
        """Which notes of each piece are drawn anew, bool[notes] each.

        Args:
          pieces: of one score, in order.
          source: the score's, for errors.

        Raises:
          InputError: for a measure or a note that is not there.
        """
        measures = [[_measure_of(note.where) for note in piece.notes] for piece in pieces]
        sung = [np.array([n.midi is not None for n in piece.notes], bool) for piece in pieces]
        counted = np.cumsum(np.concatenate([np.zeros(0, int), *sung]))
        numbers = np.split(counted, np.cumsum([len(one) for one in sung])[:-1]) if sung else []
        found = [np.zeros(len(one), bool) for one in sung]
        for kind, first, last in self.spans:
            before = sum(map(np.sum, found))
            for piece, (of_notes, is_sung) in enumerate(zip(numbers, sung, strict=True)):
                places = of_notes if kind == "note" else np.array(measures[piece], int)
                found[piece] |= is_sung & (places >= first) & (places <= last)
            known = counted if kind == "note" else np.array(sum(measures, []), int)
            _require(kind, first, last, known[known > 0], source)
            if sum(map(np.sum, found)) == before == 0:
                raise InputError(
                    f"{source}: {kind} {first} to {last} has no note to take again; choose others"
                )
        return found


def _require(kind: str, first: int, last: int, known: np.ndarray, source: str) -> None:
    """Sees that a score has all of a span."""
    asked = f"{kind} {first}" if first == last else f"{kind} {first} to {last}"
    if known.size == 0:
        raise InputError(
            f"{source}: it says no {kind}s, so {asked} cannot be taken again; choose notes, as "
            '"note 3-8"'
        )
    if first < known.min() or last > known.max():
        raise InputError(
            f"{source}: there is no {asked} to take again; it has {kind} {known.min()} to "
            f"{known.max()}"
        )


def _measure_of(where: str) -> int:
    """The number in a note's place in its file; 0 for none."""
    found = _MEASURE.search(where)
    return int(found.group(1)) if found else 0


def parse_retake(text: str, seed: int | None = None) -> Retake:
    """Reads "measure 5-8", "note 12", or several with commas between.

    Raises:
      InputError: for anything else.
    """
    spans = []
    for part in text.split(","):
        if (match := _RANGE.fullmatch(part.strip())) is None:
            raise InputError(f"a retake is {text!r}, expected measures or notes, {FORM}")
        kind, first, last = match.groups()
        span = int(first), int(last or first)
        if not 1 <= span[0] <= span[1]:
            raise InputError(
                f"a retake is {text!r}, expected numbers from 1 on, the first not above the last"
            )
        spans.append(("note" if kind.lower() == "note" else "measure", *span))
    return Retake(tuple(spans), seed)
