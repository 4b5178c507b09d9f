"""Random keys of pieces and their phrases, whatever batch they are in."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np

from diffsinger_jax.voices.trace_cache import TraceCache


def row_keys(seed: int, indices: Sequence[int], rows: int) -> tuple[jax.Array, jax.Array]:
    """Keys [B] for mel and noise, from each piece's number, so that batching changes no number."""
    numbers = np.zeros(rows, np.uint32)  # rows of padding: any will do
    numbers[: len(indices)] = indices
    return _pairs(np.uint32(seed % 2**32), numbers)


def _pairs_of_keys(seed: jax.Array, numbers: jax.Array) -> tuple[jax.Array, jax.Array]:
    def pair(number: jax.Array) -> tuple[jax.Array, jax.Array]:
        mel_key, noise_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), number))
        return mel_key, noise_key

    return jax.vmap(pair)(numbers)


_pairs = TraceCache(_pairs_of_keys)
