"""Small layers that the larger modules share: embedding, linear, convolution, positions."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

Dtype = jnp.dtype | type

kaiming_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
"""PyTorch's `kaiming_normal_`, what the reference starts its convolutions with."""

torch_uniform = nn.initializers.variance_scaling(1.0 / 3.0, "fan_in", "uniform")
"""What PyTorch starts a layer with unless told otherwise: uniform within 1 / sqrt(fan in)."""


def symmetric_uniform(bound: float) -> nn.initializers.Initializer:
    """An initializer that draws uniformly from [-bound, bound]."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


NORM_EPSILON = 1e-5
"""Of layer norms, in the transformer and in the trunks."""

ARCTAN = (
    *(0.9999999817886541, -0.33333036709275443, 0.19991872028912389, -0.14197797792604977),
    *(0.10618370631313427, -0.07456854814158088, 0.04213762345019933, -0.015731249036827034),
    0.002766283480395766,
)
"""arctan(s) / s on [0, 1] as a polynomial of s^2, interpolated at the Chebyshev points."""


@jax.custom_jvp
def arctan(x: jax.Array) -> jax.Array:
    """The arc tangent of any array, within 2e-7; on CPUs 40 times faster than XLA's own."""
    wide = x.astype(jnp.float32)
    size = jnp.abs(wide)
    small = jnp.where(size > 1.0, 1.0 / size, size)
    powers = jnp.full_like(small, ARCTAN[-1])
    for coefficient in ARCTAN[-2::-1]:
        powers = powers * small * small + coefficient
    angle = small * powers
    angle = jnp.where(size > 1.0, np.float32(np.pi / 2) - angle, angle)
    return jnp.copysign(angle, wide).astype(x.dtype)


@arctan.defjvp
def _arctan_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (x,), (dx,) = primals, tangents
    return arctan(x), dx / (1.0 + x * x)


GATES: Mapping[str, Callable[[jax.Array], jax.Array]] = {"swiglu": nn.silu, "atanglu": arctan}
"""What a gated linear unit multiplies with, of its second half (Shazeer 2020, GLU variants)."""


def gated(gate: str, x: jax.Array) -> jax.Array:
    """[..., 2C] -> [..., C]: the first half times the gate of the second, a name in `GATES`."""
    value, other = jnp.split(x, 2, axis=-1)
    return value * GATES[gate](other)


class Embed(nn.Module):
    """A table of vectors, N(0, 1 / features) at first.

    Attributes:
      rows: number of rows, padding included.
      features: width.
      padded: whether row 0 is padding, which reads as zero.
    """

    rows: int
    features: int
    padded: bool = False

    @nn.compact
    def __call__(self, ids: jax.Array) -> jax.Array:
        """i32[...] -> f32[..., features]."""
        init = nn.initializers.normal(self.features**-0.5)
        table = self.param("embedding", init, (self.rows, self.features))
        return table[ids] * (ids > 0)[..., None] if self.padded else table[ids]


class Linear(nn.Module):
    """x W + b, computed in `dtype`, Xavier-uniform at first as in the reference."""

    features: int
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.xavier_uniform()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., in] -> [..., features]."""
        dense = nn.Dense(
            self.features,
            use_bias=self.use_bias,
            kernel_init=self.kernel_init,
            bias_init=self.bias_init,
            dtype=self.dtype,
            name="dense",
        )
        flat = dense(x.reshape(-1, x.shape[-1]))  # see `matmul`
        return flat.reshape(*x.shape[:-1], self.features)


def matmul(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x [..., C] times kernel [C, D], with all axes before C as one: [..., D].

    The kernel's gradient is then one matmul, which reads x as it lies; where it sums over several
    axes, XLA copies an operand into another order first, and on CPUs that takes as long again.
    """
    flat = x.reshape(-1, x.shape[-1]) @ kernel
    return flat.reshape(*x.shape[:-1], kernel.shape[-1])


