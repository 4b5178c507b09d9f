"""A ConvNeXt over frames (Liu et al. 2022, "A ConvNet for the 2020s"), as an auxiliary decoder."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.modules.layers import (
    Conv1D,
    DepthwiseConv,
    Dtype,
    Linear,
    masked,
    torch_uniform,
)

DEPTHWISE_TAPS = 7
"""Of the blocks' convolutions, whatever the kernel size of the first and the last layer."""
BLOCK_NORM_EPSILON = 1e-6
INITIAL_GAMMA = 1e-6


class ConvNeXtBlock(nn.Module):
    """x + gamma out(gelu(in(norm(depthwise(x))))).

    Attributes:
      dropout: rate, of what is added to x.
    """

    dropout: float
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array, *, train: bool) -> jax.Array:
        """x [B, T, C], mask bool[B, T] -> [B, T, C]."""
        channels = x.shape[-1]
        kwargs: dict[str, Any] = {"kernel_init": torch_uniform, "dtype": self.dtype}

        h = DepthwiseConv(DEPTHWISE_TAPS, dtype=self.dtype, name="depthwise")(masked(x, mask))
        h = nn.LayerNorm(BLOCK_NORM_EPSILON, name="norm")(h)
        h = nn.gelu(Linear(4 * channels, **kwargs, name="in")(h), approximate=False)
        h = Linear(channels, **kwargs, name="out")(h)
        gamma = self.param("gamma", nn.initializers.constant(INITIAL_GAMMA), (channels,))
        return x + nn.Dropout(self.dropout, deterministic=not train)(h * gamma[None, None, :])


class ConvNeXtDecoder(nn.Module):
    """From the condition to a mel.

    Attributes:
      mel_bins: M.
      channels: C.
      layers: number of blocks.
      kernel_size: of the first and the last convolution, odd.
      dropout: rate, in training only.
      unmasked_convs: whether convolutions see what layers make of padding.
    """

    mel_bins: int
    channels: int = 512
    layers: int = 6
    kernel_size: int = 7
    dropout: float = 0.1
    unmasked_convs: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, cond: jax.Array, mask: jax.Array, *, train: bool) -> jax.Array:
        """cond [B, T, H], mask bool[B, T] -> z f32[B, T, M], zero on padding that is not seen."""
        kwargs: dict[str, Any] = {"kernel_init": torch_uniform, "dtype": self.dtype}
        mask = jnp.ones_like(mask) if self.unmasked_convs else mask
        x = Conv1D(self.channels, self.kernel_size, **kwargs, name="in")(masked(cond, mask))
        for i in range(self.layers):
            block = ConvNeXtBlock(self.dropout, dtype=self.dtype, name=f"block_{i}")
            x = block(x, mask, train=train)
        x = Conv1D(self.mel_bins, self.kernel_size, **kwargs, name="out")(masked(x, mask))
        return masked(x.astype(jnp.float32), mask)
