"""From the plain numbers that a config or a voice holds to a variance model, and its functions."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from diffsinger_jax.diffusion.path import Path
from diffsinger_jax.diffusion.processes import PROCESSES
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.models.generator import AppliedTrunk, Generator
from diffsinger_jax.models.scaling import CURVE_RANGES, PITCH, CurveScaling, curve_scaling
from diffsinger_jax.models.variance import Variance, VarianceInputs
from diffsinger_jax.types import Vocabulary


@dataclasses.dataclass(frozen=True)
class VarianceModel:
    """A variance model with all that is needed to call it: pure functions of (params, inputs).

    Attributes:
      model: the Flax module.
      schedule: settings of the process's path.
      process: of both generators, a name in `PROCESSES` that needs no prior.
      ranges: of what is generated, in the place of `CURVE_RANGES`.
    """

    model: Variance
    schedule: Mapping[str, Any]
    process: str
    ranges: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def path(self) -> Path:
        """That of the process."""
        return PROCESSES[self.process].path(self.schedule)

    @property
    def pitch_scaling(self) -> CurveScaling:
        """Of the distance from the line."""
        return self._scaling((PITCH,), self.model.pitch_settings)

    @property
    def curve_scaling(self) -> CurveScaling:
        """Of the curves."""
        return self._scaling(self.model.curves, self.model.curve_settings)

    def pitch_generator(self, params: Any) -> Generator:
        """What makes the distance from the line."""
        return self._generator(params, "pitch_trunk")

    def curve_generator(self, params: Any) -> Generator:
        """What makes the curves."""
        return self._generator(params, "curve_trunk")

    def predict_frames(self, params: Any, inputs: VarianceInputs) -> jax.Array:
        """Duration of each phoneme in frames, f32[B, N], >= 0, not yet fitted to the words."""
        encoded = self.apply(params, "encode", inputs.batch)
        return jnp.maximum(jnp.expm1(self.apply(params, "predict_durations", encoded, inputs)), 0.0)

    def sample_pitch(
        self,
        params: Any,
        inputs: VarianceInputs,
        keys: jax.Array,
        temperature: jax.Array | float,
        *,
        sampling: Sampling,
    ) -> jax.Array:
        """Pitch f32[B, T] in MIDI, the base plus what is generated.

        Args:
          params: of the model.
          inputs: with durations.
          keys: [B], a random key for each row.
          temperature: f32[] factor on the noise.
          sampling: what the program is compiled for.
        """
        cond = self.apply(params, "pitch_condition", self.expanded(params, inputs), inputs)
        mask = inputs.batch.mask
        prior = jnp.zeros((*mask.shape, self.model.pitch_settings["repeats"]))
        generator = self.pitch_generator(params)
        z = generator.sample(cond, prior, mask, keys, sampling, temperature)
        distance = self.pitch_scaling.unscale(z)[..., 0]
        return self.apply(params, "base", inputs) + distance

    def voiced(self, params: Any, inputs: VarianceInputs) -> jax.Array:
        """bool[B, T]: which frames are voiced; those of notes, where the model does not tell."""
        if not self.model.voicing_settings:
            rests = jnp.take_along_axis(
                jnp.pad(inputs.notes.rest, ((0, 0), (1, 0)), constant_values=True),
                inputs.notes.mel2note,
                axis=1,
            )
            return ~rests & inputs.batch.mask
        logits = self.apply(params, "predict_voicing", self.expanded(params, inputs), inputs)
        return (logits > 0) & inputs.batch.mask

    def sample_curves(
        self,
        params: Any,
        inputs: VarianceInputs,
        keys: jax.Array,
        temperature: jax.Array | float,
        *,
        sampling: Sampling,
    ) -> dict[str, jax.Array]:
        """The curves by name, f32[B, T] each; arguments as in `sample_pitch`."""
        cond = self.apply(params, "curve_condition", self.expanded(params, inputs), inputs)
        mask, channels = inputs.batch.mask, self.model.curve_settings["repeats"]
        prior = jnp.zeros((*mask.shape, channels * len(self.model.curves)))
        generator = self.curve_generator(params)
        z = generator.sample(cond, prior, mask, keys, sampling, temperature)
        values = self.curve_scaling.unscale(z)
        return {name: values[..., i] for i, name in enumerate(self.model.curves)}

    def expanded(self, params: Any, inputs: VarianceInputs) -> jax.Array:
        """What all generators are shown of each frame: f32[B, T, H]."""
        encoded = self.apply(params, "encode", inputs.batch)
        return self.apply(params, "expand", encoded, inputs.batch)

    def apply(self, params: Any, method: str, *args: Any) -> Any:
        """A method of the module."""
        return self.model.apply({"params": params}, *args, method=method)

    def _scaling(self, names: tuple[str, ...], settings: Mapping[str, Any]) -> CurveScaling:
        rows = [tuple(self.ranges.get(name, CURVE_RANGES[name])) for name in names]
        return curve_scaling(rows, settings["repeats"])

    def _generator(self, params: Any, trunk: str) -> Generator:
        process = PROCESSES[self.process].make(self.path, self.schedule, params)
        applied = AppliedTrunk(self.model, params, trunk)
        return Generator(process, applied, unmasked_convs=self.model.unmasked_convs)


def variance_model(
    model: Mapping[str, Any],
    schedule: Mapping[str, Any],
    process: str,
    vocabulary: Vocabulary,
    ranges: Mapping[str, tuple[float, ...]] | None = None,
) -> VarianceModel:
    """Puts together what a config's `model`, `schedule` and `process` say."""
    module = Variance(
        phonemes=len(vocabulary.phonemes),
        speakers=len(vocabulary.speakers),
        languages=len(vocabulary.languages),
        **{**model, "curves": tuple(model.get("curves", ()))},  # JSON gives a list
    )
    return VarianceModel(module, dict(schedule), process, ranges or {})
