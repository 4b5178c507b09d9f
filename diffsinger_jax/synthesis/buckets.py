"""Pieces of any length -> a few static shapes, so that a song compiles little."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from diffsinger_jax.pipeline.plan import Bucket

FRAMES_PER_PHONEME = 4
"""A bucket of T frames has room for T / 4 phonemes; a denser piece goes into a longer bucket."""
SHORTEST_FRAMES = 368
"""Doubled again and again: seconds to compile and load each shape weigh more than its padding. At
93.75 frames in a second this suits pieces of 12 s and of 30 s, with the silences around them."""


def bucket_frames(frames: int, phonemes: int) -> int:
    """T of the smallest bucket that takes a piece: 368 x 2^i."""
    needed = max(frames, phonemes * FRAMES_PER_PHONEME)
    edge = SHORTEST_FRAMES
    while edge < needed:
        edge *= 2
    return edge


def all_buckets(longest_frames: int, frames_per_batch: int) -> list[Bucket]:
    """Every shape that `pack` gives to pieces of up to `longest_frames`."""
    buckets, frames = [], SHORTEST_FRAMES
    while True:
        rows = 1
        while rows == 1 or rows * frames <= frames_per_batch:
            buckets.append(Bucket(rows, frames, frames // FRAMES_PER_PHONEME))
            rows *= 2
        if frames >= longest_frames:
            return buckets
        frames *= 2


def windows(sizes: Sequence[tuple[int, int]], frames_per_batch: int) -> Iterator[range]:
    """Shares pieces out, in their order, to stretches that are sung one after the other.

    Args:
      sizes: (frames, phonemes) of each piece.
      frames_per_batch: the buckets of a stretch together stay below it; the first piece is sung
        alone, so that it is heard soon, and so is a long one.
    """
    first, total = 0, 0
    for index, size in enumerate(sizes):
        frames = bucket_frames(*size)
        if index > first and (first == 0 or total + frames > frames_per_batch):
            yield range(first, index)
            first, total = index, 0
        total += frames
    if sizes:
        yield range(first, len(sizes))


def pack(
    sizes: Sequence[tuple[int, int]], frames_per_batch: int
) -> Iterator[tuple[list[int], Bucket]]:
    """Shares pieces out to batches, the shortest buckets first.

    Args:
      sizes: (frames, phonemes) of each piece.
      frames_per_batch: rows x frames of a batch stay below it, but for a long piece alone.

    Returns:
      (indices of pieces, shape of their batch): no more indices than rows, one shape per T.
    """
    by_frames: dict[int, list[int]] = {}
    for index, (frames, phonemes) in enumerate(sizes):
        by_frames.setdefault(bucket_frames(frames, phonemes), []).append(index)
    for frames, indices in sorted(by_frames.items()):
        # A power of two, so that songs of different lengths meet the same few shapes.
        rows = 1
        while 2 * rows * frames <= frames_per_batch and rows < len(indices):
            rows *= 2
        bucket = Bucket(rows, frames, frames // FRAMES_PER_PHONEME)
        for first in range(0, len(indices), rows):
            yield indices[first : first + rows], bucket
