"""How optional curves enter a condition."""

from __future__ import annotations

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.modules.layers import Linear


class CurveEmbedding(nn.Module):
    """The sum of a line w c + b for each curve c, as openvpi DiffSinger embeds its variances.

    Attributes:
      curves: names, each with params of its own, so that a curve may come or go.
      hidden: H.
    """

    curves: tuple[str, ...]
    hidden: int

    @nn.compact
    def __call__(self, values: Mapping[str, jax.Array]) -> jax.Array:
        """f32[B, T] by name (f32[B] for one value in a row) -> f32[B, T, H] ([B, 1, H])."""
        embedded = jnp.zeros(())
        for name in self.curves:
            curve = values[name]
            curve = curve[:, None] if curve.ndim == 1 else curve  # [B] -> [B, 1]
            embedded += Linear(self.hidden, name=name)(curve[..., None])  # [B, T, 1] -> [B, T, H]
        return embedded
