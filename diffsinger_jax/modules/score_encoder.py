"""What is sung, as one vector for each phoneme."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.modules.layers import Dtype, Embed, Linear, sinusoidal_positions
from diffsinger_jax.modules.transformer import FFTStack


class ScoreEncoder(nn.Module):
    """Phonemes, notes, slurs, speaker and language through FFT blocks.

    Attributes:
      phonemes: number of phonemes, padding not counted.
      speakers, languages: how many there are.
      hidden: H.
      layers, heads, kernel_size, dropout: of the FFT blocks.
    """

    phonemes: int
    speakers: int
    languages: int
    hidden: int
    layers: int
    heads: int
    kernel_size: int
    dropout: float
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        tokens: jax.Array,
        note_midi: jax.Array,
        note_sec: jax.Array,
        slur: jax.Array,
        speaker: jax.Array,
        language: jax.Array,
        *,
        train: bool,
    ) -> jax.Array:
        """Fields of a `Batch` -> f32[B, N, H], zero on padding."""
        mask = tokens > 0
        sung = (note_midi > 0).astype(jnp.float32)
        # Octaves from middle C and a flag for rests, so that pitches between keys have a meaning.
        pitch = jnp.stack([sung * (note_midi - 60.0) / 12.0, sung], axis=-1)  # [B, N, 2]
        x = Embed(self.phonemes + 1, self.hidden, padded=True, name="phoneme")(tokens)
        x *= self.hidden**0.5
        x += Linear(self.hidden, name="note_pitch")(pitch)
        x += Linear(self.hidden, name="note_duration")(jnp.log1p(note_sec)[..., None])
        x += Embed(2, self.hidden, name="slur")(slur)
        x += Embed(self.speakers, self.hidden, name="speaker")(speaker)[:, None, :]
        x += Embed(self.languages, self.hidden, name="language")(language)
        x += sinusoidal_positions(mask, self.hidden)
        return FFTStack(
            self.layers,
            heads=self.heads,
            kernel_size=self.kernel_size,
            dropout=self.dropout,
            dtype=self.dtype,
            name="blocks",
        )(x, mask, train=train)
