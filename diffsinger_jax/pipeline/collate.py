"""Examples -> one padded batch. Singing needs this too, so it stands apart from the readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from diffsinger_jax.features import FEATURES, empty_batch, neutral_value
from diffsinger_jax.pipeline.plan import Bucket
from diffsinger_jax.types import Batch

Example = Mapping[str, Any]
"""One piece of a song, unpadded: its name and the rows of `FEATURES` that are not derived, as
tokens i32[N], f0 f32[T], mel f32[T, M]; sum(ph_frames) = T."""


def mel_to_phoneme(ph_frames: np.ndarray) -> np.ndarray:
    """i32[T] 1-based number of each frame's phoneme, from i32[N] durations in frames."""
    return np.repeat(np.arange(1, len(ph_frames) + 1, dtype=np.int32), ph_frames)


def collate(
    examples: Sequence[Example | None], bucket: Bucket, n_mels: int, curves: Sequence[str] = ()
) -> Batch:
    """Puts examples into one padded batch of the bucket's shape.

    Args:
      examples: of at most `bucket.rows`; None, and what is missing at the end, is a row of
        padding. An example without "f0" or "mel" leaves them 0, one without "ph_frames" has no
        frames: what a voice predicts from comes this way.
      n_mels: M.
      curves: names of the optional features that the batch shall have; an example without one
        has its neutral value.

    Returns:
      Everything 0 and `mask` False where there is padding; a row of padding is all padding.

    Raises:
      InputError: for an example without a curve that has no neutral value.
    """
    rows, frames, phonemes = bucket
    batch = empty_batch(rows=rows, frames=frames, phonemes=phonemes, mel_bins=n_mels, curves=curves)
    arrays = {**batch._asdict(), **batch.curves}
    for row, example in enumerate(examples):
        if example is None:
            continue
        mel2ph = mel_to_phoneme(example.get("ph_frames", np.zeros(0, np.int32)))
        derived = {"mel2ph": mel2ph, "mask": np.ones(len(mel2ph), bool)}
        for name in curves:
            if name not in example:
                value = neutral_value(name, str(example.get("name", "an example")))
                per_frame = FEATURES[name].axis == "frame"
                derived[name] = np.full(len(mel2ph), value) if per_frame else np.asarray(value)
        for name, values in {**example, **derived}.items():
            if name not in FEATURES or name not in arrays:
                continue  # its name, and curves that nobody asked for
            if np.ndim(values):
                arrays[name][row, : len(values)] = values
            else:
                arrays[name][row] = values
    return batch
