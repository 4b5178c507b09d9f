"""The notes of a score, on an axis of their own: as vectors, and as the line that pitch is near."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.modules.curves import ScalarEmbed
from diffsinger_jax.modules.layers import Embed, Linear
from diffsinger_jax.modules.length_regulator import expand_to_frames
from diffsinger_jax.modules.score_encoder import POSITIONS
from diffsinger_jax.modules.transformer import FFTStack
from diffsinger_jax.types import Array

MIDI_SCALE = 1.0 / 128.0
"""What brings pitches to about one."""
SMOOTHING_SEC = 0.06
"""Width of the kernel that the line of the notes is smoothed by."""
ALL_RESTS_MIDI = 60.0
"""The line of a piece without notes."""


class Notes(NamedTuple):
    """The notes of a batch; a pytree.

    Attributes:
      midi: f32[B, K] 69 = A4, in rests that of the nearest note, -1 on padding.
      rest: bool[B, K].
      frames: i32[B, K] 0 on padding.
      glide: i32[B, K] how the note is reached, 0 for no glide.
      mel2note: i32[B, T] 1-based note of each frame, 0 on padding.
    """

    midi: Array
    rest: Array
    frames: Array
    glide: Array
    mel2note: Array


class MelodyEncoder(nn.Module):
    """Pitch, length and glide of the notes through FFT blocks.

    Attributes:
      hidden: H of the frames' condition.
      width: of the blocks.
      layers, heads, kernel_size, dropout: of the blocks.
      glides: how many kinds of glides there are; 0 reads none.
      glide_scale: factor on their vectors.
      scaled: whether pitches and lengths are brought to about one first.
      positions: a name in `POSITIONS`.
      unmasked_convs, block_settings: further keyword arguments of the `FFTStack`.
    """

    hidden: int
    width: int
    layers: int
    heads: int
    kernel_size: int
    dropout: float
    glides: int = 0
    glide_scale: float = 1.0
    scaled: bool = True
    positions: str = "none"
    unmasked_convs: bool = False
    block_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @nn.compact
    def __call__(self, notes: Notes, *, train: bool = False) -> jax.Array:
        """-> f32[B, K, H], on padding the last layer's bias."""
        mask = notes.midi >= 0
        frames = jnp.asarray(notes.frames).astype(jnp.float32)
        pitch = notes.midi * (MIDI_SCALE if self.scaled else 1.0)
        x = ScalarEmbed(self.width, name="pitch")(pitch) * ~notes.rest[..., None]
        x *= self.width**0.5
        x += ScalarEmbed(self.width, name="frames")(jnp.log1p(frames) if self.scaled else frames)
        if self.glides:
            glide = Embed(self.glides + 1, self.width, padded=True, name="glide")(notes.glide)
            x += self.glide_scale * glide
        x = FFTStack(
            self.layers,
            heads=self.heads,
            kernel_size=self.kernel_size,
            dropout=self.dropout,
            unmasked_convs=self.unmasked_convs,
            name="blocks",
            **self.block_settings,
        )(POSITIONS[self.positions](x, mask), mask, train=train)
        return Linear(self.hidden, name="out")(x)


def note_line(notes: Notes, frames_per_sec: float) -> jax.Array:
    """The notes' pitch over frames, smoothed at their borders: f32[B, T] MIDI, 0 on padding.

    Args:
      notes: with rests filled in.
      frames_per_sec: of the mel.
    """
    steps = expand_to_frames(jnp.asarray(notes.midi), notes.mel2note)
    return smooth_frames(steps, notes.mel2note > 0, sine_kernel(SMOOTHING_SEC * frames_per_sec))


def sine_kernel(width: float) -> np.ndarray:
    """Half a wave of a sine over round(width) frames, at least one, of sum 1; f32[W]."""
    kernel = np.sin(np.pi * np.linspace(0.0, 1.0, max(round(width), 1)))
    return (kernel / kernel.sum() if kernel.sum() > 0 else np.ones(1)).astype(np.float32)


def smooth_frames(x: jax.Array, mask: jax.Array, kernel: np.ndarray) -> jax.Array:
    """Each row convolved with a kernel, its first and last real values held beyond its ends.

    Args:
      x: f32[B, T].
      mask: bool[B, T], real frames in front.
      kernel: [W]; an even one looks one frame further ahead than back.

    Returns:
      f32[B, T], zero on padding.
    """
    last = jnp.maximum(mask.sum(axis=1, keepdims=True) - 1, 0)  # [B, 1]
    place = jax.lax.broadcasted_iota(jnp.int32, (1, x.shape[1]), 1)
    back = (len(kernel) - 1) // 2
    taps = (
        float(weight) * jnp.take_along_axis(x, jnp.clip(place + i - back, 0, last), axis=1)
        for i, weight in enumerate(kernel)
    )
    return jnp.where(mask, sum(taps, start=jnp.zeros_like(x)), 0.0)


def fill_rests(midi: np.ndarray) -> np.ndarray:
    """Pitches with each rest's replaced by the nearest note's by index, the earlier of two.

    Args:
      midi: f[K], NaN for a rest.

    Returns:
      f32[K]; all of them `ALL_RESTS_MIDI` where there is no note.
    """
    sung = np.flatnonzero(~np.isnan(midi))
    if not sung.size:
        return np.full(len(midi), ALL_RESTS_MIDI, np.float32)
    distance = np.abs(np.arange(len(midi))[:, None] - sung[None, :])
    return midi[sung[distance.argmin(axis=1)]].astype(np.float32)
