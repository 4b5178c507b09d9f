"""Sounds at their places in a song -> its samples, given out as soon as nothing can change them."""

from __future__ import annotations

import math

import numpy as np

from diffsinger_jax.types import MelSpec

PEAK = 0.99
"""No sample is larger."""
TURN_SEC = 0.08
"""How long it takes to turn the sound down before a place that would be louder, and up again."""
EDGE_SEC = 0.01
"""The fade at the two ends of a song, where it may be cut while it sounds."""


class Mixer:
    """Adds sounds up, fades the ends of the song, and turns it down where it would be too loud.

    A sample depends on its surroundings alone, `2 * TURN_SEC` to each side: the blocks given out
    one after the other are the samples of the whole, however they were asked for.

    Example:
      mixer = Mixer(samples, spec)
      mixer.add(first, 0)
      block = mixer.settled(start_of_second)
      mixer.add(second, start_of_second)
      rest = mixer.settled()
    """

    def __init__(self, samples: int, spec: MelSpec):
        """For a song of so many samples; gains are found for every `spec.hop` of them."""
        self._samples, self._hop = samples, spec.hop
        self._blocks = -(-samples // spec.hop)
        self._edge = min(round(EDGE_SEC * spec.sample_rate), samples // 2)
        self._turn = max(2, math.ceil(TURN_SEC * spec.frames_per_sec))  # R below, in blocks
        self._given = 0  # blocks
        self._sum = np.zeros(0, np.float32)  # from block `_given` on
        self._peaks_before = np.zeros(2 * self._turn - 1)  # of the blocks before it

    def add(self, wav: np.ndarray, start: int) -> None:
        """Adds f32[L] from sample `start` on; what lies outside the song is dropped.

        Raises:
          ValueError: if it would change samples that were given out.
        """
        origin = self._given * self._hop
        first, last = max(start, 0), min(start + len(wav), self._samples)
        if first >= last:
            return
        if first < origin:
            raise ValueError(f"samples before {origin} are given out, cannot add at {first}")
        if (lacking := last - origin - len(self._sum)) > 0:
            self._sum = np.pad(self._sum, (0, lacking))
        self._sum[first - origin : last - origin] += wav[first - start : last - start]

    def settled(self, before: int | None = None) -> np.ndarray:
        """f32[L], the samples that follow those given out, as far as they are settled.

        Args:
          before: nothing more will be added before this sample; None for nothing at all.
        """
        if before is None or before >= self._samples:
            ends, closed = True, self._blocks
        else:
            ends, closed = False, max(before // self._hop, self._given)
        mixed = self._faded((closed - self._given) * self._hop)
        peaks = np.abs(mixed).reshape(-1, self._hop).max(axis=1, initial=0.0)
        around = np.concatenate([self._peaks_before, peaks])
        if ends:
            around = np.pad(around, (0, 2 * self._turn - 1))
        edges = _turned_down(around, self._turn)
        if len(edges) < 2:
            return np.zeros(0, np.float32)
        ready = len(edges) - 1
        ramp = np.arange(self._hop) / self._hop
        gain = edges[:-1, None] + ramp[None] * np.diff(edges)[:, None]  # [blocks, hop]
        block = (mixed[: ready * self._hop] * gain.reshape(-1)).astype(np.float32)
        room = self._samples - self._given * self._hop
        self._given += ready
        self._sum = self._sum[ready * self._hop :].copy()
        self._peaks_before = around[ready : ready + 2 * self._turn - 1]
        return block[:room]

    def _faded(self, length: int) -> np.ndarray:
        """f32[length] of what was added, from `_given` on, with the ends of the song faded."""
        mixed = self._sum[:length]
        mixed = np.pad(mixed, (0, length - len(mixed)))
        place = self._given * self._hop + np.arange(length)
        from_end = np.minimum(place, self._samples - 1 - place)
        return mixed * np.clip(from_end / max(self._edge - 1, 1), 0.0, 1.0).astype(np.float32)


def _turned_down(peaks: np.ndarray, turn: int) -> np.ndarray:
    """Gains at the edges of blocks that hold every block below `PEAK`.

    The gain that the loudest of R blocks to each side needs, averaged over R edges to each side:
    smooth, and for every edge within R of a block no more than that block needs.

    Args:
      peaks: f[n] of the blocks; 2 R - 1 of them come before the first edge and after the last.
      turn: R.

    Returns:
      f[n - 4 R + 3], empty if that is below 1.
    """
    if len(peaks) < 4 * turn - 2:
        return np.zeros(0)
    needed = PEAK / np.maximum(peaks, PEAK)
    lowest = np.lib.stride_tricks.sliding_window_view(needed, 2 * turn).min(axis=1)
    weights = np.hanning(2 * turn + 1)[1:-1]
    around = np.lib.stride_tricks.sliding_window_view(lowest, 2 * turn - 1)
    return around @ (weights / weights.sum())
