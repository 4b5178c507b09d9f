"""Does a score lie where the voice has sung? Notes outside, and the key that fits best."""

from __future__ import annotations

from collections.abc import Sequence

from diffsinger_jax.score.pitch_names import name_of_midi
from diffsinger_jax.types import Note, Score

_FURTHEST = 24
_MOST_NAMED = 6


def range_remark(score: Score, low: float, high: float) -> str | None:
    """A sentence on the notes outside a range, with the transposition that leaves the fewest.

    Args:
      score: as it will be sung.
      low, high: the lowest and highest pitch that the voice was trained on, 69 = A4.

    Returns:
      None if every note lies inside, within half a semitone.
    """
    notes = [n for piece in score.pieces for n in piece.notes if n.midi is not None]
    outside = [n.midi for n in notes if n.midi and not low - 0.5 <= n.midi <= high + 0.5]
    if not outside:
        return None
    midis = sorted(set(outside))
    named = [name_of_midi(round(midi)) for midi in midis]
    if len(named) > _MOST_NAMED:
        named = [*named[: _MOST_NAMED // 2], "...", *named[-_MOST_NAMED // 2 :]]
    key = best_key(notes, low, high)
    fits = f"--key {key:+d} fits best" if key else "no other key fits better"
    return (
        f"{len(outside)} of {len(notes)} notes ({', '.join(named)}) lie outside what the voice was "
        f"trained on ({name_of_midi(round(low))} to {name_of_midi(round(high))}); {fits}"
    )


def best_key(notes: Sequence[Note], low: float, high: float) -> int:
    """Semitones up that leave the least singing time outside a range, the smallest of them."""

    def outside(key: int) -> tuple[float, int]:
        sung = ((n.midi, n.duration_sec) for n in notes if n.midi is not None)
        seconds = sum(sec for midi, sec in sung if not low <= midi + key <= high)
        return round(seconds, 6), abs(key)

    return min(range(-_FURTHEST, _FURTHEST + 1), key=outside)
