"""DiffSinger: score -> condition -> auxiliary mel -> denoiser (Liu et al. 2022)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.models.scaling import MelScaling
from diffsinger_jax.modules.curves import CurveEmbedding
from diffsinger_jax.modules.layers import Dtype, Linear, masked, sinusoidal_positions
from diffsinger_jax.modules.length_regulator import expand_to_frames
from diffsinger_jax.modules.predictors import (
    DurationPredictor,
    PitchEmbedding,
    PitchPredictor,
)
from diffsinger_jax.modules.reference_pitch import (
    BinnedPitchEmbedding,
    FramePitchPredictor,
    WaveletPitchPredictor,
)
from diffsinger_jax.modules.score_encoder import ScoreEncoder
from diffsinger_jax.modules.transformer import FFTStack
from diffsinger_jax.modules.trunks.wavenet import WaveNet
from diffsinger_jax.ranges import ODD, SHARE, at_least, one_of
from diffsinger_jax.types import Batch

AUXILIARY_PARAMS = (
    "encoder",
    "duration_predictor",
    "pitch_predictor",
    "pitch_embedding",
    "curve_embedding",
    "auxiliary_decoder",
)
"""What the first stage trains; the second trains `denoiser` and leaves these as they are."""

PITCH_PREDICTORS = {
    "note_residual": PitchPredictor,
    "frame": FramePitchPredictor,
    "wavelet": WaveletPitchPredictor,
}
"""How pitch may be predicted, by the name in a config; "none" is the other choice."""
PITCH_FROM_NOTES = ("note_residual",)
"""Of these: what predicts the distance from a note, and is given a note."""

PITCH_INPUTS = {"continuous": PitchEmbedding, "bins": BinnedPitchEmbedding}
"""How f0 may enter the condition, by the name in a config; "none" is the other choice."""


class AuxiliaryDecoder(nn.Module):
    """FFT blocks from the condition to a mel: right on average, hence over-smoothed."""

    mel_bins: int
    layers: int
    heads: int
    kernel_size: int
    dropout: float
    unmasked_convs: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, cond: jax.Array, mask: jax.Array, *, train: bool) -> jax.Array:
        """cond [B, T, H], mask bool[B, T] -> z f32[B, T, M]."""
        alpha = self.param("position_scale", nn.initializers.ones, (1,))
        x = cond + alpha[None, None, :] * sinusoidal_positions(mask, cond.shape[-1])
        x = FFTStack(
            self.layers,
            heads=self.heads,
            kernel_size=self.kernel_size,
            dropout=self.dropout,
            unmasked_convs=self.unmasked_convs,
            dtype=self.dtype,
            name="blocks",
        )(x, mask, train=train)
        return Linear(self.mel_bins, name="out")(x) * mask[..., None]


class DiffSinger(nn.Module):
    """The acoustic model; mels are scaled to [-1, 1] per bin (`z`) inside.

    Fields with a default are those that configs leave out: what else they can say computes what the
    reference implementation does, so that its checkpoints give their numbers
    (`diffsinger_jax.interop`).

    Attributes:
      phonemes, speakers, languages: sizes of the vocabulary, padding not counted.
      mel_bins: M.
      mel_low, mel_high: f32[M] log mel that is -1 and 1 in z; needed where the auxiliary decoder
        puts out log mels.
      hidden: H, width of encoder, condition and auxiliary decoder.
      encoder_layers, decoder_layers, heads, kernel_size, dropout: of the FFT blocks.
      decoder_kernel_size: of the auxiliary decoder's blocks; None for `kernel_size`.
      score_inputs, positions: of the encoder, names in `SCORE_INPUTS` and `POSITIONS`.
      predictor_layers, predictor_hidden, predictor_dropout: of both predictors.
      predictor_gradient: factor on the gradient that the predictors send to the encoder.
      duration_layers: of the duration predictor; None for `predictor_layers`.
      duration_kernel_size, pitch_kernel_size: of the predictors' convolutions.
      pitch: how f0 is predicted, a name in `PITCH_PREDICTORS`, or "none".
      pitch_settings: further keyword arguments of that predictor.
      pitch_input: how f0 enters the condition, a name in `PITCH_INPUTS`, or "none".
      pitch_input_settings: further keyword arguments of that embedding.
      curves: names of the optional features that enter the condition, see `features.FEATURES`.
      auxiliary_output: what the auxiliary decoder's last layer puts out, "z" or "log_mel".
      denoiser_channels, denoiser_layers, dilation_cycle: of the WaveNet.
      condition_on_prior: whether the denoiser is shown the auxiliary mel beside the condition.
      unmasked_convs: whether convolutions see what layers make of padding, as the reference's do,
        and numbers near the end of a row depend on how far it is padded.
      dtype: of the inputs of matmuls; all else is float32.
    """

    phonemes: int
    speakers: int
    languages: int
    mel_bins: int
    hidden: Annotated[int, at_least(1)]
    encoder_layers: Annotated[int, at_least(1)]
    decoder_layers: Annotated[int, at_least(1)]
    heads: Annotated[int, at_least(1)]
    kernel_size: Annotated[int, ODD]
    dropout: Annotated[float, SHARE]
    predictor_layers: Annotated[int, at_least(1)]
    predictor_hidden: Annotated[int, at_least(1)]
    predictor_dropout: Annotated[float, SHARE]
    predictor_gradient: Annotated[float, at_least(0)]
    denoiser_channels: Annotated[int, at_least(1)]
    denoiser_layers: Annotated[int, at_least(1)]
    dilation_cycle: Annotated[int, at_least(1)]
    condition_on_prior: bool
    mel_low: tuple[float, ...] = ()
    mel_high: tuple[float, ...] = ()
    decoder_kernel_size: Annotated[int | None, ODD] = None
    score_inputs: str = "continuous"
    positions: str = "sinusoid"
    duration_layers: int | None = None
    duration_kernel_size: Annotated[int, ODD] = 3
    pitch_kernel_size: Annotated[int, ODD] = 5
    pitch: Annotated[str, one_of((*PITCH_PREDICTORS, "none"))] = "note_residual"
    pitch_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    pitch_input: Annotated[str, one_of((*PITCH_INPUTS, "none"))] = "continuous"
    pitch_input_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    curves: tuple[str, ...] = ()
    auxiliary_output: str = "z"
    unmasked_convs: bool = False
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Declares the parts under the names that stages and checkpoints know them by."""
        blocks = dict(
            heads=self.heads,
            dropout=self.dropout,
            unmasked_convs=self.unmasked_convs,
            dtype=self.dtype,
        )
        predictor = dict(hidden=self.predictor_hidden, dropout=self.predictor_dropout)
        self.encoder = ScoreEncoder(
            self.phonemes,
            self.speakers,
            self.languages,
            self.hidden,
            layers=self.encoder_layers,
            kernel_size=self.kernel_size,
            score_inputs=self.score_inputs,
            positions=self.positions,
            **blocks,
        )
        self.duration_predictor = DurationPredictor(
            layers=self.duration_layers or self.predictor_layers,
            kernel_size=self.duration_kernel_size,
            **predictor,
        )
        if self.pitch != "none":
            self.pitch_predictor = PITCH_PREDICTORS[self.pitch](
                layers=self.predictor_layers,
                kernel_size=self.pitch_kernel_size,
                unmasked_convs=self.unmasked_convs,
                **predictor,
                **self.pitch_settings,
            )
        if self.pitch_input != "none":
            self.pitch_embedding = PITCH_INPUTS[self.pitch_input](
                self.hidden, **self.pitch_input_settings
            )
        if self.curves:
            self.curve_embedding = CurveEmbedding(self.curves, self.hidden)
        self.auxiliary_decoder = AuxiliaryDecoder(
            self.mel_bins,
            layers=self.decoder_layers,
            kernel_size=self.decoder_kernel_size or self.kernel_size,
            **blocks,
        )
        self.denoiser = WaveNet(
            self.mel_bins,
            self.denoiser_channels,
            self.denoiser_layers,
            self.dilation_cycle,
            dtype=self.dtype,
        )
        # Spread of real mels around the auxiliary ones; measured between the stages, not trained.
        self.prior_scale = self.param(
            "prior_scale", nn.initializers.constant(0.1), (self.mel_bins,)
        )

    def encode(self, batch: Batch, *, train: bool = False) -> jax.Array:
        """What is sung, for each phoneme: f32[B, N, H]."""
        return self.encoder(
            batch.tokens,
            batch.note_midi,
            batch.note_sec,
            batch.slur,
            batch.speaker,
            batch.language,
            train=train,
        )

    def predict_durations(
        self, encoded: jax.Array, batch: Batch, *, train: bool = False
    ) -> jax.Array:
        """log(1 + frames) of each phoneme, f32[B, N]."""
        return self.duration_predictor(self._damped(encoded), batch.tokens > 0, train=train)

    def predict_pitch(
        self, encoded: jax.Array, batch: Batch, *, train: bool = False
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Note of each frame (MIDI, 0 rest), distance from it in semitones, voiced logits.

        A model that predicts no pitch sings the notes, voiced in all but rests.
        """
        note = expand_to_frames(batch.note_midi, batch.mel2ph)
        if self.pitch == "none":
            return note, jnp.zeros_like(note), jnp.where(note > 0, 1.0, -1.0)
        damped = self._damped(encoded)
        expanded = expand_to_frames(damped, batch.mel2ph)
        residual, voiced = self.pitch_predictor(
            expanded, damped[:, 0], note, batch.mask, train=train
        )
        return note, residual, voiced

    def predict_wavelets(
        self, encoded: jax.Array, batch: Batch
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Coefficients, mean and spread of log f0, see `WaveletPitchPredictor.curves`."""
        expanded = expand_to_frames(encoded, batch.mel2ph)
        return self.pitch_predictor.curves(expanded, encoded[:, 0], batch.mask, train=False)

    def condition(self, encoded: jax.Array, batch: Batch) -> jax.Array:
        """What the decoders need to know of each frame: f32[B, T, H]."""
        cond = expand_to_frames(encoded, batch.mel2ph)  # [B, N, H] -> [B, T, H]
        if self.pitch_input != "none":
            cond += self.pitch_embedding(batch.f0)
        if self.curves:
            cond += self.curve_embedding(batch.curves)  # [B, T] each -> [B, T, H]
        return cond * batch.mask[..., None]

    def auxiliary_mel(self, cond: jax.Array, mask: jax.Array, *, train: bool = False) -> jax.Array:
        """The auxiliary mel, z f32[B, T, M]."""
        out = self.auxiliary_decoder(cond, mask, train=train)
        if self.auxiliary_output == "z":
            return out
        low, high = (jnp.asarray(edge, jnp.float32) for edge in (self.mel_low, self.mel_high))
        z = MelScaling(low, high).scale(out)
        return z if self.unmasked_convs else masked(z, mask)

    def denoise(
        self, x: jax.Array, t: jax.Array, cond: jax.Array, prior: jax.Array, mask: jax.Array
    ) -> jax.Array:
        """The denoiser's output for trunk input x [B, T, M] told t f32[B]: f32[B, T, M]."""
        return self.denoise_prepared(
            x, self.embed_times(t), self.project_condition(cond, prior), mask
        )

    def project_condition(self, cond: jax.Array, prior: jax.Array) -> list[jax.Array]:
        """What of the denoiser depends on the condition alone: computed once for all steps."""
        shown = jnp.concatenate([cond, prior], axis=-1) if self.condition_on_prior else cond
        return self.denoiser.project_condition(shown)

    def embed_times(self, t: jax.Array) -> jax.Array:
        """What of the denoiser depends on the times f32[n] it is told alone: computed once."""
        return self.denoiser.embed_steps(t.astype(jnp.float32))

    def denoise_prepared(
        self, x: jax.Array, step: jax.Array, projected: Sequence[jax.Array], mask: jax.Array
    ) -> jax.Array:
        """As `denoise`, with rows of `embed_times` and the condition of `project_condition`."""
        mask = jnp.ones_like(mask) if self.unmasked_convs else mask
        return self.denoiser.run(x, step, projected, mask)

    def _damped(self, encoded: jax.Array) -> jax.Array:
        """The same numbers with a weaker gradient: predictors must not bend the encoder."""
        g = self.predictor_gradient
        return g * encoded + (1.0 - g) * jax.lax.stop_gradient(encoded)

    def __call__(self, batch: Batch) -> tuple[jax.Array, ...]:
        """Touches every part once; for initialization."""
        encoded = self.encode(batch)
        cond = self.condition(encoded, batch)
        z = self.auxiliary_mel(cond, batch.mask)
        t = jnp.zeros(z.shape[0])
        return (
            self.predict_durations(encoded, batch),
            *self.predict_pitch(encoded, batch),
            z,
            self.denoise(z, t, cond, z, batch.mask),
        )
