"""From phonemes to frames."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def expand_to_frames(x: jax.Array, mel2ph: jax.Array) -> jax.Array:
    """Repeats each phoneme's vector over its frames (FastSpeech's length regulator, as a gather).

    Args:
      x: [B, N, H] or [B, N].
      mel2ph: i32[B, T], 1-based phoneme of each frame, 0 on padding, which reads as zero.

    Returns:
      [B, T, H] or [B, T].
    """
    padding = [(0, 0)] * x.ndim
    padding[1] = (1, 0)
    with_pad_row = jnp.pad(x, padding)  # [B, 1 + N, ...]
    index = mel2ph.reshape(mel2ph.shape + (1,) * (x.ndim - 2))
    return jnp.take_along_axis(with_pad_row, index, axis=1)


def frames_per_phoneme(mel2ph: jax.Array, phonemes: int) -> jax.Array:
    """How many frames each phoneme has.

    Args:
      mel2ph: i32[B, T], 1-based phoneme of each frame, 0 on padding.
      phonemes: N.

    Returns:
      i32[B, N].
    """
    number = 1 + jax.lax.broadcasted_iota(jnp.int32, (1, 1, phonemes), 2)
    member = mel2ph[:, :, None] == number  # [B, T, N]
    return jnp.sum(member, axis=1, dtype=jnp.int32)


def phoneme_of_frames(ph_frames: jax.Array, mask: jax.Array) -> jax.Array:
    """The phoneme of each frame, of durations.

    Args:
      ph_frames: i32[B, N], 0 on padding.
      mask: bool[B, T], True on as many frames as they sum to.

    Returns:
      mel2ph i32[B, T], 1-based, 0 on padding.
    """
    ends = jnp.cumsum(ph_frames, axis=1)
    frame = jax.lax.broadcasted_iota(jnp.int32, (1, mask.shape[1], 1), 1)
    begun = jnp.sum(frame >= ends[:, None, :], axis=2, dtype=jnp.int32)  # [B, T]
    return jnp.where(mask, jnp.minimum(begun + 1, ph_frames.shape[1]), 0)


def phoneme_means(
    values: jax.Array, counted: jax.Array, mel2ph: jax.Array, phonemes: int
) -> tuple[jax.Array, jax.Array]:
    """The mean of each phoneme over those of its frames that count, and how many these are.

    Args:
      values: f32[B, T].
      counted: bool[B, T].
      mel2ph: i32[B, T], 1-based phoneme of each frame, 0 on padding.
      phonemes: N.

    Returns:
      f32[B, N], 0 for a phoneme without such frames; and their share of its frames, f32[B, N].
    """
    number = 1 + jax.lax.broadcasted_iota(jnp.int32, (1, 1, phonemes), 2)
    member = (mel2ph[:, :, None] == number).astype(jnp.float32)  # [B, T, N]
    counts = jnp.einsum("bt,btn->bn", counted.astype(jnp.float32), member)
    sums = jnp.einsum("bt,btn->bn", jnp.where(counted, values, 0.0), member)
    frames = member.sum(axis=1)
    return sums / jnp.maximum(counts, 1.0), counts / jnp.maximum(frames, 1.0)


def segment_sum(values: jax.Array, onset: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sums over the phonemes that together fill a note: from one onset up to the next.

    Args:
      values: f32[B, N], zero on padding.
      onset: i32[B, N], 1 where a note starts.

    Returns:
      sums f32[B, N], one group after the other and zeros behind them; is_group bool[B, N].
    """
    length = values.shape[1]
    group = jnp.cumsum(onset, axis=1) - 1  # [B, N]
    member = group[:, :, None] == jnp.arange(length)[None, None, :]  # [B, N, groups]
    sums = jnp.einsum("bn,bng->bg", values, member.astype(values.dtype))
    return sums, jnp.arange(length)[None, :] < onset.sum(axis=1, keepdims=True)


def word_of(onset: jax.Array) -> jax.Array:
    """The 1-based word of each phoneme; those before the first onset are of the first word.

    Args:
      onset: i32[B, N], 1 where a word starts.

    Returns:
      i32[B, N] in 1 .. N, on padding that of the last word.
    """
    return jnp.maximum(jnp.cumsum(onset, axis=1), 1)


def word_sums(values: jax.Array, word: jax.Array) -> jax.Array:
    """Sums over the phonemes of each word.

    Args:
      values: f32[B, N], zero on padding.
      word: i32[B, N] 1-based, 0 for none.

    Returns:
      f32[B, N]: word w at w - 1, zeros behind the last.
    """
    number = 1 + jax.lax.broadcasted_iota(jnp.int32, (1, 1, values.shape[1]), 2)
    member = word[:, :, None] == number  # [B, N, words]
    return jnp.einsum("bn,bnw->bw", values, member.astype(values.dtype))


def fit_to_words(frames: jax.Array, word: jax.Array, word_frames: jax.Array) -> jax.Array:
    """The rhythm regulator: durations scaled so that they fill their words, rounded one by one.

    Rounding may miss a word's frames by some; a word without duration stays so.

    Args:
      frames: f32[B, N] predicted, >= 0, zero on padding.
      word: i32[B, N] 1-based, 0 on padding.
      word_frames: [B, W] wanted; W may be fewer than N.

    Returns:
      i32[B, N], half to even.
    """
    sums = word_sums(frames, word)[:, : word_frames.shape[1]]
    scales = word_frames.astype(jnp.float32) / jnp.maximum(sums, LEAST_WORD_FRAMES)
    return jnp.round(frames * expand_to_frames(scales, word)).astype(jnp.int32)


LEAST_WORD_FRAMES = 1e-5
"""By no less the frames of a word are divided."""
