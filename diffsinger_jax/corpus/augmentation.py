"""Pieces added to a corpus: the same, sung higher or lower, faster or slower.

As openvpi/DiffSinger adds them for the inputs `key_shift` (gender) and `speed` (velocity) of a
voice: a mel that was shifted, and is told so, teaches what formants are, one that was sped up what
consonants are.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from diffsinger_jax.audio.augmentation import augmented_frames, speed_of_hop
from diffsinger_jax.corpus.pieces import at_least_one
from diffsinger_jax.errors import InputError
from diffsinger_jax.features import FEATURES
from diffsinger_jax.pitch import f0_at
from diffsinger_jax.types import MelSpec

SHIFT_LIMIT, SPEED_LIMIT = 24.0, 4.0
"""Semitones and factors further from none than these are no singing any more."""
COLUMNS = ("key_shift", "speed")
"""The optional features of a corpus with added pieces."""


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Which pieces are added to the training split.

    Attributes:
      key_shift: range of random shifts in semitones, as (-5, 5), uniform on each side of 0; None
        for none.
      speed: range of random speeds, as (0.5, 2), uniform in their logarithm; None for none.
      key_shift_share, speed_share: of the pieces that get one added. With both ranges, the share
        a b / (1 + a) gets one that is shifted and sped up.
    """

    key_shift: tuple[float, float] | None = None
    speed: tuple[float, float] | None = None
    key_shift_share: float = 0.75
    speed_share: float = 0.75

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
          InputError: naming the one that is wrong.
        """
        for name, limits, neutral in (
            ("key_shift", (-SHIFT_LIMIT, SHIFT_LIMIT), 0.0),
            ("speed", (1.0 / SPEED_LIMIT, SPEED_LIMIT), 1.0),
        ):
            ends = getattr(self, name)
            if ends and not limits[0] <= ends[0] <= neutral <= ends[1] <= limits[1]:
                raise InputError(
                    f"the range of {name} is {ends[0]:g} to {ends[1]:g}, expected {neutral:g} "
                    f"within it, and it within {limits[0]:g} to {limits[1]:g}"
                )
            if not 0 < (share := getattr(self, f"{name}_share")) <= 1:
                raise InputError(f"{name}_share is {share:g}, expected above 0 and at most 1")

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """By the name of the feature, where it has one."""
        return {name: ends for name in COLUMNS if (ends := getattr(self, name))}

    def variants(self, name: str) -> list[tuple[float, float]]:
        """(semitones, speed) of what is added for a piece: its name alone decides."""
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
        rng = np.random.default_rng(seed)
        both = self.key_shift_share * self.speed_share / (1.0 + self.key_shift_share)
        found = []
        if self.key_shift and rng.random() < self.key_shift_share:
            found.append((_shift(rng, self.key_shift), 1.0))
        if self.speed and rng.random() < self.speed_share:
            found.append((0.0, _speed(rng, self.speed)))
        if self.key_shift and self.speed and rng.random() < both:
            found.append((_shift(rng, self.key_shift), _speed(rng, self.speed)))
        return found


def _shift(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    share = rng.uniform(-1.0, 1.0)
    return float(share * ends[1] if share >= 0 else -share * ends[0])


def _speed(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(ends))))


def as_recorded(example: Mapping[str, Any]) -> dict[str, Any]:
    """A record with `COLUMNS` that say that nothing was done to it."""
    return {**example, **_columns(len(example["f0"]), 0.0, 1.0)}


def added_examples(
    example: Mapping[str, Any],
    wav: np.ndarray,
    first: int,
    spec: MelSpec,
    augmentation: Augmentation,
) -> Iterator[dict[str, Any]]:
    """The records that are added for one.

    Notes and f0 go up with the mel and times are divided by the speed; other curves are those of
    the recording at the new times.

    Args:
      example: of `pieces.make_example`.
      wav: f32[L] of its song at the spec's rate.
      first: frame of the song at which the piece begins.
      spec: of the mel.
      augmentation: what is added.
    """
    for number, (key_shift, asked) in enumerate(augmentation.variants(example["name"]), 1):
        speed, count = speed_of_hop(spec, asked), len(example["tokens"])
        ends = np.round(np.cumsum(example["ph_frames"]) / speed)
        ph_frames = np.diff(ends, prepend=0).astype(np.int32)
        frames = int(ph_frames.sum())
        if frames < count:
            continue
        places = np.arange(frames) * speed
        midi = np.asarray(example["note_midi"])
        yield {
            **example,
            "name": f"{example['name']}+{number}",
            "ph_frames": at_least_one(ph_frames),
            "note_midi": np.where(midi > 0, midi + key_shift, midi).astype(np.float32),
            "note_sec": (np.asarray(example["note_sec"]) / speed).astype(np.float32),
            "f0": f0_at(example["f0"], places) * np.float32(2.0 ** (key_shift / 12.0)),
            "mel": augmented_frames(wav, spec, first, frames, key_shift=key_shift, speed=asked),
            **{
                name: np.interp(places, np.arange(len(curve)), curve).astype(np.float32)
                for name, curve in example.items()
                if name in FEATURES and FEATURES[name].optional
            },
            **_columns(frames, key_shift, speed),
        }


def _columns(frames: int, key_shift: float, speed: float) -> dict[str, np.ndarray]:
    values = dict(zip(COLUMNS, (key_shift, speed), strict=True))
    return {name: np.full(frames, value, np.float32) for name, value in values.items()}
