"""Monotonic alignment search: which frames belong to which phoneme, from likelihoods alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp

_NEVER = -1e30
"""The log likelihood of a way that there is not."""


def monotonic_alignment(
    log_likelihood: jax.Array, phoneme_mask: jax.Array, mask: jax.Array
) -> jax.Array:
    """The most likely alignment that begins with the first phoneme, ends with the last, skips none.

    Q[n, t] = max(Q[n - 1, t - 1], Q[n, t - 1]) + log_likelihood[n, t], and back from the last
    phoneme in the last frame (Kim et al. 2020, Glow-TTS, arXiv 2005.11129, algorithm 1).

    Args:
      log_likelihood: f32[B, N, T] of each frame by each phoneme.
      phoneme_mask: bool[B, N], real phonemes first.
      mask: bool[B, T], real frames first, at least as many as phonemes.

    Returns:
      i32[B, N] frames of each phoneme, at least 1 where it is real; 0 on padding.
    """
    search = jax.vmap(_align_one)
    return search(
        jnp.asarray(log_likelihood, jnp.float32), phoneme_mask.sum(axis=1), mask.sum(axis=1)
    )


def _align_one(log_likelihood: jax.Array, phonemes: jax.Array, frames: jax.Array) -> jax.Array:
    """f32[N, T] -> i32[N]."""
    count, length = log_likelihood.shape
    place = jnp.arange(count)

    def forward(before: jax.Array, column: jax.Array) -> tuple[jax.Array, jax.Array]:
        moved = jnp.concatenate([jnp.full(1, _NEVER), before[:-1]])
        came = moved > before  # from the phoneme before this one
        return jnp.maximum(moved, before) + column, came

    first = jnp.where(place == 0, log_likelihood[:, 0], _NEVER)
    _, came = jax.lax.scan(forward, first, log_likelihood[:, 1:].T)  # bool[T - 1, N]

    def backward(at: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        t, moved = step
        here = jnp.where(t < frames, at, -1)  # padding belongs to none
        steps_back = (t < frames) & (t > 0) & moved[at]
        return jnp.where(steps_back, at - 1, at), here

    moves = jnp.concatenate([jnp.zeros((1, count), bool), came])
    _, owner = jax.lax.scan(
        backward, jnp.maximum(phonemes - 1, 0), (jnp.arange(length), moves), reverse=True
    )
    return jnp.sum(owner[None, :] == place[:, None], axis=1).astype(jnp.int32)


def diagonal_log_prior(phoneme_mask: jax.Array, mask: jax.Array) -> jax.Array:
    """ln of how likely each phoneme is in each frame before anything is heard, beta-binomial.

    Phoneme n of N in frame t of T, from 0: BetaBinomial(n; N - 1, t + 1, T - t), which goes along
    the diagonal and is narrow at both ends (Shih et al. 2021, RAD-TTS; Badlani et al. 2021,
    arXiv 2108.10447).

    Args:
      phoneme_mask: bool[B, N], real phonemes first.
      mask: bool[B, T], real frames first.

    Returns:
      f32[B, N, T]; 0 on padding.
    """
    n = jnp.arange(phoneme_mask.shape[1])[None, :, None]
    t = jnp.arange(mask.shape[1])[None, None, :]
    last = phoneme_mask.sum(axis=1)[:, None, None] - 1
    frames = mask.sum(axis=1)[:, None, None]
    table = jax.scipy.special.gammaln(1.0 + jnp.arange(phoneme_mask.shape[1] + mask.shape[1]))

    def log_factorial(number: jax.Array) -> jax.Array:
        return table[jnp.maximum(number, 0)]

    choose = log_factorial(last) - log_factorial(n) - log_factorial(last - n)
    beta = log_factorial(n + t) + log_factorial(last - n + frames - 1 - t)
    beta -= log_factorial(last + frames)
    beta_before = log_factorial(t) + log_factorial(frames - 1 - t) - log_factorial(frames)
    real = phoneme_mask[:, :, None] & mask[:, None, :]
    return jnp.where(real, choose + beta - beta_before, 0.0)


def frame_log_likelihood(mean: jax.Array, log_std: jax.Array, z: jax.Array) -> jax.Array:
    """ln N(z_t; mean_n, std_n) of each frame by each phoneme, summed over channels.

    Expanded into matmuls, so that nothing of size N x T x M is made.

    Args:
      mean, log_std: f32[B, N, M].
      z: f32[B, T, M].

    Returns:
      f32[B, N, T].
    """
    precision = jnp.exp(-2.0 * log_std)
    constant = -0.5 * (jnp.log(2.0 * jnp.pi) + 2.0 * log_std + precision * mean**2).sum(axis=-1)
    squares = -0.5 * jnp.einsum("bnm,btm->bnt", precision, z**2)
    products = jnp.einsum("bnm,btm->bnt", precision * mean, z)
    return constant[:, :, None] + squares + products
