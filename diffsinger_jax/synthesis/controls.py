"""What a score says beside notes -> the inputs of a voice, on its frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from diffsinger_jax.audio.curves import resample_curve
from diffsinger_jax.errors import InputError
from diffsinger_jax.features import neutral_value
from diffsinger_jax.score.ds_schema import SPEAKER_PREFIX
from diffsinger_jax.types import Curve, Piece, Score, Vocabulary

DEFAULT_RANGES = {"key_shift": (-5.0, 5.0), "speed": (0.5, 2.0)}
"""What a voice was trained with, unless it says something else: semitones and factors."""
SOURCES = {"key_shift": "gender", "speed": "velocity"}
"""Inputs that scores call by another name: gender is a share of the range, velocity a factor."""


def control_curve(
    name: str,
    piece: Piece,
    frames: int,
    frames_per_sec: float,
    ranges: Mapping[str, tuple[float, float]] = DEFAULT_RANGES,
) -> np.ndarray:
    """An optional feature of a piece: f64[frames], neutral where the score does not give it.

    gender g in [-1, 1] becomes a key shift of g times the upper end of the range, or of |g| times
    its lower end; velocity is kept within its range.

    Args:
      name: in `FEATURES`.
      piece: that may give it, or its source in `SOURCES`.
      frames: wanted.
      frames_per_sec: of the voice's mel.
      ranges: of key_shift in semitones and of speed, that the voice was trained with.

    Raises:
      InputError: for a curve that is not given and has no neutral value.
    """
    source = SOURCES.get(name, name)
    if (curve := piece.curves.get(source)) is None:
        return np.full(frames, neutral_value(name, piece.where or "a piece"))
    return in_range(name, resampled(curve, frames, frames_per_sec), ranges)


def in_range(
    name: str,
    values: np.ndarray,
    ranges: Mapping[str, tuple[float, float]] = DEFAULT_RANGES,
) -> np.ndarray:
    """What a score says of a feature, in the feature's units and range; see `control_curve`."""
    low, high = ranges.get(name, (-np.inf, np.inf))
    if name == "key_shift":
        values = np.clip(np.where(values >= 0, values * high, values * abs(low)), low, high)
    return np.clip(values, low, high) if name == "speed" else values


def speaker_weights(
    piece: Piece, speakers: tuple[str, ...], speaker: int, frames: int, frames_per_sec: float
) -> np.ndarray:
    """Share of each speaker in each frame, f64[frames, speakers], of sum 1.

    Args:
      piece: whose curves `spk_mix/name` say it.
      speakers: of the voice.
      speaker: who sings where the piece says nothing.
      frames: wanted.
      frames_per_sec: of the voice's mel.

    Raises:
      InputError: for a speaker that the voice has not, or weights of sum 0.
    """
    given = {name: curve for name, curve in piece.curves.items() if name.startswith(SPEAKER_PREFIX)}
    weights = np.zeros((frames, len(speakers)))
    if not given:
        weights[:, speaker] = 1.0
        return weights
    require_speakers(piece, speakers)
    for name, curve in given.items():
        one = name.removeprefix(SPEAKER_PREFIX)
        weights[:, speakers.index(one)] = resampled(curve, frames, frames_per_sec)
    total = weights.sum(axis=1, keepdims=True)
    if np.any(weights < 0) or np.any(total <= 0):
        place = piece.where or "a piece"
        raise InputError(f"{place}: spk_mix: weights are 0 or more, and not all of them 0")
    return weights / total


def require_speakers(piece: Piece, speakers: tuple[str, ...]) -> None:
    """Sees that a voice has the speakers whose shares a piece gives.

    Raises:
      InputError: for one that it has not.
    """
    for name in piece.curves:
        if not name.startswith(SPEAKER_PREFIX):
            continue
        if (one := name.removeprefix(SPEAKER_PREFIX)) not in speakers:
            raise InputError(
                f"{piece.where or 'a piece'}: spk_mix: the voice has no speaker {one!r}; "
                f"it has {', '.join(speakers)}"
            )


def resampled(curve: Curve, frames: int, frames_per_sec: float) -> np.ndarray:
    """f64[frames] of a curve."""
    return resample_curve(curve.values, curve.timestep_sec, frames, frames_per_sec)


def name_phonemes(score: Score, vocabulary: Vocabulary) -> Score:
    """Given phonemes by the names of a voice of several languages: `a` of a piece in ja is `ja/a`.

    What has a name already, or belongs to no language, stays as it is.
    """
    names = vocabulary.names
    if not any("/" in name for name in names):
        return score
    pieces = []
    for piece in score.pieces:
        language = piece.language or score.language or vocabulary.languages[0]
        phonemes = piece.phonemes and tuple(
            dataclasses.replace(phoneme, symbol=full)
            if phoneme.symbol not in names and (full := f"{language}/{phoneme.symbol}") in names
            else phoneme
            for phoneme in piece.phonemes
        )
        pieces.append(dataclasses.replace(piece, phonemes=phonemes))
    return dataclasses.replace(score, pieces=tuple(pieces))


@dataclasses.dataclass(frozen=True)
class Controls:
    """What is asked for over a whole score, beside what it says itself.

    Attributes:
      gender: added to the curve of that name, which is 0 where it is not given.
      velocity: a factor on the curve of that name, which is 1 where it is not given.
      offsets: added to other curves of the score, by name and in their units.
      speakers: shares by name, in the place of the score's.
    """

    gender: float = 0.0
    velocity: float = 1.0
    offsets: Mapping[str, float] = dataclasses.field(default_factory=dict)
    speakers: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def applied(self, score: Score) -> Score:
        """The score with its curves changed.

        Raises:
          InputError: for an offset of a curve that a piece does not give.
        """
        pieces = tuple(self._piece(piece, score.source or score.title) for piece in score.pieces)
        return dataclasses.replace(score, pieces=pieces)

    def _piece(self, piece: Piece, source: str) -> Piece:
        curves = dict(piece.curves)
        whole = max(piece.duration_sec, 1e-3)

        def constant(value: float) -> Curve:
            return Curve(np.asarray([value], np.float32), whole)

        if self.gender:
            given = curves.get("gender", constant(0.0))
            curves["gender"] = dataclasses.replace(given, values=given.values + self.gender)
        if self.velocity != 1.0:
            given = curves.get("velocity", constant(1.0))
            curves["velocity"] = dataclasses.replace(given, values=given.values * self.velocity)
        for name, offset in self.offsets.items():
            if name not in curves:
                where = ": ".join(part for part in (source, piece.where) if part)
                raise InputError(f"{where}: there is no curve {name!r} to add {offset:g} to")
            given = curves[name]
            curves[name] = dataclasses.replace(given, values=given.values + np.float32(offset))
        if self.speakers:
            kept = {n: c for n, c in curves.items() if not n.startswith(SPEAKER_PREFIX)}
            mix = {SPEAKER_PREFIX + name: constant(w) for name, w in self.speakers.items()}
            curves = kept | mix
        return dataclasses.replace(piece, curves=curves)
