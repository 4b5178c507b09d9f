"""OpenUtau's expressions, in its units, as what the models and the sound are given."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from diffsinger_jax.interop.openutau.phrases import Phrase

_OFFSETS = {
    # curve -> (expression, what leaves it as it is, units for 100 of it)
    "energy": ("ene", 0.0, 12.0),  # dB
    "breathiness": ("brec", 0.0, 12.0),  # dB
    "voicing": ("voic", 100.0, 12.0),  # dB
    "tension": ("tenc", 0.0, 5.0),  # logit
}
_COLOR = re.compile(r"cl(\d+)")
_MUTE_TENTH_DB = -240.0
GENDER_SEMITONES = 12.0
"""The shift of the formants that 100 of `genc` means."""


def values_of(phrase: Phrase, name: str, times_sec: np.ndarray) -> np.ndarray | None:
    """An expression at times of the song, f64[T]; None where the score draws none."""
    at = phrase.expressions.get(name)
    return None if at is None else np.asarray(at(times_sec), np.float64)


def offset(phrase: Phrase, curve: str, times_sec: np.ndarray) -> np.ndarray:
    """What is added to a predicted curve: f64[T] dB, of tension in logits.

    energy and breathiness: 12 y / 100, voicing: 12 (y - 100) / 100, tension: 5 y / 100.
    """
    name, neutral, scale = _OFFSETS[curve]
    values = values_of(phrase, name, times_sec)
    return np.zeros(len(times_sec)) if values is None else (values - neutral) * scale / 100.0


def gender(
    phrase: Phrase, shifts: tuple[float, float] | None, times_sec: np.ndarray
) -> np.ndarray | None:
    """Shares of the range of key shifts, f64[T]: -12 y / (100 |end|).

    Above 0 `genc` shifts down, by the lower end of the range, below 0 up, by the upper one; an end
    of 0 is never shifted to.
    """
    values = values_of(phrase, "genc", times_sec)
    if values is None or shifts is None:
        return None
    low, high = (abs(end) for end in shifts)
    ends = np.where(values < 0, high, low)
    share = -values * GENDER_SEMITONES / 100.0 / np.where(ends == 0, 1.0, ends)
    return np.where(ends == 0, 0.0, share)


def velocity(phrase: Phrase, times_sec: np.ndarray) -> np.ndarray | None:
    """Factors f64[T]: 2^((y - 100) / 100)."""
    values = values_of(phrase, "velc", times_sec)
    return None if values is None else 2.0 ** ((values - 100.0) / 100.0)


def expressiveness(phrase: Phrase, times_sec: np.ndarray) -> np.ndarray | None:
    """Shares f64[T]: y / 100, kept in [0, 1]."""
    values = values_of(phrase, "pexp", times_sec)
    return None if values is None else np.clip(values / 100.0, 0.0, 1.0)


def tone_shift(phrase: Phrase, times_sec: np.ndarray) -> np.ndarray:
    """Semitones f64[T]: y / 100."""
    values = values_of(phrase, "shfc", times_sec)
    return np.zeros(len(times_sec)) if values is None else values / 100.0


def loudness(phrase: Phrase, times_sec: np.ndarray) -> np.ndarray | None:
    """Factors on the sound, f64[T]: 10^(y / 200), y in tenths of a dB; 0 at -24 dB and below."""
    values = values_of(phrase, "dyn", times_sec)
    if values is None:
        return None
    return np.where(values <= _MUTE_TENTH_DB, 0.0, 10.0 ** (values / 200.0))


def color_shares(phrase: Phrase, times_sec: np.ndarray) -> dict[int, np.ndarray]:
    """Shares f64[T] of subbanks by their numbers from 0, of the curves cl01, cl02 ...: y / 100."""
    shares = {}
    for name in phrase.expressions:
        if match := _COLOR.fullmatch(name):
            values = values_of(phrase, name, times_sec)
            assert values is not None
            shares[int(match.group(1)) - 1] = values / 100.0
    return shares


def is_color(name: str) -> bool:
    """Whether it is a share of a subbank, as cl01."""
    return _COLOR.fullmatch(name) is not None


def of_curves(names: Sequence[str]) -> set[str]:
    """The expressions that are added to these curves."""
    return {_OFFSETS[name][0] for name in names}
