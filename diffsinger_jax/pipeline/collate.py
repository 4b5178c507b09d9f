"""Examples -> one padded batch. Singing needs this too, so it stands apart from the readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from diffsinger_jax.pipeline.plan import Bucket
from diffsinger_jax.types import Batch

Example = Mapping[str, np.ndarray]
"""One piece of a song: name, speaker, language, tokens, note_midi, note_sec, slur, onset,
ph_frames i32[N], f0 f32[T], mel f32[T, M]; sum(ph_frames) = T."""


def mel_to_phoneme(ph_frames: np.ndarray) -> np.ndarray:
    """i32[T] 1-based number of each frame's phoneme, from i32[N] durations in frames."""
    return np.repeat(np.arange(1, len(ph_frames) + 1, dtype=np.int32), ph_frames)


def collate(examples: Sequence[Example | None], bucket: Bucket, n_mels: int) -> Batch:
    """Puts examples into one padded batch of the bucket's shape.

    Args:
      examples: of at most `bucket.rows`; None, and what is missing at the end, is a row of
        padding. An example without "f0" or "mel" leaves them 0, one without "ph_frames" has no
        frames: what a voice predicts from comes this way.
      n_mels: M.

    Returns:
      Everything 0 and `mask` False where there is padding; a row of padding is all padding.
    """
    rows, frames, phonemes = bucket
    batch = Batch(
        tokens=np.zeros((rows, phonemes), np.int32),
        note_midi=np.zeros((rows, phonemes), np.float32),
        note_sec=np.zeros((rows, phonemes), np.float32),
        slur=np.zeros((rows, phonemes), np.int32),
        onset=np.zeros((rows, phonemes), np.int32),
        ph_frames=np.zeros((rows, phonemes), np.int32),
        mel2ph=np.zeros((rows, frames), np.int32),
        f0=np.zeros((rows, frames), np.float32),
        mel=np.zeros((rows, frames, n_mels), np.float32),
        mask=np.zeros((rows, frames), bool),
        speaker=np.zeros((rows,), np.int32),
        language=np.zeros((rows, phonemes), np.int32),
    )
    for row, example in enumerate(examples):
        if example is None:
            continue
        for field in Batch._fields:
            if field in example and field != "speaker":
                values = example[field]
                getattr(batch, field)[row, : len(values)] = values
        batch.speaker[row] = example["speaker"]
        if "ph_frames" in example:
            mel2ph = mel_to_phoneme(example["ph_frames"])
            batch.mel2ph[row, : len(mel2ph)] = mel2ph
            batch.mask[row, : len(mel2ph)] = True
    return batch
