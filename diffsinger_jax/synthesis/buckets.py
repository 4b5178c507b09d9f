"""Pieces of any length -> a few static shapes, so that a song compiles little."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from diffsinger_jax.pipeline.plan import Bucket

FRAMES_PER_PHONEME = 4
"""A bucket of T frames has room for T / 4 phonemes; a denser piece goes into a longer bucket."""
_SHORTEST, _GROWTH, _ROUND_TO = 256, 1.5, 64


def bucket_frames(frames: int, phonemes: int) -> int:
    """T of the smallest bucket that takes a piece: 256 x 1.5^i, rounded up to 64s."""
    needed = max(frames, phonemes * FRAMES_PER_PHONEME)
    edge = float(_SHORTEST)
    while (rounded := -(-int(edge) // _ROUND_TO) * _ROUND_TO) < needed:
        edge *= _GROWTH
    return rounded


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
