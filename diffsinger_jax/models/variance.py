"""The variance model: a score -> durations, pitch and curves as they might be sung.

One encoder of what is sung; a predictor of durations; and two generators of the kind that makes
mels: of pitch, as the distance from the notes' smoothed line, and of curves. openvpi/DiffSinger's
variance models are settings of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.models.diffsinger import SPEAKER_MIX
from diffsinger_jax.models.scaling import PITCH
from diffsinger_jax.modules.curves import CurveEmbedding, ScalarEmbed
from diffsinger_jax.modules.layers import Embed, Linear
from diffsinger_jax.modules.length_regulator import expand_to_frames
from diffsinger_jax.modules.melody import MIDI_SCALE, MelodyEncoder, Notes
from diffsinger_jax.modules.predictors import DURATION_PREDICTORS, ConvolutionStack
from diffsinger_jax.modules.score_encoder import ScoreEncoder
from diffsinger_jax.modules.stretch import StretchEmbedding
from diffsinger_jax.modules.trunks.protocol import Trunk
from diffsinger_jax.modules.trunks.registry import TRUNKS
from diffsinger_jax.ranges import ODD, SHARE, at_least, one_of
from diffsinger_jax.types import Array, Batch

KEYS = 128
"""Rows of the table of MIDI keys, which the duration predictor reads."""
PHONEME_SPEAKER_MIX = "phoneme_speaker_mix"
"""Weights of the speakers in each phoneme, f32[B, N or 1, speakers], among a batch's curves."""
DISTANCE_SCALE = 1.0 / 12.0
"""What brings distances of pitches to about one."""


class VarianceInputs(NamedTuple):
    """What a variance model is shown; a pytree.

    Attributes:
      batch: phonemes, and of what is given durations (`mel2ph`; to predict them `ph_frames` need
        only have the words' sums) and curves. Words are what `onset` begins.
      key: i32[B, N] whole MIDI pitch that each phoneme is sung at, for durations.
      notes: on their own axis.
      line: f32[B, T] MIDI, the notes' smoothed pitch, which generated pitch is near.
      pitch: f32[B, T] MIDI, the given one without gaps; read where it is not to be generated, and
        by the generator of curves.
      retake: bool[B, T] by name, `PITCH` or a curve's: True where it is to be generated.
      expressiveness: f32[B, T] in [0, 1], how much of a performance the generated pitch is.
    """

    batch: Batch
    key: Array
    notes: Notes
    line: Array
    pitch: Array
    retake: Mapping[str, Array]
    expressiveness: Array


