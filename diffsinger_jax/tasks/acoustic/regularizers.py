"""What keeps a denoiser from leaning on what is better in training than in use."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.engine.losses import row_keys, row_noise

ERROR_CELL = 8
"""Frames and bins from one random number of `slow_errors` to the next."""
_CONDITION, _PRIOR = 2**31 - 2, 2**31 - 3
"""Folded into a batch's key: which rows are shown without condition and prior."""
_PLACE, _ERROR, _AMOUNT = 2**31 - 4, 2**31 - 5, 2**31 - 6
"""The same: where crops begin, the errors on the prior, and how large they are in each row."""


class Regularizers(NamedTuple):
    """How a batch is shown to the denoiser in training; in validation all of it, as it is.

    The condition and the auxiliary mel of songs that the auxiliary model has learnt are better
    than those of others.

    Attributes:
      drop_condition, drop_prior: share of the rows, in [0, 1), to which the denoiser is not shown
        the condition, or the auxiliary mel beside it; they read as zero.
      prior_error: the auxiliary mel that is shown has `slow_errors`, whose standard deviation is
        uniform in [0, prior_error) for each row, in units of z.
      crop_frames: a random stretch of so many frames of each row is trained on; 0 for all frames.
    """

    drop_condition: float = 0.0
    drop_prior: float = 0.0
    prior_error: float = 0.0
    crop_frames: int = 0

    def crop(
        self, key: jax.Array, rows: jax.Array, mask: jax.Array, *arrays: jax.Array
    ) -> tuple[jax.Array, ...]:
        """Mask bool[B, T] and arrays [B, T, ...], cut to `crop_frames` at places of each row."""
        width = self.crop_frames
        if not width or mask.shape[1] <= width:
            return mask, *arrays
        free = jnp.maximum(mask.sum(axis=1) - width + 1, 1)
        keys = row_keys(jax.random.fold_in(key, _PLACE), rows)
        start = (jax.vmap(jax.random.uniform)(keys) * free).astype(jnp.int32)

        def cut(values: jax.Array) -> jax.Array:
            return jax.vmap(lambda x, at: jax.lax.dynamic_slice_in_dim(x, at, width))(values, start)

        return cut(mask), *map(cut, arrays)

    def show(
        self, key: jax.Array, rows: jax.Array, cond: jax.Array, prior: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Condition [B, T, H] and auxiliary mel [B, T, M] as the denoiser is shown them."""
        if self.prior_error:
            keys = row_keys(jax.random.fold_in(key, _AMOUNT), rows)
            amount = self.prior_error * jax.vmap(jax.random.uniform)(keys)
            errors = slow_errors(jax.random.fold_in(key, _ERROR), rows, prior.shape[1:])
            prior = prior + amount[:, None, None] * errors
        cond = _dropped(jax.random.fold_in(key, _CONDITION), rows, cond, self.drop_condition)
        return cond, _dropped(jax.random.fold_in(key, _PRIOR), rows, prior, self.drop_prior)


UNREGULARIZED = Regularizers()
"""Training shows all of a batch, as it is."""


def slow_errors(key: jax.Array, rows: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Random fields f32[B, T, M] as smooth as what auxiliary mels of unseen songs are wrong by.

    Standard normal at every 8th frame and bin, bilinear between: so correlated are residuals on
    songs that the auxiliary model has not learnt (docs/voice.md).

    Args:
      key: of the batch.
      rows: i32[B], numbers of the rows.
      shape: T, M.
    """
    cells = tuple(-(-size // ERROR_CELL) + 1 for size in shape)
    drawn = row_noise(key, rows, cells)
    return _between(_between(drawn, 1, shape[0]), 2, shape[1])


def _between(values: jax.Array, axis: int, size: int) -> jax.Array:
    """Linear between neighbours along an axis, `ERROR_CELL` places for each, cut to the size."""
    values = jnp.moveaxis(values, axis, -1)
    low, high = values[..., :-1], values[..., 1:]
    shares = np.arange(ERROR_CELL) / ERROR_CELL
    fine = jnp.stack([low * (1.0 - share) + high * share for share in shares], axis=-1)
    fine = fine.reshape(*fine.shape[:-2], -1)[..., :size]
    return jnp.moveaxis(fine, -1, axis)


def _dropped(key: jax.Array, rows: jax.Array, values: jax.Array, share: float) -> jax.Array:
    """[B, T, D] with zeros for a share of the rows."""
    keys = row_keys(key, rows)
    kept = jax.vmap(lambda row_key: jax.random.bernoulli(row_key, 1.0 - share))(keys)
    return values * kept[:, None, None]
