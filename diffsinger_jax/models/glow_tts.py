"""Glow-TTS: phonemes -> a Gaussian of each frame -> a mel, by an invertible decoder.

Durations are found by monotonic alignment search while it trains: it needs recordings and their
phonemes, and no times (Kim et al. 2020, arXiv 2005.11129).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.diffusion.path import Path
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.models.families import NO_PATH, corpus_sizes
from diffsinger_jax.models.scaling import MelScaling
from diffsinger_jax.modules.alignment import (
    diagonal_log_prior,
    frame_log_likelihood,
    monotonic_alignment,
)
from diffsinger_jax.modules.flow_decoder import SQUEEZED, FlowDecoder
from diffsinger_jax.modules.layers import Embed, Linear
from diffsinger_jax.modules.length_regulator import expand_to_frames
from diffsinger_jax.modules.predictors import DurationPredictor
from diffsinger_jax.modules.reference_pitch import FramePitchPredictor
from diffsinger_jax.modules.score_encoder import ScoreEncoder
from diffsinger_jax.pitch import midi_to_hz
from diffsinger_jax.ranges import ODD, SHARE, at_least, one_of
from diffsinger_jax.types import Batch, CorpusInfo

SPREAD = 3.0
"""Mels in [-1, 1] are multiplied by it: the flow begins as the identity, its data about N(0, 1)."""

SEARCHES = ("latent", "mel")
"""What monotonic alignment search compares with phonemes."""


class MelMeans(nn.Module):
    """The mean mel of each phoneme, whatever is around it: what a search in mels compares with.

    A flow makes white noise of mels sooner than its phonemes have means, and where they do not
    differ nothing aligns. Mels themselves align as those of hidden Markov models do, apart from
    what is learnt on the alignment (Badlani et al. 2021, arXiv 2108.10447, section 2).

    Attributes:
      phonemes: padding not counted.
      mel_bins: M.
      hidden: of the vectors that a matrix turns into means; a table of means would learn slowly.
    """

    phonemes: int
    mel_bins: int
    hidden: int

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        """i32[B, N] -> f32[B, N, M] of mels times `SPREAD`; all alike at first."""
        x = Embed(self.phonemes + 1, self.hidden, padded=True)(tokens) * self.hidden**0.5
        return Linear(self.mel_bins, kernel_init=nn.initializers.zeros)(x)


class GlowTTS(nn.Module):
    """Encoder, predictors and flow.

    Attributes:
      phonemes, speakers, languages: sizes of the vocabulary, padding not counted.
      mel_bins: M, even.
      hidden: H of the encoder.
      encoder_layers, heads, kernel_size, dropout: of its FFT blocks.
      predictor_layers, predictor_hidden, predictor_dropout: of durations and pitch.
      flow_blocks, flow_hidden, flow_layers, flow_kernel_size: see `FlowDecoder`.
      search: what the search compares with phonemes, "latent", the flow's output, or "mel": see
        `MelMeans`.
      alignment_prior: factor on the `diagonal_log_prior` that the search adds to likelihoods; 0 for
        the paper's search, which needs many steps to leave the alignment that it begins with.
    """

    phonemes: int
    speakers: int
    languages: int
    mel_bins: int
    hidden: Annotated[int, at_least(1)]
    encoder_layers: Annotated[int, at_least(1)]
    heads: Annotated[int, at_least(1)]
    kernel_size: Annotated[int, ODD]
    dropout: Annotated[float, SHARE]
    predictor_layers: Annotated[int, at_least(1)]
    predictor_hidden: Annotated[int, at_least(1)]
    predictor_dropout: Annotated[float, SHARE]
    flow_blocks: Annotated[int, at_least(1)]
    flow_hidden: Annotated[int, at_least(1)]
    flow_layers: Annotated[int, at_least(1)]
    flow_kernel_size: Annotated[int, ODD]
    search: Annotated[str, one_of(SEARCHES)] = "latent"
    alignment_prior: Annotated[float, at_least(0)] = 0.0
    curves: tuple[str, ...] = ()

    def setup(self) -> None:
        """Declares the parts."""
        self.encoder = ScoreEncoder(
            self.phonemes,
            self.speakers,
            self.languages,
            self.hidden,
            layers=self.encoder_layers,
            heads=self.heads,
            kernel_size=self.kernel_size,
            dropout=self.dropout,
            score_inputs="phonemes",
        )
        # All alike at first: random means are as likely as they are short, and those win.
        self.mean = Linear(self.mel_bins, kernel_init=nn.initializers.zeros)
        if self.search == "mel":
            self.mel_means = MelMeans(self.phonemes, self.mel_bins, self.hidden)
        predictor: dict[str, Any] = dict(
            layers=self.predictor_layers,
            hidden=self.predictor_hidden,
            dropout=self.predictor_dropout,
        )
        self.duration_predictor = DurationPredictor(kernel_size=3, **predictor)
        self.pitch_predictor = FramePitchPredictor(kernel_size=5, **predictor)
        self.flow = FlowDecoder(
            self.mel_bins,
            blocks=self.flow_blocks,
            hidden=self.flow_hidden,
            layers=self.flow_layers,
            kernel_size=self.flow_kernel_size,
        )

    def encode(self, batch: Batch, *, train: bool = False) -> tuple[jax.Array, jax.Array]:
        """Each phoneme f32[B, N, H], and the mean of its frames f32[B, N, M]."""
        encoded = self.encoder(batch, train=train)
        return encoded, self.mean(encoded)

    def compared(
        self, batch: Batch, mean: jax.Array, z: jax.Array, noise: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """What the search compares: the mean of each phoneme f32[B, N, M], frames f32[B, T, M].

        Args:
          batch: of which phonemes are read.
          mean: of each phoneme's latents.
          z, noise: a mel in [-1, 1], and what the flow makes of it.
        """
        return (
            (mean, noise) if self.search == "latent" else (self.mel_means(batch.tokens), SPREAD * z)
        )

    def predict_durations(
        self, encoded: jax.Array, batch: Batch, *, train: bool = False
    ) -> jax.Array:
        """log(1 + frames) of each phoneme, f32[B, N]; the encoder learns nothing of it."""
        encoded = jax.lax.stop_gradient(encoded)
        return self.duration_predictor(encoded, batch.tokens > 0, train=train)

    def predict_pitch(
        self, encoded: jax.Array, mel2ph: jax.Array, *, train: bool = False
    ) -> tuple[jax.Array, jax.Array]:
        """MIDI pitch of each frame and voiced logits, f32[B, T]; the encoder learns nothing."""
        encoded = jax.lax.stop_gradient(encoded)
        expanded = expand_to_frames(encoded, mel2ph)
        no_note = jnp.zeros(mel2ph.shape)
        return self.pitch_predictor(expanded, encoded[:, 0], no_note, mel2ph > 0, train=train)

    def to_noise(self, z: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
        """A mel z in [-1, 1], T and its real frames even -> the flow's [B, T, M], ln |det| [B].

        The determinant is that of the flow alone: of a mel that is `SPREAD` times z.
        """
        return self.flow(SPREAD * z, mask)

    def from_noise(self, noise: jax.Array, mask: jax.Array) -> jax.Array:
        """The inverse of `to_noise`."""
        return self.flow.inverse(noise, mask) / SPREAD

    def likeliest_frames(
        self, compared: tuple[jax.Array, jax.Array], is_phoneme: jax.Array, mask: jax.Array
    ) -> jax.Array:
        """Of (mean, x), x ~ N(mean, 1), the frames of each phoneme, i32[B, N]; without gradient."""
        mean, x = jax.lax.stop_gradient(compared)
        likelihood = frame_log_likelihood(mean, jnp.zeros_like(mean), x)
        if self.alignment_prior:
            likelihood += self.alignment_prior * diagonal_log_prior(is_phoneme, mask)
        return monotonic_alignment(likelihood, is_phoneme, mask)

    def __call__(self, batch: Batch) -> tuple[jax.Array, ...]:
        """Touches every part once; for initialization."""
        encoded, _ = self.encode(batch)
        two = jnp.zeros((1, SQUEEZED, self.mel_bins)), jnp.ones((1, SQUEEZED), bool)
        return (
            *self.compared(batch, encoded, *two),
            self.predict_durations(encoded, batch),
            *self.predict_pitch(encoded, batch.mel2ph),
            *self.to_noise(*two),
        )


@dataclasses.dataclass(frozen=True)
class GlowTtsModel:
    """A Glow-TTS as voices have it, an `Acoustic`.

    Attributes:
      model: the Flax module.
      scaling: of its mels.
    """

    model: GlowTTS
    scaling: MelScaling

    @property
    def path(self) -> Path:
        """There is none."""
        return NO_PATH

    def predict_frames(self, params: Any, batch: Batch) -> jax.Array:
        """See `Acoustic.predict_frames`."""
        encoded, _ = self.apply(params, "encode", batch)
        return jnp.maximum(jnp.expm1(self.apply(params, "predict_durations", encoded, batch)), 0.0)

    def predict_f0(self, params: Any, batch: Batch) -> jax.Array:
        """See `Acoustic.predict_f0`."""
        encoded, _ = self.apply(params, "encode", batch)
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
        """See `Acoustic.sample_mel`: noise with the means of the phonemes, through the flow."""
        _, mean = self.apply(params, "encode", batch)
        mel2ph, mask = in_pairs(batch.mel2ph)
        shape = (*mel2ph.shape[1:], self.model.mel_bins)
        eps = jax.vmap(lambda key: jax.random.normal(key, shape))(keys)
        noise = expand_to_frames(mean, mel2ph) + temperature * eps
        z = self.apply(params, "from_noise", noise * mask[..., None], mask)
        return self.scaling.unscale(z[:, : batch.mask.shape[1]])

    def align(self, params: Any, batch: Batch) -> jax.Array:
        """Frames of each phoneme of recordings, i32[B, N], by `monotonic_alignment`.

        Of an odd number of frames the last belongs to the last phoneme.
        """
        _, mean = self.apply(params, "encode", batch)
        z, mask = whole_pairs(self.scaling.scale(batch.mel), batch.mask)
        noise, _ = self.apply(params, "to_noise", z, mask)
        compared = self.apply(params, "compared", batch, mean, z, noise)
        frames = self.model.likeliest_frames(compared, batch.tokens > 0, mask)
        last = jnp.sum(batch.tokens > 0, axis=1) - 1  # [B]
        odd = batch.mask.sum(axis=1) - mask.sum(axis=1)
        return frames.at[jnp.arange(len(last)), last].add(odd.astype(jnp.int32))

    def apply(self, params: Any, method: str, *args: Any) -> Any:
        """A method of the module."""
        return self.model.apply({"params": params}, *args, method=method)


def whole_pairs(z: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A mel [B, T, M] and its mask without the last frame of an odd number."""
    even = mask.shape[1] - mask.shape[1] % SQUEEZED
    frames = mask.sum(axis=1, keepdims=True) // SQUEEZED * SQUEEZED
    number = jax.lax.broadcasted_iota(jnp.int32, (1, even), 1)
    return z[:, :even], number < frames


def in_pairs(mel2ph: jax.Array) -> tuple[jax.Array, jax.Array]:
    """mel2ph [B, T] and its mask with one more frame where their number is odd."""
    padded = jnp.pad(mel2ph, ((0, 0), (0, mel2ph.shape[1] % SQUEEZED)))
    before = jnp.pad(padded, ((0, 0), (1, 0)))[:, :-1]
    number = jax.lax.broadcasted_iota(jnp.int32, (1, padded.shape[1]), 1)
    joined = jnp.where((padded == 0) & (number % SQUEEZED == 1), before, padded)
    return joined, joined > 0


def glow_tts(
    model: Mapping[str, Any], schedule: Mapping[str, Any], process: str, info: CorpusInfo
) -> GlowTtsModel:
    """Of a voice's model section and its corpus; there is no schedule and no process."""
    module = GlowTTS(
        **corpus_sizes(info),
        **model,
    )
    low, high = jnp.asarray(info.mel_min), jnp.asarray(info.mel_max)
    return GlowTtsModel(module, MelScaling(low=low, high=high))
