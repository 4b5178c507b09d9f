"""DiffSinger: score -> condition -> auxiliary mel -> denoiser (Liu et al. 2022)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.diffusion.field import FREQUENCIES
from diffsinger_jax.diffusion.places import GROUPS, HEIGHTS, MOVEMENTS
from diffsinger_jax.models.scaling import MelScaling
from diffsinger_jax.modules.convnext import ConvNeXtDecoder
from diffsinger_jax.modules.curves import (
    CURVE_INPUTS,
    CURVE_LEVELS,
    CURVE_SCALES,
    CurveEmbedding,
    MelScalePitchEmbedding,
    f0_on_phonemes,
    on_phonemes,
)
from diffsinger_jax.modules.layers import Dtype, Embed, Linear, masked, sinusoidal_positions
from diffsinger_jax.modules.length_regulator import expand_to_frames, frames_per_phoneme
from diffsinger_jax.modules.predictors import (
    DurationPredictor,
    PitchEmbedding,
    PitchPredictor,
)
from diffsinger_jax.modules.reference_pitch import (
    BinnedPitchEmbedding,
    Contours,
    FramePitchPredictor,
    WaveletPitchPredictor,
)
from diffsinger_jax.modules.score_encoder import ScoreEncoder
from diffsinger_jax.modules.stretch import StretchEmbedding
from diffsinger_jax.modules.transformer import FFTStack
from diffsinger_jax.modules.trunks.registry import TRUNKS
from diffsinger_jax.pitch import fill_unvoiced
from diffsinger_jax.ranges import ODD, SHARE, at_least, one_of
from diffsinger_jax.types import Batch

AUXILIARY_PARAMS = (
    "encoder",
    "duration_predictor",
    "pitch_predictor",
    "pitch_embedding",
    "curve_embedding",
    "curve_predictor",
    "stretch_embedding",
    "speaker_embedding",
    "auxiliary_decoder",
)
"""What the first stage trains; the second trains `denoiser` and leaves these as they are."""

PITCH_PREDICTORS = {
    "note_residual": PitchPredictor,
    "frame": FramePitchPredictor,
    "wavelet": WaveletPitchPredictor,
    "phoneme": FramePitchPredictor,
}
"""How pitch may be predicted, by the name in a config; "none" is the other choice."""
PITCH_FROM_NOTES = ("note_residual",)
"""Of these: what predicts the distance from a note, and is given a note."""
PITCH_OF_PHONEMES = ("phoneme",)
"""Of these: what predicts one pitch for each phoneme, as FastPitch (Lancucki 2021)."""

PITCH_INPUTS = {
    "continuous": PitchEmbedding,
    "bins": BinnedPitchEmbedding,
    "mel_scale": MelScalePitchEmbedding,
}
"""How f0 may enter the condition, by the name in a config; "none" is the other choice."""
PITCH_INPUTS_WITHOUT_GAPS = ("mel_scale",)
"""Of these: what is shown f0 that is filled in where it is unvoiced."""


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


def _fft_decoder(model: DiffSinger, blocks: Mapping[str, Any]) -> AuxiliaryDecoder:
    return AuxiliaryDecoder(
        model.mel_bins,
        layers=model.decoder_layers,
        kernel_size=model.decoder_kernel_size or model.kernel_size,
        **blocks,
    )


def _convnext_decoder(model: DiffSinger, blocks: Mapping[str, Any]) -> ConvNeXtDecoder:
    return ConvNeXtDecoder(
        model.mel_bins,
        unmasked_convs=model.unmasked_convs,
        dtype=model.dtype,
        **model.auxiliary_settings,
    )


AUXILIARY_DECODERS = {"fft": _fft_decoder, "convnext": _convnext_decoder}
"""The auxiliary decoder, by the name in a config; "none" is the other choice."""

SPEAKER_MIX = "speaker_mix"
"""Weights of the speakers in each frame, f32[B, T, speakers], among the curves of a batch."""


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
      encoder_settings: further keyword arguments of the encoder.
      durations: whether they are predicted.
      predictor_layers, predictor_hidden, predictor_dropout: of both predictors.
      predictor_gradient: factor on the gradient that the predictors send to the encoder.
      duration_layers: of the duration predictor; None for `predictor_layers`.
      duration_kernel_size, pitch_kernel_size: of the predictors' convolutions.
      pitch: how f0 is predicted, a name in `PITCH_PREDICTORS`, or "none".
      pitch_settings: further keyword arguments of that predictor.
      pitch_input: how f0 enters the condition, a name in `PITCH_INPUTS`, or "none".
      pitch_input_settings: further keyword arguments of that embedding.
      curves: names of the optional features that enter the condition, see `features.FEATURES`.
      scaled_curves: whether they are brought to about one first.
      curve_input: how they enter it, a name in `CURVE_INPUTS`.
      curve_level: what has a value of each, of `CURVE_LEVELS`.
      predicted_curves: of them, those that the model predicts where they are not given.
      stretch: whether how far each phoneme has come enters the condition.
      speaker_in_condition: whether speakers enter it, one for a row or mixed frame by frame.
      auxiliary: the auxiliary decoder, a name in `AUXILIARY_DECODERS`, or "none".
      auxiliary_settings: keyword arguments of a decoder other than "fft".
      auxiliary_output: what the auxiliary decoder's last layer puts out, "z" or "log_mel".
      trunk: of the denoiser, a name in `TRUNKS`.
      trunk_settings: further keyword arguments of a trunk other than "wavenet".
      denoiser_channels, denoiser_layers: of the trunk.
      dilation_cycle: of the WaveNet.
      condition_on_prior: whether the denoiser is shown the auxiliary mel beside the condition.
      prior_field: whether real mels around the auxiliary ones are a Gaussian field, whose estimate
        the denoiser is shown beside x_t (`diffusion.processes.GaussianFieldProcess`).
      unmasked_convs: whether convolutions see what layers make of padding, as the reference's do,
        and numbers near the end of a row depend on how far it is padded.
      condition_on_padding: whether padding has a condition beside zero, as openvpi's has.
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
    encoder_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    durations: bool = True
    duration_layers: int | None = None
    duration_kernel_size: Annotated[int, ODD] = 3
    pitch_kernel_size: Annotated[int, ODD] = 5
    pitch: Annotated[str, one_of((*PITCH_PREDICTORS, "none"))] = "note_residual"
    pitch_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    pitch_input: Annotated[str, one_of((*PITCH_INPUTS, "none"))] = "continuous"
    pitch_input_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    curves: tuple[str, ...] = ()
    scaled_curves: bool = True
    curve_input: Annotated[str, one_of(CURVE_INPUTS)] = "scalar"
    curve_level: Annotated[str, one_of(CURVE_LEVELS)] = "frame"
    predicted_curves: tuple[str, ...] = ()
    stretch: bool = False
    speaker_in_condition: bool = False
    auxiliary: Annotated[str, one_of(("fft", "convnext", "none"))] = "fft"
    auxiliary_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    auxiliary_output: str = "z"
    trunk: Annotated[str, one_of(tuple(TRUNKS))] = "wavenet"
    trunk_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    prior_field: bool = False
    unmasked_convs: bool = False
    condition_on_padding: bool = False
    dtype: Any = jnp.float32

    def setup(self) -> None:  # long: one declaration for each part
        """Declares the parts under the names that stages and checkpoints know them by."""
        blocks = dict(
            heads=self.heads,
            dropout=self.dropout,
            unmasked_convs=self.unmasked_convs,
            dtype=self.dtype,
        )
        predictor: dict[str, Any] = dict(
            hidden=self.predictor_hidden, dropout=self.predictor_dropout
        )
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
            **self.encoder_settings,
        )
        if self.durations:
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
            self.curve_embedding = CurveEmbedding(
                self.curves, self.hidden, self.scaled_curves, self.curve_input
            )
        if self.predicted_curves:
            self.curve_predictor = Contours(
                len(self.predicted_curves),
                layers=self.predictor_layers,
                kernel_size=self.pitch_kernel_size,
                **predictor,
            )
        if self.stretch:
            self.stretch_embedding = StretchEmbedding(self.hidden)
        if self.speaker_in_condition:
            self.speaker_embedding = Embed(self.speakers, self.hidden)
        if self.auxiliary != "none":
            self.auxiliary_decoder = AUXILIARY_DECODERS[self.auxiliary](self, blocks)
        settings = dict(self.trunk_settings)
        if self.trunk == "wavenet":
            settings["dilation_cycle"] = self.dilation_cycle
        self.denoiser = TRUNKS[self.trunk](
            data=self.mel_bins,
            channels=self.denoiser_channels,
            layers=self.denoiser_layers,
            dtype=self.dtype,
            **settings,
        )
        # Spread of real mels around the auxiliary ones; measured between the stages, not trained.
        self.prior_scale = self.param(
            "prior_scale", nn.initializers.constant(0.1), (self.mel_bins,)
        )
        if self.prior_field:
            m = self.mel_bins
            self.prior_basis = self.param("prior_basis", lambda key, *a: jnp.eye(*a), m)
            self.prior_spectrum = self.param(
                "prior_spectrum", nn.initializers.constant(0.01), (GROUPS, m, FREQUENCIES)
            )
            self.prior_edges = self.param("prior_edges", nn.initializers.zeros, (MOVEMENTS,))
            self.prior_heights = self.param(
                "prior_heights", nn.initializers.zeros, (HEIGHTS - 1, m)
            )
            self.prior_variance = self.param(
                "prior_variance", nn.initializers.ones, (GROUPS, HEIGHTS, m)
            )

    def encode(self, batch: Batch, *, train: bool = False) -> jax.Array:
        """What is sung, for each phoneme: f32[B, N, H]."""
        return self.encoder(batch, self._style(batch), train=train)

    def speakers_of(self, batch: Batch) -> jax.Array:
        """Who sings, as vectors: [B, 1, H], or [B, T, H] where a batch has a "speaker_mix"."""
        if SPEAKER_MIX not in batch.curves:
            return self.speaker_embedding(batch.speaker)[:, None, :]
        table = self.speaker_embedding(jnp.arange(self.speakers))  # [S, H]
        return batch.curves[SPEAKER_MIX] @ table  # [B, T, S] -> [B, T, H]

    def _style(self, batch: Batch) -> jax.Array | None:
        """The speaker of each phoneme, for encoders with a style: the mean over its frames."""
        if not self.speaker_in_condition:
            return None
        speakers = self.speakers_of(batch)
        if speakers.shape[1] == 1:
            return speakers
        phonemes = batch.tokens.shape[1]
        member = batch.mel2ph[:, :, None] == jnp.arange(1, phonemes + 1)[None, None, :]
        frames = jnp.maximum(frames_per_phoneme(batch.mel2ph, phonemes), 1)  # [B, N]
        summed = jnp.einsum("btn,bth->bnh", member.astype(jnp.float32), speakers)
        return summed / frames[..., None]

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
        if self.pitch in PITCH_OF_PHONEMES:
            is_real = batch.tokens > 0
            of_phonemes = self.pitch_predictor(
                damped, damped[:, 0], batch.note_midi, is_real, train=train
            )
            residual, voiced = (expand_to_frames(x, batch.mel2ph) for x in of_phonemes)
            return note, residual, voiced
        expanded = expand_to_frames(damped, batch.mel2ph)
        residual, voiced = self.pitch_predictor(
            expanded, damped[:, 0], note, batch.mask, train=train
        )
        return note, residual, voiced

    def predict_curves(
        self, encoded: jax.Array, batch: Batch, *, train: bool = False
    ) -> dict[str, jax.Array]:
        """The `predicted_curves` by name, f32[B, T] each in its unit."""
        x, mask = self._damped(encoded), batch.tokens > 0
        if self.curve_level == "frame":
            x, mask = expand_to_frames(x, batch.mel2ph), batch.mask
        scaled = self.curve_predictor(x, mask, mask, train=train)  # [B, N or T, curves]
        if self.curve_level == "phoneme":
            scaled = expand_to_frames(scaled, batch.mel2ph)
        return {
            name: scaled[..., i] / CURVE_SCALES.get(name, 1.0) * batch.mask
            for i, name in enumerate(self.predicted_curves)
        }

    def predict_wavelets(
        self, encoded: jax.Array, batch: Batch
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Coefficients, mean and spread of log f0, see `WaveletPitchPredictor.curves`."""
        expanded = expand_to_frames(encoded, batch.mel2ph)
        return self.pitch_predictor.curves(expanded, encoded[:, 0], batch.mask, train=False)

    def condition(self, encoded: jax.Array, batch: Batch) -> jax.Array:
        """What the decoders need to know of each frame: f32[B, T, H]."""
        cond = expand_to_frames(encoded, batch.mel2ph)  # [B, N, H] -> [B, T, H]
        if self.stretch:
            cond = self.stretch_embedding(cond, batch.mel2ph, batch.tokens.shape[1])
        if self.speaker_in_condition:
            cond += self.speakers_of(batch)
        if self.pitch_input in PITCH_INPUTS_WITHOUT_GAPS:
            f0 = jnp.where(batch.mask, fill_unvoiced(jnp.asarray(batch.f0)), 0.0)
            cond += self.pitch_embedding(f0)
        elif self.pitch_input != "none":
            cond += self.pitch_embedding(heard_f0(self, batch))
        if self.curves:
            cond += self.curve_embedding(heard_curves(self, batch))  # [B, T] each -> [B, T, H]
        return cond if self.condition_on_padding else cond * batch.mask[..., None]

    def auxiliary_mel(self, cond: jax.Array, mask: jax.Array, *, train: bool = False) -> jax.Array:
        """The auxiliary mel, z f32[B, T, M]."""
        if self.auxiliary == "none":
            raise ValueError("the model has no auxiliary decoder; sample from noise")
        out = self.auxiliary_decoder(cond, mask, train=train)
        if self.auxiliary_output == "z" and not self.condition_on_padding:
            return out  # zero on padding already
        low, high = (jnp.asarray(edge, jnp.float32) for edge in (self.mel_low, self.mel_high))
        if self.auxiliary_output == "log_mel":
            out = MelScaling(low, high).scale(out)
        elif self.condition_on_padding:  # there it is a log mel of 0
            padding = MelScaling(low, high).scale(jnp.zeros((1, 1, self.mel_bins)))
            out = jnp.where(mask[..., None], out, padding)
        return out if self.unmasked_convs else masked(out, mask)

    def denoise(
        self, x: jax.Array, t: jax.Array, cond: jax.Array, prior: jax.Array, mask: jax.Array
    ) -> jax.Array:
        """The denoiser's output for the process's trunk input x, told t f32[B]: f32[B, T, M]."""
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
        z = jnp.zeros((*batch.mask.shape, self.mel_bins))
        if self.auxiliary != "none":
            z = self.auxiliary_mel(cond, batch.mask)
        t = jnp.zeros(z.shape[0])
        shown = jnp.concatenate([z, z], axis=-1) if self.prior_field else z
        return (
            *((self.predict_durations(encoded, batch),) if self.durations else ()),
            *self.predict_pitch(encoded, batch),
            *(self.predict_curves(encoded, batch).values() if self.predicted_curves else ()),
            z,
            self.denoise(shown, t, cond, z, batch.mask),
        )


def heard_f0(model: DiffSinger, batch: Batch) -> jax.Array:
    """f0 as the condition of a model has it, f32[B, T] Hz, 0 unvoiced."""
    if model.pitch in PITCH_OF_PHONEMES:
        return f0_on_phonemes(batch.f0, batch.mel2ph, batch.tokens.shape[1])
    return batch.f0


def heard_curves(model: DiffSinger, batch: Batch) -> dict[str, jax.Array]:
    """The curves as the condition of a model has them, f32[B, T] by name; f32[B] as they are."""
    curves = {name: batch.curves[name] for name in model.curves}
    if model.curve_level == "frame":
        return curves
    phonemes = batch.tokens.shape[1]
    return {
        name: on_phonemes(curve, batch.mel2ph, phonemes) if curve.ndim > 1 else curve
        for name, curve in curves.items()
    }