class Conv1D(nn.Module):
    """A dilated convolution over time with zeros outside, length kept, as matmuls.

    The kernel's taps are laid side by side and multiplied at once: on CPUs this is faster than
    a convolution, forward and more so backward, and on accelerators it is what a convolution
    becomes anyway.

    Attributes:
      features: output channels.
      kernel_size: odd.
      dilation: distance between taps, in frames.
    """

    features: int
    kernel_size: int
    dilation: int = 1
    kernel_init: nn.initializers.Initializer = kaiming_normal
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, T, in] -> [B, T, features]."""
        width = x.shape[-1]
        kernel = self.param("kernel", self.kernel_init, (self.kernel_size, width, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        reach = self.kernel_size // 2 * self.dilation
        padded = jnp.pad(x.astype(self.dtype), ((0, 0), (reach, reach), (0, 0)))
        taps = [
            jax.lax.slice_in_dim(padded, i * self.dilation, i * self.dilation + x.shape[1], axis=1)
            for i in range(self.kernel_size)
        ]
        im2col = jnp.concatenate(taps, axis=-1)  # [B, T, kernel * in]
        flat = kernel.astype(self.dtype).reshape(self.kernel_size * width, self.features)
        return matmul(im2col, flat) + bias.astype(self.dtype)[None, None, :]


class DepthwiseConv(nn.Module):
    """A convolution over time for each channel alone, zeros outside, length kept.

    Written as a sum of shifted products, which compiles to one pass over x; XLA's own grouped
    convolution is far slower on CPUs.

    Attributes:
      kernel_size: odd.
    """

    kernel_size: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, T, C] -> [B, T, C]."""
        init = nn.initializers.variance_scaling(1.0 / 3.0, "fan_in", "uniform", in_axis=0)
        kernel = self.param("kernel", init, (self.kernel_size, x.shape[-1]))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        return (
            depthwise(x.astype(self.dtype), kernel.astype(self.dtype))
            + bias.astype(self.dtype)[None, None, :]
        )


TIME_BLOCK = 16
"""Frames that the gradient of a depthwise kernel on a CPU takes at once: what fits into its caches
and its compiler's patience."""


