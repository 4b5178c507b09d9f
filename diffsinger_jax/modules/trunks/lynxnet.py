"""LYNXNet: gated depthwise convolutions, the condition and the step added to every layer.

The trunk of openvpi/DiffSinger's voices of 2024 and 2025, after the convolution module of the
Conformer (Gulati et al. 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.modules.layers import (
    CHANNEL_ACTIVATIONS,
    NORM_EPSILON,
    DepthwiseConv,
    Dtype,
    Linear,
    gated,
    kaiming_normal,
    masked,
    sinusoid,
    torch_uniform,
)


class LYNXNetLayer(nn.Module):
    """x + out(activation(depthwise(gated(in(norm(x + condition + step)))))).

    Attributes:
      channels, expansion, kernel_size, activation, strong_condition: see `LYNXNet`.
    """

    channels: int
    expansion: int
    kernel_size: int
    activation: str
    strong_condition: bool
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, condition: jax.Array, step: jax.Array, mask: jax.Array
    ) -> jax.Array:
        """x, condition [B, T, C], step [B, C], mask bool[B, T] -> [B, T, C]."""
        shown = x + condition
        residual = shown if self.strong_condition else x
        inner = self.expansion * self.channels
        kwargs: dict[str, Any] = {"kernel_init": torch_uniform, "dtype": self.dtype}

        h = nn.LayerNorm(NORM_EPSILON, name="norm")(shown + step[:, None, :])
        h = gated("swiglu", Linear(2 * inner, **kwargs, name="in")(h))
        h = DepthwiseConv(self.kernel_size, dtype=self.dtype, name="depthwise")(masked(h, mask))
        h = CHANNEL_ACTIVATIONS[self.activation](name="activation")(h)
        return residual + Linear(self.channels, **kwargs, name="out")(h)


class LYNXNet(nn.Module):
    """See `trunks.protocol.Trunk`.

    Attributes:
      data: D, channels in and out.
      channels: C.
      layers: residual layers.
      expansion: width inside a layer over C.
      kernel_size: of the depthwise convolutions, odd.
      activation: behind them, a name in `CHANNEL_ACTIVATIONS`.
      strong_condition: whether a layer hands the condition on to the next ones.
    """

    data: int
    channels: int = 512
    layers: int = 6
    expansion: int = 2
    kernel_size: int = 31
    activation: str = "prelu"
    strong_condition: bool = False
    dtype: Dtype = jnp.float32

    def setup(self) -> None:
        """Declares the layers under the names that checkpoints know them by."""
        c = self.channels
        kwargs: dict[str, Any] = {"kernel_init": kaiming_normal, "dtype": self.dtype}
        self.input = Linear(c, **kwargs)
        self.step_in = Linear(4 * c, kernel_init=torch_uniform)
        self.step_out = Linear(c, kernel_init=torch_uniform)
        self.step_projection = [Linear(c, kernel_init=torch_uniform) for _ in range(self.layers)]
        self.condition = Linear(self.layers * c, kernel_init=torch_uniform, dtype=self.dtype)
        self.blocks = [
            LYNXNetLayer(
                c,
                self.expansion,
                self.kernel_size,
                self.activation,
                self.strong_condition,
                dtype=self.dtype,
            )
            for _ in range(self.layers)
        ]
        self.norm = nn.LayerNorm(NORM_EPSILON)
        self.head = Linear(self.data, kernel_init=nn.initializers.zeros, dtype=self.dtype)

    def project_condition(self, cond: jax.Array) -> list[jax.Array]:
        """[B, T, H] -> [B, T, C] for each layer, in one matrix product for all."""
        return jnp.split(self.condition(cond), self.layers, axis=-1)

    def embed_steps(self, t: jax.Array) -> jax.Array:
        """t f32[n] -> [n, layers, C]; sinusoid, two layers with GELU, one projection a layer."""
        h = nn.gelu(self.step_in(sinusoid(t, self.channels)), approximate=False)
        h = self.step_out(h)
        return jnp.stack([project(h) for project in self.step_projection], axis=1)

    def run(
        self, x: jax.Array, step: jax.Array, projected: Sequence[jax.Array], mask: jax.Array
    ) -> jax.Array:
        """x [B, T, D], step [B, layers, C], projected [B, T, C] each -> f32[B, T, D]."""
        h = self.input(x)  # [B, T, D] -> [B, T, C]
        if not self.strong_condition:
            h = nn.gelu(h, approximate=False)
        for i, block in enumerate(self.blocks):
            h = block(h, projected[i], step[:, i].astype(h.dtype), mask)
        return masked(self.head(self.norm(h)).astype(jnp.float32), mask)

    def __call__(self, x: jax.Array, t: jax.Array, cond: jax.Array, mask: jax.Array) -> jax.Array:
        """The trunk's one signature; see the protocol."""
        return self.run(x, self.embed_steps(t), self.project_condition(cond), mask)
