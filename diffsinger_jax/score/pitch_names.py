"""Names of pitches: "C4", "D#3", "G3-33" (33 cents below), "rest"."""

from __future__ import annotations

import re

_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_PATTERN = re.compile(r"([A-Ga-g])([#♯b♭]*)(-?\d+)([+-]\d+)?")


def midi_of_name(name: str) -> float | None:
    """The pitch of a name, None for "rest"; of "C#4/Db4" (Opencpop) the left part counts.

    Raises:
      ValueError: if it is not a pitch's name.
    """
    if name.lower() == "rest":
        return None
    match = _PATTERN.fullmatch(name.partition("/")[0])
    if not match:
        raise ValueError(f"{name!r} is not a pitch as C4, D#3 or G3-33, nor rest")
    step, accidentals, octave, cents = match.groups()
    alter = sum(1 if c in "#♯" else -1 for c in accidentals)
    return 12.0 * (int(octave) + 1) + _STEPS[step.upper()] + alter + int(cents or 0) / 100


def name_of_midi(midi: float | None) -> str:
    """The name of a pitch, to the nearest cent; "rest" for None."""
    if midi is None:
        return "rest"
    semitone = round(midi)
    cents = round((midi - semitone) * 100)
    return f"{_NAMES[semitone % 12]}{semitone // 12 - 1}{f'{cents:+d}' if cents else ''}"
