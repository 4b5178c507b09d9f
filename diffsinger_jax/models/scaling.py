"""Log mels to the [-1, 1] that diffusion works in, and back."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct


@struct.dataclass
class MelScaling:
    """One line per bin, from a corpus's smallest and largest values.

    Attributes:
      low, high: f32[M] log mel; [low, high] becomes [-1, 1].
    """

    low: jax.Array
    high: jax.Array

    @property
    def half_range(self) -> jax.Array:
        """f32[M] log mel units in one unit of z."""
        return (self.high - self.low) / 2.0

    def scale(self, mel: jax.Array) -> jax.Array:
        """Log mel [B, T, M] -> z."""
        return (mel - self.low[None, None, :]) / self.half_range[None, None, :] - 1.0

    def unscale(self, z: jax.Array) -> jax.Array:
        """z [B, T, M] -> log mel."""
        return (jnp.asarray(z) + 1.0) * self.half_range[None, None, :] + self.low[None, None, :]
