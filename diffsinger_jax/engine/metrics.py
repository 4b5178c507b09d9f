"""Metrics as sums and counts, so that means of parts merge without error."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

Number = jax.Array | np.ndarray | np.floating


@struct.dataclass
class Mean:
    """A masked mean kept as its two sums, so that means of parts merge without error."""

    total: Number
    count: Number

    @classmethod
    def of(cls, values: jax.Array, mask: jax.Array) -> Mean:
        """Sums of `values` where `mask` (broadcast to it) is True."""
        weight = jnp.broadcast_to(mask, values.shape)
        return cls(jnp.where(weight, values, 0.0).sum(), weight.sum().astype(jnp.float32))

    @classmethod
    def over(cls, mean: jax.Array, rows: int) -> Mean:
        """Of rows that count alike, f32[], when their mean is known."""
        count = jnp.float32(rows)
        return cls(mean * count, count)

    def merge(self, other: Mean) -> Mean:
        """The mean over both."""
        return Mean(self.total + other.total, self.count + other.count)

    def compute(self) -> Any:
        """total / count: NaN where nothing was counted."""
        return self.total / self.count

    def share(self) -> Any:
        """What it adds to a sum of losses: the mean, 0 where nothing was counted."""
        return self.total / jnp.maximum(self.count, 1.0)
