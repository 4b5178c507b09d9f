"""What is sung, as one vector for each phoneme."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.modules.curves import ScalarEmbed
from diffsinger_jax.modules.layers import (
    Dtype,
    Embed,
    Linear,
    espnet_relative_table,
    sinusoidal_positions,
)
from diffsinger_jax.modules.length_regulator import (
    expand_to_frames,
    frames_per_phoneme,
    word_of,
    word_sums,
)
from diffsinger_jax.modules.transformer import FFTStack
from diffsinger_jax.types import Batch

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
      scaled_durations: whether "durations" are read as ln(1 + frames) or as frames.
      cross_lingual: ids of the phonemes whose language is read with "durations" or "words"; None
        reads none.
      block_settings: further keyword arguments of the `FFTStack`.
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
    scaled_durations: bool = True
    cross_lingual: tuple[int, ...] | None = None
    block_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, batch: Batch, style: jax.Array | None = None, *, train: bool = False
    ) -> jax.Array:
        """Encodes the phonemes of a batch.

        Args:
          batch: of which phonemes, notes, durations, speaker and language are read.
          style: [B, 1 or N, H], of blocks that have a style.
          train: whether dropout is on.

        Returns:
          f32[B, N, H], zero on padding.
        """
        mask = batch.tokens > 0
        x = Embed(self.phonemes + 1, self.hidden, padded=True, name="phoneme")(batch.tokens)
        x *= self.hidden**0.5
        x = SCORE_INPUTS[self.score_inputs](self, x, batch)
        x = POSITIONS[self.positions](x, mask)
        return FFTStack(
            self.layers,
            heads=self.heads,
            kernel_size=self.kernel_size,
            dropout=self.dropout,
            unmasked_convs=self.unmasked_convs,
            dtype=self.dtype,
            name="blocks",
            **self.block_settings,
        )(x, mask, style, train=train)

    def _add_continuous(self, x: jax.Array, batch: Batch) -> jax.Array:
        """Pitches and durations as numbers, so that pitches between keys have a meaning."""
        sung = (batch.note_midi > 0).astype(jnp.float32)
        # Octaves from middle C and a flag for rests.
        pitch = jnp.stack([sung * (batch.note_midi - 60.0) / 12.0, sung], axis=-1)  # [B, N, 2]
        x += Linear(self.hidden, name="note_pitch")(pitch)
        x += Linear(self.hidden, name="note_duration")(jnp.log1p(batch.note_sec)[..., None])
        x += Embed(2, self.hidden, name="slur")(batch.slur)
        x += Embed(self.speakers, self.hidden, name="speaker")(batch.speaker)[:, None, :]
        return x + Embed(self.languages, self.hidden, name="language")(batch.language)

    def _add_midi(self, x: jax.Array, batch: Batch) -> jax.Array:
        """The reference's `FastSpeech2MIDI`: a table of whole pitches, seconds, slurs."""
        key = jnp.clip(jnp.round(batch.note_midi), 0, MIDI_ROWS - 1).astype(jnp.int32)
        x += Embed(MIDI_ROWS, self.hidden, name="midi")(key)
        x += Linear(self.hidden, name="seconds")(batch.note_sec[..., None])
        return x + Embed(2, self.hidden, name="slur")(batch.slur)

    def _add_durations(self, x: jax.Array, batch: Batch) -> jax.Array:
        """Frames of each phoneme, and the language of those that several languages share."""
        frames = frames_per_phoneme(batch.mel2ph, batch.tokens.shape[1]).astype(jnp.float32)
        frames = jnp.log1p(frames) if self.scaled_durations else frames
        x += ScalarEmbed(self.hidden, name="duration")(frames)
        return self._add_language(x, batch)

    def _add_words(self, x: jax.Array, batch: Batch) -> jax.Array:
        """Where words start and how many frames they fill: of `ph_frames` only their sums.

        What predicts durations is shown those of the words alone, which the score says.
        """
        word = word_of(batch.onset)
        frames = expand_to_frames(word_sums(batch.ph_frames.astype(jnp.float32), word), word)
        x += Embed(2, self.hidden, name="onset")(batch.onset)
        x += ScalarEmbed(self.hidden, name="word_frames")(frames)
        return self._add_language(x, batch)

    def _add_language(self, x: jax.Array, batch: Batch) -> jax.Array:
        """The language of those phonemes that several share."""
        if self.cross_lingual is None:
            return x
        shared = jnp.isin(batch.tokens, jnp.asarray(self.cross_lingual, jnp.int32))
        language = jnp.where(shared, batch.language + 1, 0)
        return x + Embed(self.languages + 1, self.hidden, padded=True, name="language")(language)


SCORE_INPUTS = {
    "continuous": ScoreEncoder._add_continuous,
    "midi": ScoreEncoder._add_midi,
    "phonemes": lambda encoder, x, batch: x,
    "durations": ScoreEncoder._add_durations,
    "words": ScoreEncoder._add_words,
}
"""What the encoder reads beside the phonemes: ours, the reference's with MIDI and without, and
openvpi's with frames of phonemes or of words."""
