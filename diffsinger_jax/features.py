"""The arrays a model is shown, one row of a table each; whatever handles them reads the table.

Shards, batches, shapes to compile for, checks, the inputs of a sampled voice and of an exported
program are made from `FEATURES`. The core rows are the fields of `types.Batch`. An optional row is
an entry of `Batch.curves` for those models that declare its name in their `curves`; a corpus holds
it where it was prepared with it. To add a curve, add its row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from diffsinger_jax.errors import InputError
from diffsinger_jax.types import Batch, MelSpec

Extractor = Callable[[np.ndarray, np.ndarray, MelSpec], np.ndarray]
"""(wav f32[L] at the spec's rate, f0 f32[T] Hz with 0 unvoiced, spec) -> the curve f32[T]."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Feature:
    """One array. Padding is 0 (False) in all of them.

    Attributes:
      axis: what it has a value for: "item" [B], "phoneme" [B, N], "frame" [B, T], or every bin of
        a frame, "mel" [B, T, M].
      dtype: of the batch and, but for masks, of the shards.
      derived: True for what is made from `ph_frames` when a batch is put together; it is not kept.
      target: True for what training compares with; a voice sings without it.
      optional: True for an entry of `Batch.curves`.
      neutral: value of an optional feature where a corpus or a score does not give it; None where
        nothing can stand in for it.
      extract: makes an optional feature of a recording when a corpus is prepared; None for what
        only scores give.
    """

    axis: str
    dtype: str = "float32"
    derived: bool = False
    target: bool = False
    optional: bool = False
    neutral: float | None = None
    extract: Extractor | None = None

    def shape(self, rows: int, frames: int, phonemes: int, mel_bins: int) -> tuple[int, ...]:
        """In a batch."""
        return (rows, *{
            "item": (),
            "phoneme": (phonemes,),
            "frame": (frames,),
            "mel": (frames, mel_bins),
        }[self.axis])  # fmt: skip


def _control_curve(name: str) -> Feature:
    """One of `audio.curves.CURVES`."""

    def extract(wav: np.ndarray, f0: np.ndarray, spec: MelSpec) -> np.ndarray:
        from diffsinger_jax.audio.curves import extract_curve  # librosa, where it is used

        return extract_curve(name, wav, f0, spec)

    return Feature(axis="frame", optional=True, extract=extract)


FEATURES: dict[str, Feature] = {
    "tokens": Feature(axis="phoneme", dtype="int32"),
    "note_midi": Feature(axis="phoneme"),
    "note_sec": Feature(axis="phoneme"),
    "slur": Feature(axis="phoneme", dtype="int32"),
    "onset": Feature(axis="phoneme", dtype="int32"),
    "ph_frames": Feature(axis="phoneme", dtype="int32", target=True),
    "mel2ph": Feature(axis="frame", dtype="int32", derived=True),
    "f0": Feature(axis="frame"),
    "mel": Feature(axis="mel", target=True),
    "mask": Feature(axis="frame", dtype="bool", derived=True),
    "speaker": Feature(axis="item", dtype="int32"),
    "language": Feature(axis="phoneme", dtype="int32"),
    "energy": _control_curve("energy"),  # dB
    "breathiness": _control_curve("breathiness"),  # dB, of the aperiodic part
    "voicing": _control_curve("voicing"),  # dB, of the harmonic part
    "tension": _control_curve("tension"),  # logit of the share above the fundamental
    "key_shift": Feature(axis="frame", optional=True, neutral=0.0),  # semitones, of augmentation
    "speed": Feature(axis="frame", optional=True, neutral=1.0),  # factor, of augmentation
}
"""By name, in the order of `Batch`. What each means stands in the docstring of `types.Batch`."""


def core_names() -> list[str]:
    """The rows that every batch has: the fields of `Batch` but for `curves`."""
    return [name for name, feature in FEATURES.items() if not feature.optional]


def optional_feature(name: str) -> Feature:
    """The row of an optional feature.

    Raises:
      InputError: if there is none of this name.
    """
    if name not in FEATURES or not FEATURES[name].optional:
        known = [other for other, feature in FEATURES.items() if feature.optional]
        raise InputError(
            f"there is no curve {name!r}; the curves are {', '.join(known) or 'none'}, "
            "the rows of diffsinger_jax/features.py"
        )
    return FEATURES[name]


def extractor(name: str) -> Extractor:
    """How an optional feature is made of a recording.

    Raises:
      InputError: if there is none of this name, or no recording gives it.
    """
    extract = optional_feature(name).extract
    if extract is None:
        raise InputError(f"the curve {name!r} is given by scores, a recording has none; leave it")
    return extract


def empty_batch(
    *, rows: int, frames: int, phonemes: int, mel_bins: int, curves: Iterable[str] = ()
) -> Batch:
    """A batch that is all padding, in numpy.

    Args:
      rows, frames, phonemes, mel_bins: B, T, N and M.
      curves: names of the optional features in it.
    """

    def zeros(feature: Feature) -> np.ndarray:
        return np.zeros(feature.shape(rows, frames, phonemes, mel_bins), feature.dtype)

    core = {name: zeros(FEATURES[name]) for name in core_names()}
    return Batch(**core, curves={name: zeros(optional_feature(name)) for name in curves})


def require_columns(curves: Sequence[str], columns: Iterable[str], where: str) -> None:
    """Sees that a corpus has what a model asks for.

    Args:
      curves: names of optional features.
      columns: names of what each example of the corpus holds.
      where: the corpus, for the message.

    Raises:
      InputError: for a curve that it lacks and that has no neutral value.
    """
    columns = set(columns)
    for name in curves:
        if name not in columns and optional_feature(name).neutral is None:
            raise InputError(
                f"{where} has no curve {name!r}, which the model asks for (config.model.curves); "
                f"prepare it with --curves {name}, or take the curve out of the model"
            )


def neutral_value(name: str, where: str) -> float:
    """What stands in for an optional feature that is not given.

    Raises:
      InputError: if nothing can.
    """
    neutral = optional_feature(name).neutral
    if neutral is None:
        raise InputError(
            f"{where}: there is no curve {name!r}, which the voice asks for; "
            f"give {name} and {name}_timestep in a .ds, or choose another voice"
        )
    return neutral