class Variance(nn.Module):
    """The network; `VarianceModel` has what is needed to call it.

    Attributes:
      phonemes, speakers, languages: sizes of the vocabulary, padding not counted.
      hidden: H.
      encoder_layers, heads, kernel_size, dropout: of the encoder's FFT blocks.
      score_inputs: "words" to predict durations, "durations" where they are always given.
      positions, encoder_settings: see `ScoreEncoder`.
      scaled: whether numbers are brought to about one before they become vectors.
      durations: how they are predicted, a name in `DURATION_PREDICTORS`, or "none".
      duration_settings: layers, hidden, kernel_size, dropout of that predictor.
      melody_settings: of the `MelodyEncoder`; empty for none, and pitch is then generated of the
        notes' line alone.
      pitch_settings: of the trunk that makes pitch: its `trunk` in `TRUNKS`, over how many channels
        it has the curve, `repeats`, and keyword arguments; empty for none.
      voicing_settings: of the `ConvolutionStack` that tells voiced frames; empty for none.
      curves: names of those that are generated.
      curve_settings: as `pitch_settings`, for all curves together.
      stretch: whether how far each phoneme has come enters the conditions.
      speaker_in_condition: whether who sings enters them and the durations.
      unmasked_convs, condition_on_padding: see `DiffSinger`.
    """

    phonemes: int
    speakers: int
    languages: int
    hidden: Annotated[int, at_least(1)]
    encoder_layers: Annotated[int, at_least(1)]
    heads: Annotated[int, at_least(1)]
    kernel_size: Annotated[int, ODD]
    dropout: Annotated[float, SHARE]
    score_inputs: Annotated[str, one_of(("words", "durations"))] = "words"
    positions: str = "none"
    encoder_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    scaled: bool = True
    durations: Annotated[str, one_of((*DURATION_PREDICTORS, "none"))] = "resnet"
    duration_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    melody_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    pitch_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    voicing_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    curves: tuple[str, ...] = ()
    curve_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    stretch: bool = False
    speaker_in_condition: bool = False
    unmasked_convs: bool = False
    condition_on_padding: bool = False

    def setup(self) -> None:
        """Declares the parts under the names that checkpoints know them by."""
        h = self.hidden
        self.encoder = ScoreEncoder(
            self.phonemes,
            self.speakers,
            self.languages,
            h,
            layers=self.encoder_layers,
            heads=self.heads,
            kernel_size=self.kernel_size,
            dropout=self.dropout,
            unmasked_convs=self.unmasked_convs,
            score_inputs=self.score_inputs,
            positions=self.positions,
            **self.encoder_settings,
        )
        if self.speaker_in_condition:
            self.speaker_embedding = Embed(self.speakers, h)
        if self.durations != "none":
            self.key_embedding = Embed(KEYS, h)
            own = {"unmasked_convs": self.unmasked_convs} if self.durations == "resnet" else {}
            self.duration_predictor = DURATION_PREDICTORS[self.durations](
                **self.duration_settings, **own
            )
        if self.stretch:
            self.stretch_embedding = StretchEmbedding(h)
        if self.pitch_settings:
            self.retake_embedding = Embed(2, h)
            self.pitch_trunk = make_trunk(self.pitch_settings, 1)
            if self.melody_settings:
                self.distance_embedding = ScalarEmbed(h)
            else:
                self.line_embedding = ScalarEmbed(h)
        if self.melody_settings:
            self.melody_encoder = MelodyEncoder(
                h,
                scaled=self.scaled,
                unmasked_convs=self.unmasked_convs,
                **self.melody_settings,
            )
        if self.voicing_settings:
            self.voicing_stack = ConvolutionStack(**self.voicing_settings)
            self.voicing_out = Linear(1)
        if self.curves:
            self.pitch_embedding = ScalarEmbed(h)
            self.curve_embedding = CurveEmbedding(self.curves, h, self.scaled)
            self.curve_trunk = make_trunk(self.curve_settings, len(self.curves))

    def encode(self, batch: Batch, *, train: bool = False) -> jax.Array:
        """What is sung, for each phoneme: f32[B, N, H]."""
        return self.encoder(batch, train=train)

    def predict_durations(
        self, encoded: jax.Array, inputs: VarianceInputs, *, train: bool = False
    ) -> jax.Array:
        """log(1 + frames) of each phoneme, f32[B, N]."""
        batch = inputs.batch
        cond = encoded + self.key_embedding(inputs.key)
        if self.speaker_in_condition:
            cond += self._speakers(batch, PHONEME_SPEAKER_MIX)
        return self.duration_predictor(cond, batch.tokens > 0, train=train)

    def encode_melody(self, notes: Notes, *, train: bool = False) -> jax.Array:
        """The notes, f32[B, K, H]."""
        return self.melody_encoder(notes, train=train)

    def expand(self, encoded: jax.Array, batch: Batch) -> jax.Array:
        """What all generators are shown of each frame: f32[B, T, H]."""
        x = expand_to_frames(encoded, batch.mel2ph)
        if self.stretch:
            x = self.stretch_embedding(x, batch.mel2ph, batch.tokens.shape[1])
        if self.speaker_in_condition:
            x += self._speakers(batch, SPEAKER_MIX)
        return x

    def pitch_condition(
        self, expanded: jax.Array, inputs: VarianceInputs, *, train: bool = False
    ) -> jax.Array:
        """What the generator of pitch is shown: f32[B, T, H]."""
        retake = inputs.retake[PITCH]
        kept, generated = self.retake_embedding(jnp.arange(2))
        share = (inputs.expressiveness * retake)[..., None]  # [B, T, 1]
        cond = expanded + share * generated[None, None] + (1.0 - share) * kept[None, None]
        if self.melody_settings:
            distance = (inputs.pitch - inputs.line) * ~retake
            cond += self._melody(inputs.notes, train=train)
            cond += self.distance_embedding(distance * self._scale(DISTANCE_SCALE))
        else:
            cond += self.line_embedding(self.base(inputs) * self._scale(MIDI_SCALE))
        return self._of_frames(cond, inputs.batch)

    def base(self, inputs: VarianceInputs) -> jax.Array:
        """What generated distances are distances from, f32[B, T] MIDI.

        Without a melody encoder the line is, where pitch is given, that pitch.
        """
        if self.melody_settings:
            return inputs.line
        return jnp.where(inputs.retake[PITCH], inputs.line, inputs.pitch)

    def predict_voicing(
        self, expanded: jax.Array, inputs: VarianceInputs, *, train: bool = False
    ) -> jax.Array:
        """Logits of each frame's being voiced, f32[B, T]."""
        cond, mask = expanded, inputs.batch.mask
        if self.melody_settings:
            cond += self._melody(inputs.notes, train=train)
        return self.voicing_out(self.voicing_stack(cond, mask, train=train))[..., 0]

    def curve_condition(self, expanded: jax.Array, inputs: VarianceInputs) -> jax.Array:
        """What the generator of curves is shown: f32[B, T, H]."""
        given = {name: ~inputs.retake[name] for name in self.curves}
        cond = expanded + self.pitch_embedding(inputs.pitch * self._scale(DISTANCE_SCALE))
        cond += self.curve_embedding(inputs.batch.curves, given)
        return self._of_frames(cond, inputs.batch)

    def _scale(self, scale: float) -> float:
        return scale if self.scaled else 1.0

    def _melody(self, notes: Notes, *, train: bool) -> jax.Array:
        return expand_to_frames(self.melody_encoder(notes, train=train), notes.mel2note)

    def _of_frames(self, cond: jax.Array, batch: Batch) -> jax.Array:
        return cond if self.condition_on_padding else cond * batch.mask[..., None]

    def _speakers(self, batch: Batch, mix: str) -> jax.Array:
        """Who sings: [B, 1, H], or as many as the batch has weights for."""
        if mix not in batch.curves:
            return self.speaker_embedding(batch.speaker)[:, None, :]
        return batch.curves[mix] @ self.speaker_embedding(jnp.arange(self.speakers))

    def __call__(self, inputs: VarianceInputs) -> tuple[jax.Array, ...]:
        """Touches every part once; for initialization."""
        encoded = self.encode(inputs.batch)
        expanded = self.expand(encoded, inputs.batch)
        mask, out = inputs.batch.mask, [expanded]
        t = jnp.zeros(len(mask))
        if self.durations != "none":
            out.append(self.predict_durations(encoded, inputs))
        if self.pitch_settings:
            z = jnp.zeros((*mask.shape, self.pitch_settings["repeats"]))
            out.append(self.pitch_trunk(z, t, self.pitch_condition(expanded, inputs), mask))
        if self.voicing_settings:
            out.append(self.predict_voicing(expanded, inputs))
        if self.curves:
            z = jnp.zeros((*mask.shape, len(self.curves) * self.curve_settings["repeats"]))
            out.append(self.curve_trunk(z, t, self.curve_condition(expanded, inputs), mask))
        return tuple(out)


def make_trunk(settings: Mapping[str, Any], curves: int) -> Trunk:
    """The trunk of `Variance.pitch_settings` or `curve_settings`."""
    keywords = dict(settings)
    repeats, kind = keywords.pop("repeats"), keywords.pop("trunk")
    return TRUNKS[kind](data=curves * repeats, **keywords)
