"""Curves over frames as vectors: f0 and the optional curves of `features.FEATURES`."""

from __future__ import annotations

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.modules.layers import Embed, symmetric_uniform
from diffsinger_jax.modules.length_regulator import expand_to_frames, phoneme_means

CURVE_SCALES: Mapping[str, float] = {
    "energy": 1.0 / 96.0,  # dB
    "breathiness": 1.0 / 96.0,  # dB
    "voicing": 1.0 / 96.0,  # dB
    "tension": 0.1,  # logit
    "key_shift": 1.0 / 12.0,  # semitones
    "speed": 1.0,
}
"""What brings values of a curve to about one; curves that are not named are so by themselves."""
CURVE_SPANS: Mapping[str, tuple[float, float]] = {
    "energy": (-27.0, 6.0),
    "breathiness": (-50.0, 7.0),
    "voicing": (-28.0, 6.0),
    "tension": (2.5, 1.5),
    "key_shift": (0.0, 3.0),
    "speed": (1.0, 0.4),
}
"""Middle and spread of a curve in its unit where one sings: of PJS, and of what is added to it."""


CURVE_BINS = 256
"""Of a curve as a row of a table: equally wide, from -1 to 1 of what `CURVE_SCALES` gives."""


class ScalarEmbed(nn.Module):
    """One number as a vector: x w + b, elementwise, so that it is exact on every device.

    At first the middle of the numbers is zeros, and what lies a spread from it is of Xavier's size
    for a matrix [1, features]: numbers that hardly differ are told apart from the first step on.
    """

    features: int
    middle: float = 0.0
    spread: float = 1.0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """f32[...] -> f32[..., features]."""
        init = symmetric_uniform((6.0 / (1 + self.features)) ** 0.5 / self.spread)
        weight = self.param("weight", init, (self.features,))
        bias = self.param("bias", lambda key: -self.middle * weight)
        shape = (1,) * x.ndim + (self.features,)
        return x[..., None] * weight.reshape(shape) + bias.reshape(shape)


class BinnedEmbed(nn.Module):
    """One number in [-1, 1] as a row of a table, as FastSpeech 2 has its energy.

    Middle and spread of the numbers are nothing to it.
    """

    features: int
    middle: float = 0.0
    spread: float = 1.0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """f32[...] -> f32[..., features]."""
        place = jnp.floor((x + 1.0) * (CURVE_BINS / 2.0))
        bins = jnp.clip(place, 0, CURVE_BINS - 1).astype(jnp.int32)
        return Embed(CURVE_BINS, self.features, name="table")(bins)


CURVE_INPUTS = {"scalar": ScalarEmbed, "bins": BinnedEmbed}
"""How a curve may enter the condition, by the name in a config."""
CURVE_LEVELS = ("frame", "phoneme")
"""What has a value of each curve; of a phoneme it is the mean over its frames."""


def on_phonemes(curve: jax.Array, mel2ph: jax.Array, phonemes: int) -> jax.Array:
    """A curve f32[B, T] with the mean of its phoneme in each frame, 0 on padding."""
    means, _ = phoneme_means(curve, mel2ph > 0, mel2ph, phonemes)
    return expand_to_frames(means, mel2ph)


def f0_on_phonemes(f0: jax.Array, mel2ph: jax.Array, phonemes: int) -> jax.Array:
    """f0 f32[B, T] Hz with the geometric mean of its phoneme's voiced frames in each frame.

    A phoneme is voiced if half of its frames are.
    """
    voiced = f0 > 0
    octaves, share = phoneme_means(jnp.log2(jnp.where(voiced, f0, 1.0)), voiced, mel2ph, phonemes)
    return expand_to_frames(jnp.where(share >= 0.5, jnp.exp2(octaves), 0.0), mel2ph)


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
    """The sum of a vector for each curve c: a line w c + b, as openvpi DiffSinger embeds its
    variances, or a row of a table.

    Attributes:
      curves: names, each with params of its own, so that a curve may come or go.
      hidden: H.
      scaled: whether values are brought to about one first; older voices learned the bare units.
      input: a name in `CURVE_INPUTS`.
    """

    curves: tuple[str, ...]
    hidden: int
    scaled: bool = True
    input: str = "scalar"

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
            middle, spread = (scale * x for x in CURVE_SPANS.get(name, (0.0, 1.0)))
            embed = CURVE_INPUTS[self.input](self.hidden, middle, spread, name=name)
            vector = embed(curve * scale)
            embedded += vector if given is None else vector * given[name][..., None]
        return embedded
