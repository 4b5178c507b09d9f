"""The denoiser's dilated convolution over three frames, with half the multiplications on CPUs."""

from __future__ import annotations

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.modules.layers import Dtype, kaiming_normal, matmul

OUTPUTS = 4
"""Of one tile of `winograd`, from six inputs."""


def im2col(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
    """The three taps beside each other in one matmul, which is what accelerators like.

    Args:
      x: [B, T, C]; zeros stand before and after it.
      kernel: [3, C, D].
      dilation: frames between taps.

    Returns:
      [B, T, D].
    """
    frames = x.shape[1]
    padded = jnp.pad(x, ((0, 0), (dilation, dilation), (0, 0)))
    taps = [padded[:, i * dilation : i * dilation + frames] for i in range(3)]
    return matmul(jnp.concatenate(taps, axis=-1), kernel.reshape(-1, kernel.shape[-1]))


def winograd(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
    """The same by Winograd's F(4, 3): six multiplications where the taps take twelve.

    Outputs 0, d, 2d, 3d of a tile depend on inputs -d, 0, ... 4d. Both sides are polynomials that
    are multiplied at the points 0, 1, -1, 2, -2 and infinity (Lavin and Gray 2016, section 4.3);
    all else is a few additions. In float32 the error is a few units of the last place; in bfloat16
    it would be visible.

    Args:
      x: [B, T, C]; zeros stand before and after it.
      kernel: [3, C, D].
      dilation: d, frames between taps.

    Returns:
      [B, T, D].
    """
    rows, frames, channels = x.shape
    d, features = dilation, kernel.shape[-1]
    tiles = -(-frames // (OUTPUTS * d))
    behind = (tiles + 1) * OUTPUTS * d - d - frames
    padded = jnp.pad(x, ((0, 0), (d, behind), (0, 0)))
    padded = padded.reshape(rows, tiles + 1, OUTPUTS, d, channels)
    # Split, not indexed: the gradient of an index is an array of the whole's size.
    columns = [x.squeeze(2) for x in jnp.split(padded, OUTPUTS, axis=2)]
    x0, x1, x2, x3 = (x[:, :-1] for x in columns)  # [B, tiles, d, C] each
    x4, x5 = columns[0][:, 1:], columns[1][:, 1:]
    before, here, after = kernel
    even, odd = before + after, here
    even_2, odd_2 = before + 4.0 * after, 2.0 * here

    at_points = (
        (4.0 * x0 - 5.0 * x2 + x4, before / 4.0),
        (-4.0 * (x1 + x2) + x3 + x4, (even + odd) / -6.0),
        (4.0 * (x1 - x2) - x3 + x4, (even - odd) / -6.0),
        (2.0 * (x3 - x1) - x2 + x4, (even_2 + odd_2) / 24.0),
        (2.0 * (x1 - x3) - x2 + x4, (even_2 - odd_2) / 24.0),
        (4.0 * x1 - 5.0 * x3 + x5, after),
    )
    zero, one, minus_one, two, minus_two, infinity = (
        matmul(values, taps)  # [B, tiles, d, D]
        for values, taps in at_points
    )
    sum_1, difference_1 = one + minus_one, one - minus_one
    sum_2, difference_2 = two + minus_two, two - minus_two
    outputs = (
        zero + sum_1 + sum_2,
        difference_1 + 2.0 * difference_2,
        sum_1 + 4.0 * sum_2,
        difference_1 + 8.0 * difference_2 + infinity,
    )
    return jnp.stack(outputs, axis=2).reshape(rows, -1, features)[:, :frames]


def convolve(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
    """`winograd` on CPUs and `im2col` elsewhere: by where the program runs, not who traces it.

    Multiplications are what a CPU's time goes into; elsewhere it is memory. In bfloat16 rounding
    forbids it.

    Args:
      x: [B, T, C]; zeros stand before and after it.
      kernel: [3, C, D].
      dilation: frames between taps.

    Returns:
      [B, T, D].
    """
    if x.dtype != jnp.float32:
        return im2col(x, kernel, dilation)
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=functools.partial(winograd, dilation=dilation),
        default=functools.partial(im2col, dilation=dilation),
    )


class DilatedConv(nn.Module):
    """A convolution over three frames `dilation` apart, zeros outside, length kept.

    Attributes:
      features: D, output channels.
      dilation: distance between taps, in frames.
    """

    features: int
    dilation: int = 1
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, T, C] -> [B, T, D]."""
        kernel = self.param("kernel", kaiming_normal, (3, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        y = convolve(x.astype(self.dtype), kernel.astype(self.dtype), self.dilation)
        return y + bias.astype(self.dtype)[None, None, :]
