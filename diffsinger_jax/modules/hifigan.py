"""The convolutions of HiFi-GAN (Kong, Kim, Bae 2020), with PyTorch's paddings.

Weights are plain: what was trained with weight norm has it folded in.
"""

from __future__ import annotations

import functools
import operator

import flax.linen as nn
import jax
import jax.numpy as jnp

SLOPE = 0.1
"""Of leaky ReLUs on their negative side, all but the last."""
RESBLOCK_DILATIONS = {"1": 3, "2": 2}
"""How many of a config's dilations a residual block of either kind uses."""

_normal = nn.initializers.normal(0.01)


class Convolution(nn.Module):
    """A dilated convolution over time with zeros outside, (kernel - 1) dilation / 2 on each side.

    Attributes:
      features: output channels.
      kernel_size: such that (kernel_size - 1) * dilation is even.
      dilation: distance between taps.
    """

    features: int
    kernel_size: int
    dilation: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, L, in] -> [B, L, features]."""
        shape = (self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", _normal, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        reach = (self.kernel_size - 1) * self.dilation // 2
        convolved = jax.lax.conv_general_dilated(
            x,
            kernel,
            window_strides=(1,),
            padding=[(reach, reach)],
            rhs_dilation=(self.dilation,),
            dimension_numbers=("NWC", "WIO", "NWC"),
        )
        return convolved + bias[None, None]


class Upsampling(nn.Module):
    """A transposed convolution: every sample becomes `kernel_size` ones, `rate` apart, summed.

    (kernel_size - rate) // 2 are cut off at each end, so L rate samples are left, and one more if
    kernel_size - rate is odd.

    Attributes:
      features: output channels.
      kernel_size: >= rate.
      rate: factor.
    """

    features: int
    kernel_size: int
    rate: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, L, in] -> [B, L * rate (+ 1), features]."""
        batch, length, width = x.shape
        kernel = self.param("kernel", _normal, (self.kernel_size, width, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        overlap = -(-self.kernel_size // self.rate)
        taps = jnp.pad(kernel, ((0, overlap * self.rate - self.kernel_size), (0, 0), (0, 0)))
        spread = x @ taps.swapaxes(0, 1).reshape(width, -1)
        spread = spread.reshape(batch, length, overlap, self.rate * self.features)
        # Part i of every sample's taps falls on the block i after its own.
        parts = (
            jnp.pad(spread[:, :, i], ((0, 0), (i, overlap - 1 - i), (0, 0))) for i in range(overlap)
        )
        y = functools.reduce(operator.add, parts).reshape(batch, -1, self.features)
        cut = (self.kernel_size - self.rate) // 2
        end = (length - 1) * self.rate + self.kernel_size - cut
        return y[:, cut:end] + bias[None, None]


class Downsampling(nn.Module):
    """A strided convolution of one channel: windows of two strides, centred; rate 1 is pointwise.

    Attributes:
      features: output channels.
      rate: 1 or even.
    """

    features: int
    rate: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, L * rate, 1] -> [B, L, features]."""
        width = 1 if self.rate == 1 else 2 * self.rate
        kernel = self.param("kernel", _normal, (width, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        if self.rate > 1:
            half = self.rate // 2
            blocks = jnp.pad(x, ((0, 0), (half, half), (0, 0))).reshape(len(x), -1, self.rate)
            x = jnp.concatenate([blocks[:, :-1], blocks[:, 1:]], axis=-1)  # [B, L, 2 rate]
        return x @ kernel + bias[None, None]


class ResidualBlock(nn.Module):
    """x + convolution(leaky ReLU(x)), once for each dilation.

    Attributes:
      kernel_size: of all its convolutions.
      dilations: one for each step.
      kind: "1", a second convolution without dilation follows the first; "2", it does not.
    """

    kernel_size: int
    dilations: tuple[int, ...]
    kind: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, L, C] -> [B, L, C]."""
        channels = x.shape[-1]
        for i, dilation in enumerate(self.dilations):
            y = nn.leaky_relu(x, SLOPE)
            y = Convolution(channels, self.kernel_size, dilation, name=f"dilated_{i}")(y)
            if self.kind == "1":
                y = nn.leaky_relu(y, SLOPE)
                y = Convolution(channels, self.kernel_size, name=f"plain_{i}")(y)
            x = x + y
        return x
