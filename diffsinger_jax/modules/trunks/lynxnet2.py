"""LYNXNet2: depthwise convolution and two gated products a layer, the condition added once.

The trunk of openvpi/DiffSinger's voices since 2026.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.modules.layers import (
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


class LYNXNet2Layer(nn.Module):
    """x + out(gated(middle(gated(in(depthwise(norm(x)))))))

    Attributes:
      channels, expansion, kernel_size, gate: see `LYNXNet2`.
    """

    channels: int
    expansion: int
    kernel_size: int
    gate: str
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        """x [B, T, C], mask bool[B, T] -> [B, T, C]."""
        inner = self.expansion * self.channels
        kwargs: dict[str, Any] = {"kernel_init": torch_uniform, "dtype": self.dtype}

        h = masked(nn.LayerNorm(NORM_EPSILON, name="norm")(x), mask)
        h = DepthwiseConv(self.kernel_size, dtype=self.dtype, name="depthwise")(h)
        h = gated(self.gate, Linear(2 * inner, **kwargs, name="in")(h))
        h = gated(self.gate, Linear(2 * inner, **kwargs, name="middle")(h))
        return x + Linear(self.channels, **kwargs, name="out")(h)


class LYNXNet2(nn.Module):
    """See `trunks.protocol.Trunk`.

    Attributes:
      data: D, channels in and out.
      channels: C.
      layers: residual layers.
      expansion: width inside a layer over C.
      kernel_size: of the depthwise convolutions, odd.
      gate: a name in `GATES`.
    """

    data: int
    channels: int = 1024
    layers: int = 6
    expansion: int = 1
    kernel_size: int = 31
    gate: str = "atanglu"
    dtype: Dtype = jnp.float32

    def setup(self) -> None:
        """Declares the layers under the names that checkpoints know them by."""
        c = self.channels
        kwargs: dict[str, Any] = {"dtype": self.dtype}
        self.input = Linear(c, kernel_init=kaiming_normal, **kwargs)
        self.condition = Linear(c, kernel_init=torch_uniform, **kwargs)
        self.step_in = Linear(4 * c, kernel_init=torch_uniform)
        self.step_out = Linear(c, kernel_init=torch_uniform)
        self.blocks = [
            LYNXNet2Layer(c, self.expansion, self.kernel_size, self.gate, **kwargs)
            for _ in range(self.layers)
        ]
        self.norm = nn.LayerNorm(NORM_EPSILON)
        self.head = Linear(self.data, kernel_init=nn.initializers.zeros, **kwargs)

    def project_condition(self, cond: jax.Array) -> jax.Array:
        """[B, T, H] -> [B, T, C]."""
        return self.condition(cond)

    def embed_steps(self, t: jax.Array) -> jax.Array:
        """t f32[n] -> [n, C]; sinusoid, two layers with GELU."""
        h = nn.gelu(self.step_in(sinusoid(t, self.channels)), approximate=False)
        return self.step_out(h)

    def run(
        self, x: jax.Array, step: jax.Array, projected: jax.Array, mask: jax.Array
    ) -> jax.Array:
        """x [B, T, D], step [B, C], projected [B, T, C] -> f32[B, T, D]."""
        h = self.input(x) + projected  # [B, T, D] -> [B, T, C]
        h += step[:, None, :].astype(h.dtype)
        for block in self.blocks:
            h = block(h, mask)
        return masked(self.head(self.norm(h)).astype(jnp.float32), mask)

    def __call__(self, x: jax.Array, t: jax.Array, cond: jax.Array, mask: jax.Array) -> jax.Array:
        """The trunk's one signature; see the protocol."""
        return self.run(x, self.embed_steps(t), self.project_condition(cond), mask)
