"""FFT blocks (feed-forward transformer): the body of the encoder and of the auxiliary decoder.

Pre-norm self-attention without biases and a convolutional feed-forward layer
(FastSpeech, Ren et al. 2019, with the reference implementation's sizes).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.modules.layers import (
    GATES,
    NORM_EPSILON,
    Conv1D,
    Dtype,
    Linear,
    gated,
    masked,
)

MASKED_LOGIT = -1e30
"""Finite, so that a row without a real place is a mean and not NaN."""


ROTARY_BASE = 10_000.0
"""Wavelengths of rotary positions run from 2 pi to almost this times 2 pi."""

FEED_FORWARD_ACTIVATIONS: Mapping[str, Callable[[jax.Array], jax.Array]] = {
    "gelu": functools.partial(nn.gelu, approximate=False),
    "relu": nn.relu,
    "swish": nn.silu,
    **{gate: functools.partial(gated, gate) for gate in GATES},
}
"""Between the two layers of a feed-forward network; gated ones halve the channels."""

STYLE_MIX_CONCENTRATION = 0.2
"""Of the Beta distribution that two speakers are mixed by in training."""


def _halves(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    first, second = jnp.split(x, 2, axis=-1)
    return first, second


def _interleaved(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return x[..., 0::2], x[..., 1::2]


ROTARY_LAYOUTS: Mapping[str, tuple[Callable, Callable]] = {
    "halves": (_halves, lambda a, b: jnp.concatenate([a, b], axis=-1)),
    "interleaved": (_interleaved, lambda a, b: jnp.stack([a, b], axis=-1).reshape(_joined(a))),
}
"""Which elements of a head are turned together: how they are parted, and joined again."""


def _joined(half: jax.Array) -> tuple[int, ...]:
    return *half.shape[:-1], 2 * half.shape[-1]


def rotate(x: jax.Array, layout: str) -> jax.Array:
    """Rotary positions (Su et al. 2021, RoFormer): pairs (a, b) of place p turned by p w_j.

    (a, b) -> (a cos - b sin, b cos + a sin), w_j = 10000^(-2j / D). Places are counted from 0,
    padding too.

    Args:
      x: [B, L, heads, D], D even.
      layout: a name in `ROTARY_LAYOUTS`.

    Returns:
      [B, L, heads, D].
    """
    part, join = ROTARY_LAYOUTS[layout]
    length, width = x.shape[1], x.shape[-1]
    rates = ROTARY_BASE ** -(np.arange(0, width, 2) / width)
    if isinstance(length, int):
        angles = np.arange(length)[:, None] * rates[None, :]
        turns = np.cos(angles), np.sin(angles)
    else:  # of an exported program, known when it runs
        places = jax.lax.broadcasted_iota(jnp.float32, (length, len(rates)), 0)
        angles = places * jnp.asarray(rates, jnp.float32)[None, :]
        turns = jnp.cos(angles), jnp.sin(angles)
    cos, sin = (jnp.asarray(turn, x.dtype)[None, :, None, :] for turn in turns)
    a, b = part(x)
    return join(a * cos - b * sin, b * cos + a * sin)


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
    """Multi-head attention over real places; no biases, softmax in float32.

    Attributes:
      heads: how many.
      rotary: a name in `ROTARY_LAYOUTS`, or "none".
    """

    heads: int
    rotary: str = "none"
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        """x [B, L, H], mask bool[B, L] -> [B, L, H]."""
        batch, length, width = x.shape
        qkv = Linear(3 * width, use_bias=False, dtype=self.dtype, name="qkv")(x)
        query, key, value = jnp.split(
            qkv.reshape(batch, length, 3 * self.heads, width // self.heads), 3, axis=2
        )  # each [B, L, heads, H / heads]
        if self.rotary != "none":
            query, key = rotate(query, self.rotary), rotate(key, self.rotary)
        attended = attend(query, key, value, mask)
        return Linear(width, use_bias=False, dtype=self.dtype, name="out")(
            attended.reshape(batch, length, width)
        )


class StyleNorm(nn.Module):
    """A layer norm whose scale and shift a speaker says: norm(x) gamma(s) + beta(s).

    In training the speakers of a batch are mixed in pairs, by a share from Beta(0.2, 0.2) for each
    row, so that style and content come apart (Huang et al. 2022, GenerSpeech, section 3.2).
    """

    @nn.compact
    def __call__(self, x: jax.Array, style: jax.Array, *, train: bool) -> jax.Array:
        """x [B, L, H], style [B, L or 1, H] -> [B, L, H]."""
        width = x.shape[-1]
        if train:
            pair_key, share_key = jax.random.split(self.make_rng("dropout"))
            other = style[jax.random.permutation(pair_key, len(style))]
            concentration = STYLE_MIX_CONCENTRATION
            share = jax.random.beta(share_key, concentration, concentration, (len(style), 1, 1))
            style = share * style + (1.0 - share) * other

        def identity(key: jax.Array, shape: tuple[int], dtype: Dtype) -> jax.Array:
            return jnp.concatenate([jnp.zeros(width, dtype), jnp.ones(width, dtype)])

        affine = nn.Dense(2 * width, bias_init=identity, name="affine")(style)
        beta, gamma = jnp.split(affine, 2, axis=-1)
        normed = nn.LayerNorm(NORM_EPSILON, use_scale=False, use_bias=False)(x)
        return normed * gamma + beta


class FFTBlock(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x)), masked after each.

    Attributes:
      heads, kernel_size, expansion, dropout, activation, rotary, unmasked_convs: see `FFTStack`.
      styled: whether both norms are `StyleNorm`s.
    """

    heads: int
    kernel_size: int
    expansion: int
    dropout: float
    activation: str = "gelu"
    rotary: str = "none"
    unmasked_convs: bool = False
    styled: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, mask: jax.Array, style: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """x [B, L, H], mask bool[B, L], style [B, L or 1, H] -> [B, L, H]."""
        width = x.shape[-1]

        def drop(h: jax.Array) -> jax.Array:  # a module for each place, which draws by its name
            return nn.Dropout(self.dropout, deterministic=not train)(h)

        h = self._norm("attention_norm", x, style, train)
        h = SelfAttention(self.heads, self.rotary, dtype=self.dtype, name="attention")(h, mask)
        x = masked(x + drop(h), mask)

        h = self._norm("feed_forward_norm", x, style, train)
        h = h if self.unmasked_convs else masked(h, mask)
        h = Conv1D(
            (2 if self.activation in GATES else 1) * self.expansion * width,
            self.kernel_size,
            kernel_init=nn.initializers.lecun_uniform(),
            dtype=self.dtype,
            name="feed_forward_in",
        )(h)
        h = drop(FEED_FORWARD_ACTIVATIONS[self.activation](h * self.kernel_size**-0.5))
        h = Linear(width, dtype=self.dtype, name="feed_forward_out")(h)
        return masked(x + drop(h), mask)

    def _norm(self, name: str, x: jax.Array, style: jax.Array | None, train: bool) -> jax.Array:
        if self.styled:
            assert style is not None
            return StyleNorm(name=name)(x, style, train=train)
        return nn.LayerNorm(NORM_EPSILON, name=name)(x)


