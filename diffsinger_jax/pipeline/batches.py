"""Batches of a corpus by a plan, read ahead by threads: Grain's, but for what is in memory."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from diffsinger_jax.pipeline.collate import Example, collate
from diffsinger_jax.pipeline.plan import (
    PADDING_ROW,
    BatchPlan,
    Bucket,
    PlannedBatch,
    host_slice,
    plan_epoch,
)
from diffsinger_jax.pipeline.prepared import Corpus
from diffsinger_jax.types import Batch

ENDLESS = 2**40
"""Steps of a run; Grain wants to know how many there are."""


def train_batches(  # long: arguments of a reader, each with a default
    corpus: Corpus,
    split: str,
    plan: BatchPlan,
    *,
    start_step: int = 0,
    host_index: int = 0,
    host_count: int = 1,
    rows_multiple: int = 1,
    read_threads: int = 4,
    batches_ahead: int = 4,
) -> Iterator[Batch]:
    """This host's rows of the batches of a plan, without end.

    Args:
      plan: over the lengths of this split.
      start_step: the first batch is `plan[start_step]`, whoever read those before it.
      host_index, host_count: which equal part of the rows.
      rows_multiple: batches are filled up with rows of padding to a multiple of it, so that their
        rows divide among hosts and devices; who is in a batch does not change.
      read_threads, batches_ahead: how it is read; they change no number.

    Returns:
      An iterator of batches [rows / host_count, T_bucket], numpy.
    """
    source = corpus.source(split)

    def load(step: int) -> Batch:
        planned = pad_rows(plan[step], rows_multiple)
        return _load(source, host_slice(planned, host_index, host_count), corpus)

    if corpus.in_memory:
        return _read_ahead(load, start_step, read_threads, batches_ahead)
    import grain  # late: what is in memory is read without it

    dataset = grain.MapDataset.range(start_step, ENDLESS).map(load)
    options = grain.ReadOptions(num_threads=read_threads, prefetch_buffer_size=batches_ahead)
    return iter(dataset.to_iter_dataset(options))


def _read_ahead(
    load: Callable[[int], Batch], start_step: int, threads: int, ahead: int
) -> Iterator[Batch]:
    """`load` of all steps in order, some of them at work before they are asked for."""
    waiting: collections.deque[Future[Batch]] = collections.deque()
    with ThreadPoolExecutor(threads) as pool:
        for step in range(start_step, ENDLESS):
            waiting.append(pool.submit(load, step))
            if len(waiting) > ahead:
                yield waiting.popleft().result()


def eval_batches(
    corpus: Corpus,
    split: str,
    buckets: Sequence[Bucket],
    *,
    host_index: int = 0,
    host_count: int = 1,
    rows_multiple: int = 1,
) -> Iterator[Batch]:
    """This host's rows of every example of a split once, in a fixed order."""
    source = corpus.source(split)
    for planned in plan_epoch(corpus.lengths(split).frames, buckets, seed=None):
        planned = pad_rows(planned, rows_multiple)
        yield _load(source, host_slice(planned, host_index, host_count), corpus)


def padded_rows(rows: int, multiple: int) -> int:
    """Up to a multiple."""
    return -(-rows // multiple) * multiple


def pad_rows(planned: PlannedBatch, multiple: int) -> PlannedBatch:
    """The same examples, then rows of padding up to a multiple."""
    rows = padded_rows(planned.bucket.rows, multiple)
    indices = np.full(rows, PADDING_ROW, np.int64)
    indices[: len(planned.indices)] = planned.indices
    return PlannedBatch(planned.bucket._replace(rows=rows), indices)


def _load(source: Sequence[Example], planned: PlannedBatch, corpus: Corpus) -> Batch:
    examples = [None if i == PADDING_ROW else source[int(i)] for i in planned.indices]
    return collate(examples, planned.bucket, corpus.info.mel.n_mels, corpus.curves)
