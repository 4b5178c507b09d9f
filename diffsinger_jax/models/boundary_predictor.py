"""The boundary predictor: is a diffused mel real or auxiliary? (Liu et al. 2022, 3.4)"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.modules.layers import Conv1D, Linear, masked, sinusoid


class BoundaryPredictor(nn.Module):
    """Residual convolutions with a step embedding, averaged over time: BP(x_t, t).

    The mel is shown beside its steps from frame to frame and from bin to bin, in which blur is
    seen best.

    Attributes:
      channels: width, even.
      layers: residual layers; layer i has dilation 2^i.
    """

    channels: int
    layers: int

    @nn.compact
    def __call__(self, x_t: jax.Array, t: jax.Array, mask: jax.Array) -> jax.Array:
        """x_t [B, T, M], t i32[B], mask bool[B, T] -> logits f32[B], > 0 for a real mel."""
        c = self.channels
        step = sinusoid(t.astype(jnp.float32), c)
        step = Linear(c, name="step_out")(jax.nn.mish(Linear(4 * c, name="step_in")(step)))
        x = masked(x_t, mask)
        in_time = x - jnp.pad(x, ((0, 0), (1, 0), (0, 0)))[:, :-1]
        in_frequency = x - jnp.pad(x, ((0, 0), (0, 0), (1, 0)))[:, :, :-1]
        shown = jnp.concatenate([x, in_time, in_frequency], axis=-1)
        h = Linear(c, name="input")(shown)  # [B, T, 3M] -> [B, T, C]
        for i in range(self.layers):
            shift = Linear(c, name=f"step_projection_{i}")(step)[:, None, :]
            y = masked(nn.relu(h + shift), mask)
            y = nn.relu(Conv1D(c, 3, dilation=2**i, name=f"dilated_{i}")(y))
            h = (h + Linear(c, name=f"output_{i}")(y)) * 2**-0.5
        frames = jnp.maximum(mask.sum(axis=1), 1).astype(jnp.float32)
        pooled = masked(nn.relu(h), mask).sum(axis=1) / frames[:, None]  # [B, C]
        head = Linear(1, kernel_init=nn.initializers.zeros, name="head")
        return head(pooled)[:, 0]
