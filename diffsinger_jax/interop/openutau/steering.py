"""What is asked of a voicebank's pitch over a whole score: how much of it, and retakes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.openutau.curves import given_curve
from diffsinger_jax.interop.openutau.model_folder import ModelFolder
from diffsinger_jax.interop.openutau.phrases import Phrase
from diffsinger_jax.interop.openutau.voicebank import Voicebank
from diffsinger_jax.synthesis.expression import Expression
from diffsinger_jax.synthesis.sung_pitch import RETAKE
from diffsinger_jax.types import Piece, Score

_UNABLE = ("correction", "vibrato_depth", "vibrato_rate")
"""Fields of `Expression` that a graph of pitch has no input for."""


@dataclasses.dataclass(frozen=True)
class Steering:
    """How a score's pitch is drawn.

    Attributes:
      expressiveness: factor on the input `expr`.
      spans_sec: [begin, end) in the song, of notes whose pitch is drawn anew.
      retaker: the pitch model with noise of its own for that; None where nothing is.
    """

    expressiveness: float = 1.0
    spans_sec: tuple[tuple[float, float], ...] = ()
    retaker: ModelFolder | None = None

    def chosen(self, phrase: Phrase, times_sec: np.ndarray) -> np.ndarray:
        """bool[T]: where pitch is drawn anew, by `spans_sec` or the score's own curve."""
        found = np.zeros(len(times_sec), bool)
        for begin, end in self.spans_sec:
            found |= (times_sec >= begin) & (times_sec < end)
        if (curve := given_curve(phrase, RETAKE)) is not None:
            found |= curve.at(times_sec) > 0.5
        return found if self.retaker is not None else np.zeros_like(found)


UNSTEERED = Steering()


def require_steerable(voicebank: Voicebank, expression: Expression) -> None:
    """Checks that a voicebank's graphs have an input for what is asked.

    Raises:
      InputError: naming what they cannot do.
    """
    neutral = Expression()
    asked = [name for name in _UNABLE if getattr(expression, name) != getattr(neutral, name)]
    if asked:
        flags = {"correction": "--pitch_correction"}
        named = ", ".join(flags.get(name, f"--{name}") for name in asked)
        raise InputError(
            f"the voicebank {voicebank.name} cannot be steered by {named}; leave that out, or draw "
            "the pitch in the project"
        )
    part = voicebank.pitch
    if expression.retake is not None and part is None:
        raise InputError(
            f"the voicebank {voicebank.name} has no dspitch, so that a retake would be the same "
            "again; leave --retake out"
        )
    if expression.expressiveness != 1.0 and (part is None or not part.settings.use_expr):
        raise InputError(
            f"the voicebank {voicebank.name} has no pitch model with an input expr; leave "
            "--expressiveness out"
        )
    if expression.expressiveness > 1.0:
        raise InputError(
            f"expressiveness is {expression.expressiveness:g}, expected 0 to 1 for a voicebank"
        )


def steering_of(
    voicebank: Voicebank, score: Score, pieces: Sequence[Piece], expression: Expression, seed: int
) -> Steering:
    """What is asked, for a prepared score.

    Args:
      voicebank: that sings.
      score: prepared.
      pieces: of it, those that are sung.
      expression: what is asked.
      seed: of its pitch.

    Raises:
      InputError: as of `require_steerable`, or for notes that are not there.
    """
    require_steerable(voicebank, expression)
    retake, part = expression.retake, voicebank.pitch
    spans: list[tuple[float, float]] = []
    if retake is not None:
        for piece, chosen in zip(
            pieces, retake.chosen(pieces, score.source or score.title), strict=True
        ):
            ends = piece.offset_sec + np.cumsum([note.duration_sec for note in piece.notes])
            spans += [
                (float(ends[i]) - piece.notes[i].duration_sec, float(ends[i]))
                for i in np.flatnonzero(chosen)
            ]
    retaker = None
    if part is not None and (spans or any(RETAKE in piece.curves for piece in pieces)):
        retaker = ModelFolder(part.files)  # its noise leaves that of the other frames as it is
        own = retake.seed if retake is not None else None
        retaker.graph("pitch").seed(seed + 1 if own is None else own)
    return Steering(expression.expressiveness, tuple(spans), retaker)