class FFTStack(nn.Module):
    """FFT blocks and a final layer norm.

    Attributes:
      layers: number of blocks.
      heads: of the attention.
      kernel_size: of the feed-forward convolution.
      expansion: width of the feed-forward layer over H.
      dropout: rate, in training only.
      activation: of the feed-forward layer, a name in `FEED_FORWARD_ACTIVATIONS`.
      rotary: of the attention, a name in `ROTARY_LAYOUTS`, or "none".
      styled: numbers of the blocks whose norms a style scales and shifts.
      unmasked_convs: whether the feed-forward convolution sees the norm's bias on padding.
    """

    layers: int
    heads: int = 2
    kernel_size: int = 9
    expansion: int = 4
    dropout: float = 0.1
    activation: str = "gelu"
    rotary: str = "none"
    styled: tuple[int, ...] = ()
    unmasked_convs: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, mask: jax.Array, style: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """x [B, L, H], mask bool[B, L], style [B, L or 1, H] -> f32[B, L, H]."""
        x = masked(nn.Dropout(self.dropout, deterministic=not train)(x), mask)
        for i in range(self.layers):
            x = FFTBlock(
                self.heads,
                self.kernel_size,
                self.expansion,
                self.dropout,
                self.activation,
                self.rotary,
                self.unmasked_convs,
                styled=i in self.styled,
                dtype=self.dtype,
                name=f"block_{i}",
            )(x, mask, style, train=train)
        return masked(nn.LayerNorm(NORM_EPSILON, name="norm")(x).astype(jnp.float32), mask)
