"""The denoiser's trunk: a non-causal WaveNet with a step embedding (DiffWave, Kong et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.modules.dilated import DilatedConv
from diffsinger_jax.modules.layers import Dtype, Linear, kaiming_normal, masked, sinusoid


class WaveNet(nn.Module):
    """See `trunks.protocol.Trunk`.

    Attributes:
      data: D, channels in and out.
      channels: C.
      layers: residual layers.
      dilation_cycle: layer i has dilation 2^(i mod cycle).
    """

    data: int
    channels: int = 256
    layers: int = 20
    dilation_cycle: int = 1
    dtype: Dtype = jnp.float32

    def setup(self) -> None:
        """Declares the layers under the names that checkpoints know them by."""
        c = self.channels
        kwargs: dict[str, Any] = {"kernel_init": kaiming_normal, "dtype": self.dtype}
        self.input = Linear(c, **kwargs)
        self.step_in = Linear(4 * c)
        self.step_out = Linear(c)
        self.step_projection = [Linear(c) for _ in range(self.layers)]
        self.condition = Linear(self.layers * 2 * c, **kwargs)
        self.dilated = [
            DilatedConv(2 * c, dilation=2 ** (i % self.dilation_cycle), dtype=self.dtype)
            for i in range(self.layers)
        ]
        self.output = [Linear(2 * c, **kwargs) for _ in range(self.layers)]
        self.skip = Linear(c, **kwargs)
        self.head = Linear(self.data, kernel_init=nn.initializers.zeros, dtype=self.dtype)

    def project_condition(self, cond: jax.Array) -> list[jax.Array]:
        """[B, T, H] -> [B, T, 2C] for each layer, in one matmul for all.

        Arrays of their own, so that each layer reads its own without gaps at every step.
        """
        return jnp.split(self.condition(cond), self.layers, axis=-1)

    def embed_steps(self, t: jax.Array) -> jax.Array:
        """t f32[n] -> [n, layers, C]; sinusoid, two layers with Mish, one projection a layer."""
        h = self.step_out(jax.nn.mish(self.step_in(sinusoid(t, self.channels))))
        return jnp.stack([project(h) for project in self.step_projection], axis=1)

    def run(
        self, x: jax.Array, step: jax.Array, projected: Sequence[jax.Array], mask: jax.Array
    ) -> jax.Array:
        """x [B, T, D], step [B, layers, C], projected [B, T, 2C] each -> f32[B, T, D]."""
        h = nn.relu(self.input(x))  # [B, T, D] -> [B, T, C]
        skips = jnp.zeros_like(h)
        for i in range(self.layers):
            y = masked(h + step[:, i, None, :].astype(h.dtype), mask)
            # Gate and value in one matmul, as residual and skip below.
            gate, value = jnp.split(self.dilated[i](y) + projected[i], 2, axis=-1)
            y = self.output[i](nn.sigmoid(gate) * jnp.tanh(value))
            residual, skip = jnp.split(y, 2, axis=-1)
            h = (h + residual) * 2**-0.5
            skips += skip
        y = nn.relu(self.skip(skips * self.layers**-0.5))
        return masked(self.head(y).astype(jnp.float32), mask)

    def __call__(self, x: jax.Array, t: jax.Array, cond: jax.Array, mask: jax.Array) -> jax.Array:
        """The trunk's one signature; see the protocol."""
        return self.run(x, self.embed_steps(t), self.project_condition(cond), mask)
