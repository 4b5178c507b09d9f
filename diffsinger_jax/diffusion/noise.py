"""Standard normal noise that belongs to a row, a time and a temperature."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

NoiseAt = Callable[[jax.Array], jax.Array]
"""t [] -> the standard normal noise [B, T, D] that is drawn on leaving time t."""


def row_noise(keys: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Standard normal noise [B, T, D], each row from its own key.

    A row depends neither on the other rows nor on how far it is padded, since the generator
    counts elements from the front.

    Args:
      keys: [B] random keys.
      shape: (B, T, D).
    """
    return jax.vmap(lambda key: jax.random.normal(key, shape[1:]))(keys)


def time_number(t: jax.Array) -> jax.Array:
    """What is folded into a key for time t: a whole time itself, the bits of another; i32[].

    The start at t draws from the number after it, which no time of the same sampler has.
    """
    if jnp.issubdtype(t.dtype, jnp.integer):
        return t
    return jax.lax.bitcast_convert_type(t, jnp.int32)


def key_noise(
    keys: jax.Array, shape: tuple[int, ...], temperature: jax.Array | float = 1.0
) -> NoiseAt:
    """Noise of time t from `fold_in(key, time_number(t))` of each row's key."""

    def noise_at(t: jax.Array) -> jax.Array:
        number = time_number(jnp.asarray(t))
        row_keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, number)
        return temperature * row_noise(row_keys, shape)

    return noise_at
