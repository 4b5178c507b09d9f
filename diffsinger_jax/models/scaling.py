"""Log mels and curves to the [-1, 1] that diffusion works in, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from flax import struct


@struct.dataclass
class MelScaling:
    """One line per bin, from a corpus's smallest and largest values.

    Attributes:
      low, high: f32[M] log mel; [low, high] becomes [-1, 1].
    """

    low: jax.Array
    high: jax.Array

    @property
    def half_range(self) -> jax.Array:
        """f32[M] log mel units in one unit of z."""
        return (self.high - self.low) / 2.0

    def scale(self, mel: jax.Array) -> jax.Array:
        """Log mel [B, T, M] -> z."""
        return (mel - self.low[None, None, :]) / self.half_range[None, None, :] - 1.0

    def unscale(self, z: jax.Array) -> jax.Array:
        """z [B, T, M] -> log mel."""
        return (jnp.asarray(z) + 1.0) * self.half_range[None, None, :] + self.low[None, None, :]


@struct.dataclass
class CurveScaling:
    """Curves, each over one or several channels of what is diffused.

    A curve over R channels is R noisy copies of one number at the input and the mean of R numbers
    at the output, which makes one channel of a diffusion less noisy.

    Attributes:
      low, high: f32[F]; [low, high] becomes [-1, 1].
      least, most: f32[F], what values are kept within, before and after.
      repeats: R.
    """

    low: jax.Array
    high: jax.Array
    least: jax.Array
    most: jax.Array
    repeats: int = struct.field(pytree_node=False, default=1)

    def scale(self, values: jax.Array) -> jax.Array:
        """[B, T, F] in the curves' units -> z [B, T, F R], curve by curve."""
        z = (self.clip(values) - self.low[None, None]) / (self.high - self.low)[None, None] * 2 - 1
        return jnp.repeat(z, self.repeats, axis=-1)

    def unscale(self, z: jax.Array) -> jax.Array:
        """z [B, T, F R] -> [B, T, F] in the curves' units, kept within their bounds."""
        curves = z.reshape(*z.shape[:-1], -1, self.repeats)
        values = (curves + 1.0) / 2.0 * (self.high - self.low)[None, None, :, None]
        return self.clip((values + self.low[None, None, :, None]).mean(axis=-1))

    def clip(self, values: jax.Array) -> jax.Array:
        """[B, T, F] within their bounds."""
        return jnp.clip(values, self.least[None, None], self.most[None, None])


PITCH = "pitch"
"""The name of the distance from the notes' line among the curves, in semitones."""
CURVE_RANGES: Mapping[str, tuple[float, ...]] = {
    PITCH: (-8.0, 8.0, -12.0, 12.0),
    "energy": (-96.0, -12.0, -96.0, 0.0),  # dB
    "breathiness": (-96.0, -20.0, -96.0, 0.0),  # dB
    "voicing": (-96.0, -12.0, -96.0, 0.0),  # dB
    "tension": (-10.0, 10.0, -10.0, 10.0),  # logit
}
"""Unless a model says otherwise: what becomes -1 and 1, and the bounds; openvpi's defaults."""


def curve_scaling(ranges: Sequence[Sequence[float]], repeats: int = 1) -> CurveScaling:
    """The scaling of rows as in `CURVE_RANGES`."""
    low, high, least, most = (
        jnp.asarray([row[i] for row in ranges], jnp.float32) for i in range(4)
    )
    return CurveScaling(low, high, least, most, repeats)
