"""How far a phoneme has come, as a part of the condition."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.modules.layers import Linear, sinusoid, symmetric_uniform, torch_uniform
from diffsinger_jax.modules.length_regulator import expand_to_frames, frames_per_phoneme

PROGRESS_STEPS = 1000
"""Into how many parts a phoneme is divided where its progress is told."""


def phoneme_progress(mel2ph: jax.Array, phonemes: int) -> jax.Array:
    """How far each frame's phoneme has come: 1000 i / n of its frame i of n, to whole numbers.

    Args:
      mel2ph: i32[B, T], 1-based, not falling, 0 on padding.
      phonemes: N.

    Returns:
      f32[B, T] in [0, 1000), 0 on padding.
    """
    frames = frames_per_phoneme(mel2ph, phonemes)  # [B, N]
    starts = jnp.cumsum(frames, axis=1) - frames
    index = jax.lax.broadcasted_iota(jnp.int32, mel2ph.shape, 1) - expand_to_frames(starts, mel2ph)
    of_frames = jnp.maximum(expand_to_frames(frames, mel2ph), 1)
    progress = jnp.round(PROGRESS_STEPS * index / of_frames)
    return jnp.where(mel2ph > 0, progress, 0.0)


class GRU(nn.Module):
    """A gated recurrent unit over time, from a state of zeros (Cho et al. 2014), as in cuDNN.

    r, z = sigmoid(W x + U h); n = tanh(W_n x + b_n + r (U_n h + c_n)); h' = (1 - z) n + z h.
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, T, in] -> f32[B, T, features]."""
        h = self.features
        init = symmetric_uniform(h**-0.5)
        inputs = self.param("input_kernel", init, (x.shape[-1], 3 * h))
        input_bias = self.param("input_bias", init, (3 * h,))
        recurrent = self.param("recurrent_kernel", init, (h, 3 * h))
        recurrent_bias = self.param("recurrent_bias", init, (3 * h,))
        projected = x @ inputs + input_bias[None, None, :]  # all times at once

        def step(state: jax.Array, now: jax.Array) -> tuple[jax.Array, jax.Array]:
            reset_x, update_x, new_x = jnp.split(now, 3, axis=-1)
            reset_h, update_h, new_h = jnp.split(state @ recurrent + recurrent_bias[None], 3, -1)
            update = nn.sigmoid(update_x + update_h)
            new = jnp.tanh(new_x + nn.sigmoid(reset_x + reset_h) * new_h)
            state = (1.0 - update) * new + update * state
            return state, state

        start = jnp.zeros((x.shape[0], h), jnp.float32)
        _, states = jax.lax.scan(step, start, projected.swapaxes(0, 1))
        return states.swapaxes(0, 1)


class StretchEmbedding(nn.Module):
    """Adds each phoneme's progress to the condition, and then what a GRU makes of both."""

    hidden: int

    @nn.compact
    def __call__(self, cond: jax.Array, mel2ph: jax.Array, phonemes: int) -> jax.Array:
        """cond [B, T, H], mel2ph i32[B, T] of N phonemes -> f32[B, T, H]."""
        code = sinusoid(phoneme_progress(mel2ph, phonemes), self.hidden)
        code = Linear(4 * self.hidden, kernel_init=torch_uniform, name="in")(code)
        code = nn.gelu(code, approximate=False)
        cond += Linear(self.hidden, kernel_init=torch_uniform, name="out")(code)
        return cond + GRU(self.hidden, name="recurrent")(cond)