@jax.custom_vjp
def depthwise(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """y_t = sum_i kernel_i x_{t + i - K // 2}: x [B, T, C], kernel [K, C] -> [B, T, C]."""
    size, frames = kernel.shape[0], x.shape[1]
    padded = _surrounded(x, size)
    taps = (
        jax.lax.slice_in_dim(padded, i, i + frames, axis=1) * kernel[i][None, None, :]
        for i in range(size)
    )
    return functools.reduce(operator.add, taps)


def _surrounded(x: jax.Array, size: int) -> jax.Array:
    """[B, T, C] -> [B, T + K - 1, C], zeros on both sides."""
    return jnp.pad(x, ((0, 0), (size // 2, size // 2), (0, 0)))


def _depthwise_forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple]:
    return depthwise(x, kernel), (x, kernel)


def _depthwise_backward(kept: tuple, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The gradients of x, a convolution again, and of the kernel, a correlation with x."""
    x, kernel = kept
    of_kernel = jax.lax.platform_dependent(
        x,
        gradient,
        cpu=functools.partial(_correlate_blocks, kernel.shape[0]),
        default=functools.partial(_correlate, kernel.shape[0]),
    )
    return depthwise(gradient, kernel[::-1]), of_kernel.astype(kernel.dtype)


depthwise.defvjp(_depthwise_forward, _depthwise_backward)


def _correlate(size: int, x: jax.Array, y: jax.Array) -> jax.Array:
    """sum_{b, t} x_{t + i - K // 2} y_t for each tap i: f32[K, C]."""
    padded, frames = _surrounded(x, size), x.shape[1]
    taps = (jax.lax.slice_in_dim(padded, i, i + frames, axis=1) * y for i in range(size))
    return jnp.stack([tap.astype(jnp.float32).sum(axis=(0, 1)) for tap in taps])


def _correlate_blocks(size: int, x: jax.Array, y: jax.Array) -> jax.Array:
    """The same, one block of frames after the other, so that what is summed stays in the cache."""
    blocks = -(-x.shape[1] // TIME_BLOCK)
    behind = blocks * TIME_BLOCK - x.shape[1]
    x, y = (jnp.pad(z.astype(jnp.float32), ((0, 0), (0, behind), (0, 0))) for z in (x, y))
    padded = _surrounded(x, size)

    def add(block: jax.Array, found: jax.Array) -> jax.Array:
        at = block * TIME_BLOCK
        near = jax.lax.dynamic_slice_in_dim(padded, at, TIME_BLOCK + size - 1, axis=1)
        here = jax.lax.dynamic_slice_in_dim(y, at, TIME_BLOCK, axis=1)
        for frame in range(TIME_BLOCK):
            found += near[:, frame : frame + size] * here[:, frame : frame + 1]
        return found

    start = jnp.zeros((x.shape[0], size, x.shape[2]), jnp.float32)
    return jax.lax.fori_loop(0, blocks, add, start).sum(axis=0)


class PReLU(nn.Module):
    """x where x > 0, slope x elsewhere; a slope for each channel (He et al. 2015)."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., C] -> [..., C]."""
        slope = self.param("slope", nn.initializers.constant(0.25), (x.shape[-1],))
        slope = slope.astype(x.dtype).reshape((1,) * (x.ndim - 1) + slope.shape)
        return jnp.where(x > 0, x, slope * x)


class _Plain(nn.Module):
    """An activation without parameters, called as those that have some."""

    function: Callable[[jax.Array], jax.Array]

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.function(x)


CHANNEL_ACTIVATIONS: Mapping[str, Callable[..., nn.Module]] = {
    "prelu": PReLU,
    "silu": functools.partial(_Plain, nn.silu),
    "relu": functools.partial(_Plain, nn.relu),
}
"""Activations as modules, since some have parameters."""


def sinusoid(positions: jax.Array, features: int) -> jax.Array:
    """Half sines, half cosines, wavelengths from 2 pi to 10000 * 2 pi (tensor2tensor's layout).

    Args:
      positions: f32[...].
      features: even.

    Returns:
      f32[..., features].
    """
    half = features // 2
    rates = _rates(np.arange(half), np.log(10_000.0) / (half - 1))
    angles = positions[..., None] * rates.reshape((1,) * positions.ndim + (half,))
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


def sinusoidal_positions(mask: jax.Array, features: int) -> jax.Array:
    """Codes of positions 1, 2, 3 ... along the real places of `mask`; zero where it is False.

    Args:
      mask: bool[B, L].

    Returns:
      f32[B, L, features].
    """
    positions = jnp.cumsum(mask, axis=1).astype(jnp.float32)
    return sinusoid(positions, features) * mask[..., None]


ESPNET_TABLE_ROWS = 5000
"""Length of the table that `espnet_relative_table` is the front of."""


def espnet_relative_table(length: int, features: int) -> jax.Array:
    """The first rows of ESPnet's `RelPositionalEncoding`, whose positions count downwards.

    Row i is the code of position 4999 - i, sines and cosines interleaved. Its authors look it up
    by distance; the reference adds it to the input, so that it says where from the front.

    Args:
      length: L.
      features: even.

    Returns:
      f32[1, L, features]; beyond 5000 places the table is as long as the input.
    """
    rows = max(length, ESPNET_TABLE_ROWS)
    positions = (rows - 1 - np.arange(length)).astype(np.float32)
    rates = _rates(np.arange(0, features, 2), np.log(10_000.0) / features)
    angles = (positions[:, None] * rates[None, :]).astype(np.float64)
    code = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(1, length, features)
    return jnp.asarray(code, jnp.float32)


def _rates(exponents: np.ndarray, step: float) -> np.ndarray:
    """exp(-exponents * step), f32, rounded where the reference rounds it.

    It multiplies in float32, and far from the front the rounding of a rate is visible: a rate that
    is off by 6e-8 of itself moves an angle at position 1000 by 6e-5.
    """
    arguments = exponents.astype(np.float32) * np.float32(-step)
    return np.exp(arguments.astype(np.float64)).astype(np.float32)


def masked(x: jax.Array, mask: jax.Array) -> jax.Array:
    """[B, L, D] with zeros where mask bool[B, L] is False."""
    return jnp.where(mask[..., None], x, jnp.zeros((), x.dtype))
