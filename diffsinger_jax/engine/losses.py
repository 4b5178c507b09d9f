"""What a step makes small, and draws that a batch's layout does not move."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from diffsinger_jax.engine.metrics import Mean
from diffsinger_jax.engine.state import Params

Losses = dict[str, Mean]
Parts = Callable[[Params, Any, jax.Array, jax.Array, bool], Losses]
"""(all params, batch, key, rows i32[B], train) -> a `Mean` for each part of a loss.

What is drawn for a row follows from the key and the row's number alone: the same whatever rows
are computed beside it, on however many devices.
"""


class LossFn(NamedTuple):
    """The sum of weight * mean over the parts that have a weight.

    Attributes:
      parts: see `Parts`; those without a weight are only reported.
      weights: of the parts, by name.
    """

    parts: Parts
    weights: Mapping[str, float]

    def __call__(
        self, params: Params, batch: Any, key: jax.Array, train: bool
    ) -> tuple[jax.Array, Losses]:
        """The scalar of a whole batch, and its parts."""
        parts = self.parts(params, batch, key, row_numbers(batch), train)
        return self.weighted(parts), parts

    def weighted(self, parts: Losses) -> jax.Array:
        """The scalar of these parts; one that counts nothing in this batch adds nothing to it."""
        return jnp.asarray(
            sum(weight * parts[name].share() for name, weight in self.weights.items())
        )


def row_numbers(batch: Any) -> jax.Array:
    """i32[B], 0 to B - 1, of a pytree of arrays [B, ...]."""
    return jnp.arange(len(jax.tree.leaves(batch)[0]))


def row_keys(key: jax.Array, rows: jax.Array) -> jax.Array:
    """A random key for each row, [B], from the numbers of the rows i32[B]."""
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, rows)


def row_noise(key: jax.Array, rows: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Standard normal f32[B, *shape]; a row's draws follow from the key and its number."""
    return jax.vmap(lambda row_key: jax.random.normal(row_key, shape))(row_keys(key, rows))


def spread_places(key: jax.Array, rows: jax.Array) -> jax.Array:
    """f32[B] for the rows of a batch: each uniform in [0, 1), together evenly spread.

    One random offset for all, as Kingma et al. 2021 (variational diffusion models, appendix I.1)
    have it: the loss of a small batch then varies less than with independent draws. The strides
    are the golden ratio's, which spread any number of rows: who is in a batch besides a row, or
    on another device, does not move it.

    Args:
      key: the same for all rows of the batch.
      rows: i32[B], their numbers in the batch.
    """
    return (jax.random.uniform(key) + rows.astype(jnp.float32) * GOLDEN) % 1.0


GOLDEN = (5**0.5 - 1) / 2
