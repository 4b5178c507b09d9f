"""Curves over frames as vectors: f0 and the optional curves of `features.FEATURES`."""

from __future__ import annotations

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.modules.layers import symmetric_uniform

CURVE_SCALES: Mapping[str, float] = {
    "energy": 1.0 / 96.0,  # dB
    "breathiness": 1.0 / 96.0,  # dB
    "voicing": 1.0 / 96.0,  # dB
    "tension": 0.1,  # logit
    "key_shift": 1.0 / 12.0,  # semitones
    "speed": 1.0,
}
"""What brings values of a curve to about one; curves that are not named are so by themselves."""


class ScalarEmbed(nn.Module):
    """One number as a vector: x w + b, elementwise, so that it is exact on every device."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """f32[...] -> f32[..., features]."""
        init = symmetric_uniform(
            (6.0 / (1 + self.features)) ** 0.5
        )  # Xavier's, for a matrix [1, features]
        shape = (1,) * x.ndim + (self.features,)
        weight = self.param("weight", init, (self.features,)).reshape(shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,)).reshape(shape)
        return x[..., None] * weight + bias


class MelScalePitchEmbedding(nn.Module):
    """f0 as ln(1 + f0 / 700), the mel scale but for a factor, times a vector.

    It says nothing of voicing: f0 is interpolated through unvoiced frames.
    """

    hidden: int

    @nn.compact
    def __call__(self, f0: jax.Array) -> jax.Array:
        """f0 f32[B, T] Hz -> f32[B, T, H]."""
        return ScalarEmbed(self.hidden, name="scalar")(jnp.log1p(f0 / 700.0))


class CurveEmbedding(nn.Module):
    """The sum of a line w c + b for each curve c, as openvpi DiffSinger embeds its variances.

    Attributes:
      curves: names, each with params of its own, so that a curve may come or go.
      hidden: H.
      scaled: whether values are brought to about one first; older voices learned the bare units.
    """

    curves: tuple[str, ...]
    hidden: int
    scaled: bool = True

    @nn.compact
    def __call__(
        self, values: Mapping[str, jax.Array], given: Mapping[str, jax.Array] | None = None
    ) -> jax.Array:
        """The vector of all curves.

        Args:
          values: f32[B, T] by name, f32[B] for one value in a row.
          given: bool[B, T] by name, where a curve is shown; None for everywhere.

        Returns:
          f32[B, T, H], [B, 1, H] for values of rows.
        """
        embedded = jnp.zeros((1, 1, 1))
        for name in self.curves:
            curve = values[name]
            curve = curve[:, None] if curve.ndim == 1 else curve  # [B] -> [B, 1]
            scale = CURVE_SCALES.get(name, 1.0) if self.scaled else 1.0
            vector = ScalarEmbed(self.hidden, name=name)(curve * scale)
            embedded += vector if given is None else vector * given[name][..., None]
        return embedded
