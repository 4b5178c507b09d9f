"""Tacotron 2: phonemes -> a mel, frame after frame, until it says that it is done.

Shen et al. 2018, arXiv 1712.05884. Durations are where its attention looks; where others are asked
for, as for pauses or a rate, its mel is stretched to them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.diffusion.path import Path
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.models.families import NO_PATH, corpus_sizes
from diffsinger_jax.models.scaling import MelScaling
from diffsinger_jax.modules.attention_decoder import (
    AttentionDecoder,
    attention_frames,
    warp_frames,
)
from diffsinger_jax.modules.layers import Conv1D, Embed, Linear, masked
from diffsinger_jax.modules.length_regulator import expand_to_frames, frames_per_phoneme
from diffsinger_jax.modules.reference_pitch import FramePitchPredictor
from diffsinger_jax.pitch import midi_to_hz
from diffsinger_jax.ranges import ODD, SHARE, at_least
from diffsinger_jax.types import Batch, CorpusInfo

MOST_FRAMES = 12
"""Of a phoneme on average, after which it stops by itself."""


class Tacotron2(nn.Module):
    """Encoder, attention decoder, post-net; and pitch, for vocoders that want it.

    Attributes:
      phonemes, speakers, languages: sizes of the vocabulary, padding not counted.
      mel_bins: M.
      hidden: H of the encoder, even.
      encoder_layers, kernel_size, dropout: of its convolutions.
      reduction: frames of a step of the decoder.
      decoder_hidden, prenet, attention, filters, forward: see `AttentionDecoder`.
      postnet_layers, postnet_hidden: of the convolutions that correct the mel.
      predictor_layers, predictor_hidden, predictor_dropout: of pitch.
    """

    phonemes: int
    speakers: int
    languages: int
    mel_bins: int
    hidden: Annotated[int, at_least(2)]
    encoder_layers: Annotated[int, at_least(1)]
    kernel_size: Annotated[int, ODD]
    dropout: Annotated[float, SHARE]
    reduction: Annotated[int, at_least(1)]
    decoder_hidden: Annotated[int, at_least(1)]
    prenet: Annotated[int, at_least(1)]
    attention: Annotated[int, at_least(1)]
    filters: Annotated[int, at_least(1)]
    postnet_layers: Annotated[int, at_least(1)]
    postnet_hidden: Annotated[int, at_least(1)]
    predictor_layers: Annotated[int, at_least(1)]
    predictor_hidden: Annotated[int, at_least(1)]
    predictor_dropout: Annotated[float, SHARE]
    forward: bool = False
    curves: tuple[str, ...] = ()

    def setup(self) -> None:
        """Declares the parts."""
        self.embedding = Embed(self.phonemes + 1, self.hidden, padded=True)
        self.convolutions = [
            Conv1D(self.hidden, self.kernel_size) for _ in range(self.encoder_layers)
        ]
        self.norms = [nn.LayerNorm() for _ in range(self.encoder_layers)]
        self.drop = nn.Dropout(self.dropout)
        self.both_ways = nn.Bidirectional(
            nn.RNN(nn.OptimizedLSTMCell(self.hidden // 2)),
            nn.RNN(nn.OptimizedLSTMCell(self.hidden // 2)),
        )
        self.decoder = AttentionDecoder(
            self.mel_bins,
            self.reduction,
            hidden=self.decoder_hidden,
            prenet=self.prenet,
            attention=self.attention,
            filters=self.filters,
            forward=self.forward,
        )
        self.postnet = [Conv1D(self.postnet_hidden, 5) for _ in range(self.postnet_layers)]
        self.correction = Linear(self.mel_bins)
        self.pitch_predictor = FramePitchPredictor(
            layers=self.predictor_layers,
            hidden=self.predictor_hidden,
            kernel_size=5,
            dropout=self.predictor_dropout,
        )

    def encode(self, batch: Batch, *, train: bool = False) -> jax.Array:
        """Each phoneme, f32[B, N, H]."""
        mask = batch.tokens > 0
        x = self.embedding(batch.tokens)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = nn.relu(norm(convolution(masked(x, mask))))
            x = self.drop(x, deterministic=not train)
        both: Any = self.both_ways(masked(x, mask), seq_lengths=mask.sum(axis=1))
        return masked(both, mask)

    def decode(
        self, encoded: jax.Array, batch: Batch, given: jax.Array | None, steps: int
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """See `AttentionDecoder`."""
        return self.decoder(encoded, batch.tokens > 0, given, steps)

    def correct(self, z: jax.Array, mask: jax.Array, *, train: bool = False) -> jax.Array:
        """The decoder's mel [B, T, M] with the post-net's correction."""
        x = z
        for convolution in self.postnet:
            x = jnp.tanh(convolution(masked(x, mask)))
            x = self.drop(x, deterministic=not train)
        return z + masked(self.correction(x), mask)

    def predict_pitch(
        self, encoded: jax.Array, mel2ph: jax.Array, *, train: bool = False
    ) -> tuple[jax.Array, jax.Array]:
        """MIDI pitch of each frame and voiced logits, f32[B, T]; the encoder learns nothing."""
        encoded = jax.lax.stop_gradient(encoded)
        expanded = expand_to_frames(encoded, mel2ph)
        no_note = jnp.zeros(mel2ph.shape)
        return self.pitch_predictor(expanded, encoded[:, 0], no_note, mel2ph > 0, train=train)

    def __call__(self, batch: Batch) -> tuple[jax.Array, ...]:
        """Touches every part once; for initialization."""
        encoded = self.encode(batch)
        given = jnp.zeros((len(encoded), 1, self.mel_bins))
        frames, weights, stop = self.decode(encoded, batch, given, 1)
        real = jnp.ones(frames.shape[:2], bool)
        return (
            self.correct(frames, real),
            weights,
            stop,
            *self.predict_pitch(encoded, batch.mel2ph),
        )


class Spoken(NamedTuple):
    """What the decoder makes by itself.

    Attributes:
      z: f32[B, S * reduction, M] mel.
      frames: i32[B, N] of each phoneme in it.
      weights: f32[B, S, N] of the attention.
      steps: i32[B] at which it stopped.
    """

    z: jax.Array
    frames: jax.Array
    weights: jax.Array
    steps: jax.Array


class Shown(NamedTuple):
    """Recordings in whole steps of `reduction` frames, S of them.

    Attributes:
      z: [B, S * reduction, M] mel, 0 on padding.
      mask: bool[B, S * reduction].
      step_mask: bool[B, S].
      given: [B, S, M] the frame before each step, 0 before the first.
    """

    z: jax.Array
    mask: jax.Array
    step_mask: jax.Array
    given: jax.Array


def shown_steps(z: jax.Array, mask: jax.Array, reduction: int) -> Shown:
    """What the decoder is shown of recordings, a mel [B, T, M] and bool[B, T]."""
    more = -mask.shape[1] % reduction
    mask = jnp.pad(mask, ((0, 0), (0, more)))
    z = jnp.pad(z, ((0, 0), (0, more), (0, 0))) * mask[..., None]
    given = jnp.pad(z[:, reduction - 1 :: reduction], ((0, 0), (1, 0), (0, 0)))[:, :-1]
    return Shown(z, mask, mask[:, ::reduction], given)


@dataclasses.dataclass(frozen=True)
class Tacotron2Model:
    """A Tacotron 2 as voices have it, an `Acoustic`.

    Attributes:
      model: the Flax module.
      scaling: of its mels.
    """

    model: Tacotron2
    scaling: MelScaling

    @property
    def path(self) -> Path:
        """There is none."""
        return NO_PATH

    def predict_frames(self, params: Any, batch: Batch) -> jax.Array:
        """See `Acoustic.predict_frames`: how long it looks at each phoneme."""
        keys = jax.random.split(jax.random.key(0), len(batch.tokens))
        return self.speak(params, batch, keys).frames.astype(jnp.float32)

    def predict_f0(self, params: Any, batch: Batch) -> jax.Array:
        """See `Acoustic.predict_f0`."""
        encoded = self.apply(params, "encode", batch)
        midi, voiced = self.apply(params, "predict_pitch", encoded, batch.mel2ph)
        return jnp.where((voiced > 0) & batch.mask, midi_to_hz(midi), 0.0)

    def sample_mel(
        self,
        params: Any,
        batch: Batch,
        keys: jax.Array,
        temperature: jax.Array | float,
        *,
        sampling: Sampling,
    ) -> jax.Array:
        """See `Acoustic.sample_mel`; the temperature is not used."""
        spoken = self.speak(params, batch, keys)
        wanted = frames_per_phoneme(batch.mel2ph, batch.tokens.shape[1])
        z = warp_frames(spoken.z, spoken.frames, wanted, batch.mel2ph)
        return self.scaling.unscale(z)

    def speak(self, params: Any, batch: Batch, keys: jax.Array) -> Spoken:
        """Frame after frame until it stops, or `MOST_FRAMES` for each phoneme are made.

        Args:
          params: of the model.
          batch: its phonemes.
          keys: [B], a random key for each row.
        """
        is_phoneme = batch.tokens > 0
        steps = max(is_phoneme.shape[1] * MOST_FRAMES // self.model.reduction, 1)
        z, weights, stop = self._decode(params, batch, keys, None, steps)
        number = jax.lax.broadcasted_iota(jnp.int32, stop.shape, 1)
        first = jnp.min(jnp.where(stop > 0, number, steps - 1), axis=1) + 1  # [B]
        made = jnp.minimum(jnp.maximum(first, is_phoneme.sum(axis=1)), steps)
        mask = number < made[:, None]
        frames = self.model.reduction * attention_frames(weights, is_phoneme, mask)
        frame_mask = jnp.repeat(mask, self.model.reduction, axis=1)
        return Spoken(self.apply(params, "correct", z, frame_mask), frames, weights, made)

    def align(self, params: Any, batch: Batch) -> jax.Array:
        """Frames of each phoneme of recordings, i32[B, N]: where it looks as it is shown their mel.

        They fill whole steps, so that the last phoneme may end behind the recording.
        """
        keys = jax.random.split(jax.random.key(0), len(batch.tokens))
        shown = shown_steps(self.scaling.scale(batch.mel), batch.mask, self.model.reduction)
        steps = shown.step_mask.shape[1]
        _, weights, _ = self._decode(params, batch, keys, shown.given, steps)
        return self.model.reduction * attention_frames(weights, batch.tokens > 0, shown.step_mask)

    def _decode(
        self, params: Any, batch: Batch, keys: jax.Array, given: jax.Array | None, steps: int
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """What `AttentionDecoder` returns; the draws of each row are those of its key."""

        def of_row(row: Any, key: jax.Array) -> Any:
            row = jax.tree.map(lambda x: x[None], row)
            variables, rngs = {"params": params}, {"dropout": key}
            out = self.model.apply(variables, *row, steps, method="decode", rngs=rngs)
            return jax.tree.map(lambda x: x[0], out)

        encoded = self.apply(params, "encode", batch)
        return jax.vmap(of_row)((encoded, batch, given), keys)

    def apply(self, params: Any, method: str, *args: Any) -> Any:
        """A method of the module that draws nothing."""
        return self.model.apply({"params": params}, *args, method=method)


def tacotron2(
    model: Mapping[str, Any], schedule: Mapping[str, Any], process: str, info: CorpusInfo
) -> Tacotron2Model:
    """Of a voice's model section and its corpus; there is no schedule and no process."""
    module = Tacotron2(
        **corpus_sizes(info),
        **model,
    )
    low, high = jnp.asarray(info.mel_min), jnp.asarray(info.mel_max)
    return Tacotron2Model(module, MelScaling(low=low, high=high))
