"""Examples of a prepared corpus -> padded batches, read ahead by Grain's threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import grain
import numpy as np

from diffsinger_jax.pipeline.plan import (
    PADDING_ROW,
    BatchPlan,
    Bucket,
    PlannedBatch,
    host_slice,
    plan_epoch,
)
from diffsinger_jax.pipeline.prepared import Example, PreparedCorpus
from diffsinger_jax.types import Batch

_ENDLESS = 2**40  # steps; Grain wants to know how many there are


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


def train_batches(
    corpus: PreparedCorpus,
    split: str,
    plan: BatchPlan,
    *,
    start_step: int = 0,
    host_index: int = 0,
    host_count: int = 1,
    read_threads: int = 4,
    batches_ahead: int = 4,
) -> Iterator[Batch]:
    """This host's rows of the batches of a plan, without end.

    Args:
      plan: over the lengths of this split.
      start_step: the first batch is `plan[start_step]`, whoever read those before it.
      read_threads, batches_ahead: how Grain reads; they change no number.

    Returns:
      An iterator of batches [rows / host_count, T_bucket], numpy.
    """
    source = corpus.source(split)

    def load(step: int) -> Batch:
        return _load(source, host_slice(plan[step], host_index, host_count), corpus)

    dataset = grain.MapDataset.range(start_step, _ENDLESS).map(load)
    options = grain.ReadOptions(num_threads=read_threads, prefetch_buffer_size=batches_ahead)
    return iter(dataset.to_iter_dataset(options))


def eval_batches(
    corpus: PreparedCorpus,
    split: str,
    buckets: Sequence[Bucket],
    *,
    host_index: int = 0,
    host_count: int = 1,
) -> Iterator[Batch]:
    """This host's rows of every example of a split once, in a fixed order."""
    source = corpus.source(split)
    for planned in plan_epoch(corpus.lengths(split).frames, buckets, seed=None):
        yield _load(source, host_slice(planned, host_index, host_count), corpus)


def _load(source: Sequence[Example], planned: PlannedBatch, corpus: PreparedCorpus) -> Batch:
    examples = [None if i == PADDING_ROW else source[int(i)] for i in planned.indices]
    return collate(examples, planned.bucket, corpus.info.mel.n_mels)
