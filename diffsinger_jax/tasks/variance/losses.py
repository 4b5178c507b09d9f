"""What the training of a variance model makes small: masked means, exact under any padding."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from diffsinger_jax.engine.metrics import Mean
from diffsinger_jax.modules.length_regulator import word_of, word_sums
from diffsinger_jax.types import Batch

DURATION_LOSSES = ("duration_phoneme", "duration_word", "duration_sentence")
"""Names of what `duration_losses` measures."""
LARGEST_LOG_FRAMES = 8.0


def duration_losses(log_frames: jax.Array, batch: Batch) -> dict[str, Mean]:
    """Squared errors of log(1 + frames): of phonemes, of words and of whole rows.

    Args:
      log_frames: f32[B, N] predicted; sums are taken of predictions from 0 on.
      batch: with `ph_frames` and `onset`, which words begin with.

    Returns:
      A `Mean` for each of `DURATION_LOSSES`.
    """
    mask, word = batch.tokens > 0, word_of(batch.onset)
    frames = jnp.asarray(batch.ph_frames).astype(jnp.float32) * mask
    predicted = jnp.expm1(jnp.clip(log_frames, 0.0, LARGEST_LOG_FRAMES)) * mask
    words, words_true = word_sums(predicted, word), word_sums(frames, word)
    is_word = jnp.arange(word.shape[1])[None, :] < jnp.where(mask, word, 0).max(1, keepdims=True)
    whole, whole_true = words.sum(axis=1), words_true.sum(axis=1)

    def error(ours: jax.Array, theirs: jax.Array) -> jax.Array:
        return (jnp.log1p(ours) - jnp.log1p(theirs)) ** 2

    return {
        "duration_phoneme": Mean.of((log_frames - jnp.log1p(frames)) ** 2, mask),
        "duration_word": Mean.of(error(words, words_true), is_word),
        "duration_sentence": Mean.of(error(whole, whole_true), mask.any(axis=1)),
    }
