"""The flags of how a voice sounds over a whole score: gender, velocity, curves, speakers."""

from __future__ import annotations

import argparse
import math
from typing import Any

from diffsinger_jax.errors import InputError

SUM_TOLERANCE = 0.02
"""By so much the shares of speakers may miss 1, as thirds of two digits do."""


def add_flags(group: Any) -> None:
    """Adds them to a parser's group."""
    group.add_argument(
        "--gender",
        type=_number,
        default=0.0,
        metavar="SHARE",
        help="formants up (to 1) or down (to -1), added to the score's curve, where the voice can",
    )
    group.add_argument(
        "--velocity",
        type=_number,
        default=1.0,
        metavar="FACTOR",
        help="2 makes consonants twice as short, where the voice can",
    )
    group.add_argument(
        "--offset",
        nargs="+",
        type=_named,
        default=[],
        metavar="CURVE=VALUE",
        help="added to curves that the score gives, as energy=6 tension=1",
    )


def add_expression(group: Any) -> None:
    """Adds the flags of how predicted pitch is steered."""
    shares = {
        "expressiveness": "0 sings the notes' line, 1 as it was predicted, above 1 more of it",
        "pitch_correction": "1 moves each note's mean onto the score and keeps its movement; the "
        "voice's own unless given",
        "vibrato_depth": "2 is twice as deep, 0 takes it away",
        "vibrato_rate": "1.2 is a fifth faster",
    }
    for name, meaning in shares.items():
        default = None if name == "pitch_correction" else 1.0
        group.add_argument(
            f"--{name}", type=_number, default=default, metavar="FACTOR", help=meaning
        )
    group.add_argument(
        "--variance",
        metavar="DIR",
        help="what draws durations and pitch, or off for what the voice predicts by itself; the "
        "variance model in the voice's folder unless given, or off with --phoneme_map",
    )
    group.add_argument(
        "--pitch_seed",
        type=_seed,
        metavar="SEED",
        help="of generated pitch and curves; that of the sound unless given",
    )
    group.add_argument(
        "--breaths",
        choices=("on", "off"),
        default="on",
        help="in rests, as the voice's singer takes them, where it knows how",
    )
    group.add_argument(
        "--retake",
        metavar="WHAT",
        help='pitch drawn anew for measures or notes alone, as "measure 5-8" or "note 12, note 20"',
    )
    group.add_argument(
        "--retake_seed", type=_seed, metavar="SEED", help="of a retake; the pitch's and 1"
    )


def expression(flags: argparse.Namespace) -> Any:
    """`Expression` of the flags.

    Raises:
      InputError: for one that is out of range.
    """
    from diffsinger_jax.synthesis.expression import Expression
    from diffsinger_jax.synthesis.retakes import parse_retake

    if flags.retake is None and flags.retake_seed is not None:
        raise InputError("--retake_seed goes with --retake; say what is to be taken again")
    return Expression(
        expressiveness=flags.expressiveness,
        correction=flags.pitch_correction,
        vibrato_depth=flags.vibrato_depth,
        vibrato_rate=flags.vibrato_rate,
        seed=flags.pitch_seed,
        breaths=flags.breaths == "on",
        retake=None if flags.retake is None else parse_retake(flags.retake, flags.retake_seed),
    )


def controls(flags: argparse.Namespace) -> Any:
    """`Controls` of the flags."""
    from diffsinger_jax.synthesis.controls import Controls

    return Controls(
        gender=flags.gender,
        velocity=flags.velocity,
        offsets=dict(flags.offset),
        speakers=shares(flags.speaker),
    )


def speaker_name(flags: argparse.Namespace) -> str | None:
    """The one speaker that is asked for, if it is one."""
    return None if shares(flags.speaker) else flags.speaker


def shares(speaker: str | None) -> dict[str, float]:
    """`a:0.7|b:0.3` by name; empty for one name alone.

    Raises:
      InputError: for a share that is no number from 0 on, or shares that do not sum to 1.
    """
    if speaker is None or ":" not in speaker:
        return {}
    found = {}
    for part in speaker.split("|"):
        name, _, share = part.rpartition(":")
        try:
            found[name.strip()] = float(share)
        except ValueError:
            found[name.strip()] = math.nan
    if not all(0 <= share < math.inf for share in found.values()):
        raise InputError(f"--speaker is {speaker!r}, expected shares as alpha:0.7|beta:0.3")
    if abs((total := sum(found.values())) - 1.0) > SUM_TOLERANCE:
        raise InputError(
            f"--speaker is {speaker!r}, whose shares sum to {total:g}, expected 1, as in "
            "alpha:0.7|beta:0.3"
        )
    return found


def _number(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise argparse.ArgumentTypeError(f"{text} is not finite")
    return value


def _seed(text: str) -> int:
    if not 0 <= (value := int(text)) < 2**31:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to {2**31 - 1}")
    return value


_seed.__name__ = "whole number"


def _named(text: str) -> tuple[str, float]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text} is not of the form energy=6")
    return name, _number(value)


_number.__name__ = _named.__name__ = "number"
