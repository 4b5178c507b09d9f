"""What is sung, as one vector for each phoneme."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.modules.layers import (
    Dtype,
    Embed,
    Linear,
    espnet_relative_table,
    sinusoidal_positions,
)
from diffsinger_jax.modules.transformer import FFTStack

MIDI_ROWS = 300
"""Rows of the reference's table of MIDI pitches."""


def _add_sinusoid(x: jax.Array, mask: jax.Array) -> jax.Array:
    return x + sinusoidal_positions(mask, x.shape[-1])


def _add_espnet_relative(x: jax.Array, mask: jax.Array) -> jax.Array:
    """x sqrt(H) plus the table; the same for every row of the batch."""
    return x * x.shape[-1] ** 0.5 + espnet_relative_table(x.shape[1], x.shape[-1])


POSITIONS = {
    "sinusoid": _add_sinusoid,
    "espnet_relative": _add_espnet_relative,
    "none": lambda x, mask: x,
}
"""How a phoneme's place is told: (x [B, N, H], mask bool[B, N]) -> [B, N, H]."""


class ScoreEncoder(nn.Module):
    """Phonemes, notes, slurs, speaker and language through FFT blocks.

    Attributes:
      phonemes: number of phonemes, padding not counted.
      speakers, languages: how many there are.
      hidden: H.
      layers, heads, kernel_size, dropout, unmasked_convs: of the FFT blocks.
      score_inputs: what is read beside the phonemes, a name in `SCORE_INPUTS`.
      positions: a name in `POSITIONS`.
    """

    phonemes: int
    speakers: int
    languages: int
    hidden: int
    layers: int
    heads: int
    kernel_size: int
    dropout: float
    unmasked_convs: bool = False
    score_inputs: str = "continuous"
    positions: str = "sinusoid"
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
        x = Embed(self.phonemes + 1, self.hidden, padded=True, name="phoneme")(tokens)
        x *= self.hidden**0.5
        x = SCORE_INPUTS[self.score_inputs](self, x, note_midi, note_sec, slur, speaker, language)
        x = POSITIONS[self.positions](x, mask)
        return FFTStack(
            self.layers,
            heads=self.heads,
            kernel_size=self.kernel_size,
            dropout=self.dropout,
            unmasked_convs=self.unmasked_convs,
            dtype=self.dtype,
            name="blocks",
        )(x, mask, train=train)

    def _add_continuous(self, x, note_midi, note_sec, slur, speaker, language) -> jax.Array:
        """Pitches and durations as numbers, so that pitches between keys have a meaning."""
        sung = (note_midi > 0).astype(jnp.float32)
        # Octaves from middle C and a flag for rests.
        pitch = jnp.stack([sung * (note_midi - 60.0) / 12.0, sung], axis=-1)  # [B, N, 2]
        x += Linear(self.hidden, name="note_pitch")(pitch)
        x += Linear(self.hidden, name="note_duration")(jnp.log1p(note_sec)[..., None])
        x += Embed(2, self.hidden, name="slur")(slur)
        x += Embed(self.speakers, self.hidden, name="speaker")(speaker)[:, None, :]
        return x + Embed(self.languages, self.hidden, name="language")(language)

    def _add_midi(self, x, note_midi, note_sec, slur, speaker, language) -> jax.Array:
        """The reference's `FastSpeech2MIDI`: a table of whole pitches, seconds, slurs."""
        key = jnp.clip(jnp.round(note_midi), 0, MIDI_ROWS - 1).astype(jnp.int32)
        x += Embed(MIDI_ROWS, self.hidden, name="midi")(key)
        x += Linear(self.hidden, name="seconds")(note_sec[..., None])
        return x + Embed(2, self.hidden, name="slur")(slur)


SCORE_INPUTS = {
    "continuous": ScoreEncoder._add_continuous,
    "midi": ScoreEncoder._add_midi,
    "phonemes": lambda encoder, x, *fields: x,
}
"""What the encoder reads beside the phonemes: ours, the reference's with MIDI, and without."""
