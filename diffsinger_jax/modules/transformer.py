"""FFT blocks (feed-forward transformer): the body of the encoder and of the auxiliary decoder.

Pre-norm self-attention without biases and a convolutional feed-forward layer
(FastSpeech, Ren et al. 2019, with the reference implementation's sizes).
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.modules.layers import NORM_EPSILON, Conv1D, Dtype, Linear, masked

MASKED_LOGIT = -1e30
"""Finite, so that a row without a real place is a mean and not NaN."""


def attend(query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array) -> jax.Array:
    """softmax(q k / sqrt(D)) v over the real places, the softmax in float32.

    The weights' sum divides what comes out, as a reciprocal: fewer numbers than the weights
    themselves, and nothing that a compiler may round now as a quotient, now as a product, which
    `jax.nn.dot_product_attention` meets in training on one device and on several.

    Args:
      query, key, value: [B, L, heads, D].
      mask: bool[B, L].

    Returns:
      [B, L, heads, D].
    """
    logits = jnp.einsum("bqhd,bkhd->bhqk", query, key, preferred_element_type=jnp.float32)
    logits = jnp.where(mask[:, None, None, :], logits * query.shape[-1] ** -0.5, MASKED_LOGIT)
    largest = jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    weights = jnp.exp(logits - largest)  # [B, heads, q, k]
    share = 1.0 / jnp.sum(weights, axis=-1)  # [B, heads, q]
    summed = jnp.einsum("bhqk,bkhd->bqhd", weights.astype(value.dtype), value)
    return summed * share.astype(value.dtype).swapaxes(1, 2)[..., None]


class SelfAttention(nn.Module):
    """Multi-head attention over real places; no biases, softmax in float32."""

    heads: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        """x [B, L, H], mask bool[B, L] -> [B, L, H]."""
        batch, length, width = x.shape
        qkv = Linear(3 * width, use_bias=False, dtype=self.dtype, name="qkv")(x)
        query, key, value = jnp.split(
            qkv.reshape(batch, length, 3 * self.heads, width // self.heads), 3, axis=2
        )  # each [B, L, heads, H / heads]
        attended = attend(query, key, value, mask)
        return Linear(width, use_bias=False, dtype=self.dtype, name="out")(
            attended.reshape(batch, length, width)
        )


class FFTBlock(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x)), masked after each.

    With `sees_padding` the feed-forward convolution sees the norm's bias on padding.
    """

    heads: int
    kernel_size: int
    expansion: int
    dropout: float
    sees_padding: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array, *, train: bool) -> jax.Array:
        """x [B, L, H], mask bool[B, L] -> [B, L, H]."""
        width = x.shape[-1]

        h = nn.LayerNorm(NORM_EPSILON, name="attention_norm")(x)
        h = SelfAttention(self.heads, dtype=self.dtype, name="attention")(h, mask)
        x = masked(x + nn.Dropout(self.dropout, deterministic=not train)(h), mask)

        h = nn.LayerNorm(NORM_EPSILON, name="feed_forward_norm")(x)
        h = h if self.sees_padding else masked(h, mask)
        h = Conv1D(
            self.expansion * width,
            self.kernel_size,
            kernel_init=nn.initializers.lecun_uniform(),
            dtype=self.dtype,
            name="feed_forward_in",
        )(h)
        h = nn.gelu(h * self.kernel_size**-0.5, approximate=False)
        h = nn.Dropout(self.dropout, deterministic=not train)(h)
        h = Linear(width, dtype=self.dtype, name="feed_forward_out")(h)
        return masked(x + nn.Dropout(self.dropout, deterministic=not train)(h), mask)


class FFTStack(nn.Module):
    """FFT blocks and a final layer norm.

    Attributes:
      layers: number of blocks.
      heads: of the attention.
      kernel_size: of the feed-forward convolution.
      expansion: width of the feed-forward layer over H.
      dropout: rate, in training only.
      sees_padding: see `FFTBlock`.
    """

    layers: int
    heads: int = 2
    kernel_size: int = 9
    expansion: int = 4
    dropout: float = 0.1
    sees_padding: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array, *, train: bool) -> jax.Array:
        """x [B, L, H], mask bool[B, L] -> f32[B, L, H]."""
        x = masked(nn.Dropout(self.dropout, deterministic=not train)(x), mask)
        for i in range(self.layers):
            x = FFTBlock(
                self.heads,
                self.kernel_size,
                self.expansion,
                self.dropout,
                self.sees_padding,
                dtype=self.dtype,
                name=f"block_{i}",
            )(x, mask, train=train)
        return masked(nn.LayerNorm(NORM_EPSILON, name="norm")(x).astype(jnp.float32), mask)
