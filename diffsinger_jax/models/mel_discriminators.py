"""Discriminators of mels on random windows, over all bins or bands of them.

Random windows are those of GAN-TTS (Binkowski et al. 2020), with which Wu and Luan 2020 train a
singing acoustic model; bands are XiaoiceSing 2's (Wang et al. 2022). Without batch norm and
dropout: what is said of a row then depends on that row alone, and the features of a real window
and a generated one come from the same network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.models.discriminators import DiscriminatorOutputs
from diffsinger_jax.pitch import hz_to_midi

SLOPE = 0.2
LAYERS = 3
MIDDLE_MIDI, SEMITONES = 60.0, 24.0
"""Of the pitch that a discriminator is shown: what reads as 0, and what as one more."""


class WindowDiscriminator(nn.Module):
    """One length of window and one band.

    Attributes:
      channels: of its convolutions.
    """

    channels: int

    @nn.compact
    def __call__(self, windows: jax.Array) -> DiscriminatorOutputs:
        """f32[B, W, bins, C] -> features, and at the end scores f32[B, 1]."""
        x, features = windows, []
        for _ in range(LAYERS):
            x = nn.Conv(self.channels, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))(x)
            x = nn.leaky_relu(x, SLOPE)
            features.append(x)
        return [*features, nn.Dense(1)(x.reshape(len(x), -1))]


class WindowOutputs(NamedTuple):
    """Of one discriminator.

    Attributes:
      outputs: of the windows of all rows.
      counted: bool[B], whether the row has a window: it is at least as long as one.
    """

    outputs: DiscriminatorOutputs
    counted: jax.Array


class MelDiscriminators(nn.Module):
    """All of them; those of one length look at the same window.

    Attributes:
      windows: lengths in frames.
      bands: from and to which share of the bins, (0, 1) for all; a discriminator for each window
        and band.
      channels: of each.
    """

    windows: tuple[int, ...]
    bands: tuple[tuple[float, float], ...]
    channels: int

    @nn.compact
    def __call__(
        self, shown: jax.Array, frames: jax.Array, places: jax.Array
    ) -> list[WindowOutputs]:
        """The outputs of each discriminator.

        Args:
          shown: f32[B, T, M, C], mels with what they are conditional on.
          frames: i32[B], real frames of each row; no window has others.
          places: f32[B, len(windows)] in [0, 1), where the windows lie.
        """
        found, bins = [], shown.shape[2]
        for number, window in enumerate(self.windows):
            cut = random_window(shown, frames, places[:, number], window)
            for low, high in self.bands:
                band = cut[:, :, round(low * bins) : round(high * bins)]
                name = f"window_{window}_band_{low:g}_{high:g}".replace(".", "_")
                outputs = WindowDiscriminator(self.channels, name=name)(band)
                found.append(WindowOutputs(outputs, frames >= window))
        return found


def random_window(shown: jax.Array, frames: jax.Array, place: jax.Array, window: int) -> jax.Array:
    """So many frames of each row, [B, T, ...] -> [B, window, ...]; of its real ones if they do.

    Args:
      shown: [B, T, ...].
      frames: i32[B], real frames of each row.
      place: f32[B] in [0, 1): 0 is the first window, almost 1 the last.
      window: frames.
    """
    lacking = max(0, window - shown.shape[1])
    shown = jnp.pad(shown, ((0, 0), (0, lacking), *[(0, 0)] * (shown.ndim - 2)))
    last = jnp.maximum(frames - window, 0)
    start = jnp.minimum((place * (last + 1)).astype(jnp.int32), last)
    return jax.vmap(lambda row, at: jax.lax.dynamic_slice_in_dim(row, at, window))(shown, start)


def show_mel(z: jax.Array, f0: jax.Array) -> jax.Array:
    """A mel alone: z [B, T, M] -> [B, T, M, 1]."""
    return z[..., None]


def show_pitch(z: jax.Array, f0: jax.Array) -> jax.Array:
    """A mel with the pitch that it is sung at, and whether it is, in all bins: [B, T, M, 3].

    Args:
      z: [B, T, M].
      f0: f32[B, T] Hz, 0 unvoiced.
    """
    voiced = f0 > 0
    pitch = jnp.where(voiced, (hz_to_midi(f0) - MIDDLE_MIDI) / SEMITONES, 0.0)
    beside = jnp.stack([pitch, voiced.astype(jnp.float32)], axis=-1)[:, :, None, :]
    beside = jnp.broadcast_to(beside, (*z.shape, 2))
    return jnp.concatenate([z[..., None], beside], axis=-1)


CONDITIONS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "none": show_mel,
    "pitch": show_pitch,
}
"""What discriminators are shown of (z, f0), by the name in a config."""
