"""Which examples are in which batch: a pure function of seed, step and lengths, on every host."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from diffsinger_jax.errors import InputError

PADDING_ROW = -1
"""In the place of an example's index: a row of padding, mask all False."""


class Bucket(NamedTuple):
    """One static shape; one compile of a jitted step.

    Attributes:
      rows: B over all hosts.
      frames: T, the longest example it takes.
      phonemes: N, at least that of the example with most phonemes that falls into it.
    """

    rows: int
    frames: int
    phonemes: int


class PlannedBatch(NamedTuple):
    """One batch: its shape and who is in it.

    Attributes:
      bucket: its shape; `rows` is the length of `indices`.
      indices: i64[rows] of the split's examples, `PADDING_ROW` where there is none.
    """

    bucket: Bucket
    indices: np.ndarray


class Shares(NamedTuple):
    """How much of each corpus an epoch takes, where several are mixed.

    Attributes:
      part: i32[n] the corpus of each example.
      weights: of each corpus, > 0: an epoch takes so many times its examples.
    """

    part: np.ndarray
    weights: tuple[Fraction, ...]


def default_bucket_edges(lengths: np.ndarray, count: int = 6, *, round_to: int = 32) -> list[int]:
    """At most `count` edges, multiples of `round_to` frames, with the least padding in all.

    Exact, by dynamic programming over the distinct rounded lengths: the padding of a bucket from
    a to b is the sum over its examples of (b - length).

    Args:
      lengths: i32[n] frames, > 0.
    """
    rounded = -(-np.asarray(lengths, np.int64) // round_to) * round_to
    edges, counts = np.unique(rounded, return_counts=True)
    below = np.concatenate([[0], np.cumsum(counts)])  # examples up to edge i, exclusive
    # cost[j]: least padded frames for the examples up to edges[j - 1], with the buckets so far.
    cost = np.full(len(edges) + 1, np.inf)
    cost[0] = 0.0
    choices = []
    for _ in range(min(count, len(edges))):
        # via[i, j]: buckets end at edge i, then one more from there to edge j.
        via = cost[:-1, None] + (below[None, 1:] - below[:-1, None]) * edges[None, :]
        via[np.tril_indices(len(edges), -1)] = np.inf
        choices.append(np.argmin(via, axis=0))
        cost = np.concatenate([[np.inf], np.min(via, axis=0)])
    chosen, end = [], len(edges)
    for choice in reversed(choices):
        chosen.append(int(edges[end - 1]))
        end = int(choice[end - 1])
    return sorted(chosen)


def make_buckets(
    frames: np.ndarray,
    phonemes: np.ndarray,
    *,
    bucket_edges: Sequence[int],
    frames_per_batch: int,
    names: Sequence[str] | None = None,
) -> tuple[Bucket, ...]:
    """The static shapes of a corpus: those of the edges into which an example falls.

    Rows are frames_per_batch // edge and at least one, but no more than there are examples in the
    bucket; phonemes are the largest number among them, up to a multiple of 8.

    Args:
      frames: i32[n] of every example.
      phonemes: i32[n].
      bucket_edges: frames, in any order.
      names: of the examples, for the error.

    Raises:
      InputError: for an example that is longer than the last edge.
    """
    frames, phonemes = np.asarray(frames), np.asarray(phonemes)
    edges = np.unique(np.asarray(bucket_edges, np.int64))
    longest = int(np.argmax(frames))
    if frames[longest] > edges[-1]:
        name = names[longest] if names is not None else f"number {longest}"
        raise InputError(
            f"the example {name} has {frames[longest]} frames, more than the last bucket edge "
            f"{edges[-1]}; raise the edge or prepare the corpus with shorter pieces"
        )
    place = np.searchsorted(edges, frames)
    buckets = []
    for i, edge in enumerate(edges):
        inside = phonemes[place == i]
        if len(inside):
            rows = max(1, min(frames_per_batch // int(edge), len(inside)))
            most_phonemes = -(-int(inside.max()) // 8) * 8
            buckets.append(Bucket(rows, int(edge), most_phonemes))
    return tuple(buckets)


def batches_per_epoch(
    frames: np.ndarray, buckets: Sequence[Bucket], shares: Shares | None = None, epoch: int = 0
) -> int:
    """Number of batches; without shares the same in every epoch."""
    return sum(
        -(-sum(stop - start for start, stop in _stretches(members, shares, epoch)) // bucket.rows)
        for bucket, members in zip(buckets, _members(frames, buckets), strict=True)
    )


def plan_epoch(
    frames: np.ndarray,
    buckets: Sequence[Bucket],
    *,
    seed: int | None,
    epoch: int = 0,
    shares: Shares | None = None,
) -> list[PlannedBatch]:
    """All batches of one epoch, every example exactly once, or as often as its share says.

    Within a bucket the examples are shuffled and cut into batches, the last one filled up with
    `PADDING_ROW`; then the batches of all buckets are shuffled.

    With shares, the n examples that a corpus has in a bucket are an endless sequence: all of them
    in a random order, then again in the same one, and so on. Epoch e takes the places from
    floor(n w e) to floor(n w (e + 1)), w the corpus's weight: with w = 0.5 each example every
    other epoch, with w = 2 each twice in every epoch, with w = 1 each once.

    Args:
      frames: i32[n] of every example.
      buckets: by `make_buckets`.
      seed: None leaves everything in the order of the buckets and examples (for evaluation).
    """
    planned = []
    for number, (bucket, members) in enumerate(
        zip(buckets, _members(frames, buckets), strict=True)
    ):
        if seed is not None:
            if shares is not None:
                members = _from_sequences(members, shares, seed, epoch, number)
            # A stream per bucket: what falls into one bucket leaves the order of others alone.
            members = np.random.default_rng([seed, epoch, number]).permutation(members)
        filled = np.full(-(-len(members) // bucket.rows) * bucket.rows, PADDING_ROW, np.int64)
        filled[: len(members)] = members
        planned += [PlannedBatch(bucket, row) for row in filled.reshape(-1, bucket.rows)]
    if seed is None:
        return planned
    order = np.random.default_rng([seed, epoch, len(buckets)]).permutation(len(planned))
    return [planned[i] for i in order]


class BatchPlan:
    """The endless list of batches of a training run: `plan[step]`, from any step at once.

    `step` alone says where training stands: epochs follow each other, and how many batches each
    has follows from the lengths and shares, in rounds of as many epochs as the denominators of
    the weights have as their least common multiple (1 without shares).
    """

    def __init__(
        self,
        frames: np.ndarray,
        buckets: Sequence[Bucket],
        *,
        seed: int,
        shares: Shares | None = None,
    ):
        """Of a run.

        Args:
          frames: i32[n] of every example.
          buckets: the shapes, by `make_buckets`.
          seed: the run's.
          shares: where corpora are mixed by weight.
        """
        self.buckets = tuple(buckets)
        weights = shares.weights if shares is not None else (Fraction(1),)
        epochs = range(math.lcm(*(weight.denominator for weight in weights)))
        lengths = [batches_per_epoch(frames, self.buckets, shares, epoch) for epoch in epochs]
        self._ends = np.cumsum(lengths)  # of the epochs of one round
        self.batches_per_epoch = -(-int(self._ends[-1]) // len(epochs))
        # Two epochs: reader threads around the end of one ask for both.
        self._epoch = functools.lru_cache(maxsize=2)(
            lambda epoch: plan_epoch(frames, self.buckets, seed=seed, epoch=epoch, shares=shares)
        )

    def __getitem__(self, step: int) -> PlannedBatch:
        """The batch of a step, counted from 0."""
        turn, rest = divmod(int(step), int(self._ends[-1]))
        within = int(np.searchsorted(self._ends, rest, side="right"))
        start = int(self._ends[within - 1]) if within else 0
        return self._epoch(turn * len(self._ends) + within)[rest - start]


def host_slice(batch: PlannedBatch, host_index: int, host_count: int) -> PlannedBatch:
    """The rows of one host: equal contiguous parts, as a `("data",)` sharding lays them out."""
    rows, rest = divmod(batch.bucket.rows, host_count)
    if rest:
        raise InputError(
            f"a batch of {batch.bucket.rows} rows does not divide among {host_count} hosts; "
            "fill it up with rows of padding to a multiple of their number"
        )
    part = slice(host_index * rows, (host_index + 1) * rows)
    return PlannedBatch(batch.bucket._replace(rows=rows), batch.indices[part])


def _stretches(members: np.ndarray, shares: Shares | None, epoch: int) -> list[tuple[int, int]]:
    """From where to where an epoch takes each corpus's sequence in a bucket."""
    if shares is None:
        return [(0, len(members))]
    counts = np.bincount(shares.part[members], minlength=len(shares.weights)).tolist()
    return [
        (math.floor(count * weight * epoch), math.floor(count * weight * (epoch + 1)))
        for count, weight in zip(counts, shares.weights, strict=True)
    ]


def _from_sequences(
    members: np.ndarray, shares: Shares, seed: int, epoch: int, bucket: int
) -> np.ndarray:
    """What an epoch takes of the examples of a bucket, see `plan_epoch`."""
    taken = [members[:0]]
    for part, (start, stop) in enumerate(_stretches(members, shares, epoch)):
        # The 1 keeps the stream's name apart from those of `plan_epoch`.
        stream = np.random.default_rng([seed, bucket, part, 1])
        order = stream.permutation(members[shares.part[members] == part])
        taken.append(order[np.arange(start, stop) % max(len(order), 1)])
    return np.concatenate(taken)


def _members(frames: np.ndarray, buckets: Sequence[Bucket]) -> list[np.ndarray]:
    place = np.searchsorted([bucket.frames for bucket in buckets], frames)
    if np.any(place == len(buckets)):
        raise InputError(
            f"an example of {np.max(frames)} frames fits into none of the buckets of "
            f"{[bucket.frames for bucket in buckets]} frames; make them with its length among them"
        )
    return [np.flatnonzero(place == i) for i in range(len(buckets))]
