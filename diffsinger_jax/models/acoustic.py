"""From the plain numbers that a config or a voice holds to a model and its process."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.diffusion.path import Path
from diffsinger_jax.diffusion.processes import PROCESSES, Process
from diffsinger_jax.diffusion.samplers.estimates import PredictX0
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.models.diffsinger import DiffSinger
from diffsinger_jax.models.families import corpus_sizes
from diffsinger_jax.models.generator import AppliedTrunk, Generator
from diffsinger_jax.models.scaling import MelScaling
from diffsinger_jax.pitch import midi_to_hz
from diffsinger_jax.types import Batch, CorpusInfo


def build_model(model: Mapping[str, Any], process: str, info: CorpusInfo) -> DiffSinger:
    """The model of a config's `model` section for a process and a corpus's vocabulary and mel."""
    return DiffSinger(
        **corpus_sizes(info),
        mel_low=tuple(map(float, info.mel_min)),
        mel_high=tuple(map(float, info.mel_max)),
        prior_field=PROCESSES[process].uses_field,
        **{
            **model,
            "dtype": jnp.dtype(model.get("dtype", "float32")),
            # JSON gives lists
            "curves": tuple(model.get("curves", ())),
            "predicted_curves": tuple(model.get("predicted_curves", ())),
        },
    )


@dataclasses.dataclass(frozen=True)
class AcousticModel:
    """A model with all that is needed to call it: pure functions of (params, batch).

    Attributes:
      model: the Flax module.
      scaling: of its mels.
      schedule: settings of the process's path, as a noise schedule's `name` and arguments.
      process: a name in `PROCESSES`.
    """

    model: DiffSinger
    scaling: MelScaling
    schedule: Mapping[str, Any]
    process: str

    @functools.cached_property
    def path(self) -> Path:
        """That of the process."""
        return PROCESSES[self.process].path(self.schedule)

    def make_process(self, params: Any) -> Process:
        """The process; what it knows of the data around the prior is among the params."""
        return PROCESSES[self.process].make(self.path, self.schedule, params)

    def predict_frames(self, params: Any, batch: Batch) -> jax.Array:
        """Duration of each phoneme in frames, f32[B, N], >= 0, not yet fitted to the notes."""
        encoded = self._apply(params, "encode", batch)
        return jnp.maximum(jnp.expm1(self._apply(params, "predict_durations", encoded, batch)), 0.0)

    def predict_f0(self, params: Any, batch: Batch) -> jax.Array:
        """f0 of each frame in Hz, f32[B, T], 0 where unvoiced, and where ours is given a rest."""
        encoded = self._apply(params, "encode", batch)
        note, residual, voiced = self._apply(params, "predict_pitch", encoded, batch)
        sung = (note > 0) | (self.model.pitch not in ("note_residual", "none"))
        return jnp.where((voiced > 0) & sung & batch.mask, midi_to_hz(note + residual), 0.0)

    def predict_curves(self, params: Any, batch: Batch) -> dict[str, jax.Array]:
        """The curves that the model predicts, f32[B, T] by name, each in its unit."""
        encoded = self._apply(params, "encode", batch)
        return self._apply(params, "predict_curves", encoded, batch)

    def condition(self, params: Any, batch: Batch) -> jax.Array:
        """What the decoders need to know of each frame, f32[B, T, H]."""
        return self._apply(params, "condition", self._apply(params, "encode", batch), batch)

    def sample_mel(
        self,
        params: Any,
        batch: Batch,
        keys: jax.Array,
        temperature: jax.Array | float,
        *,
        sampling: Sampling,
    ) -> jax.Array:
        """Log mel [B, T, M] by shallow diffusion; everything but the sampler is computed once.

        Args:
          params: of the model; without an auxiliary decoder where nothing needs its mel.
          batch: with durations (`mel2ph`, `mask`) and `f0`.
          keys: [B], a random key for each row.
          temperature: f32[] factor on the noise, in the place of sampling's.
          sampling: what the program is compiled for; a k_step of 0 gives the auxiliary mel.
        """
        cond = self.condition(params, batch)
        if sampling.k_step == 0 or self.needs_prior(sampling.start):
            prior = self._apply(params, "auxiliary_mel", cond, batch.mask)
        else:
            prior = jnp.zeros((*batch.mask.shape, self.model.mel_bins))
        if sampling.k_step == 0:
            return self.scaling.unscale(prior)
        generator = self.generator(params)
        shown = self._shown(cond, prior)
        z = generator.sample(shown, prior, batch.mask, keys, sampling, temperature)
        return self.scaling.unscale(z)

    def needs_prior(self, start: str) -> bool:
        """Whether sampling from this start makes use of the auxiliary mel."""
        uses_prior = PROCESSES[self.process].uses_prior or self.model.condition_on_prior
        return start == "auxiliary" or uses_prior

    def predictor(
        self,
        params: Any,
        batch: Batch,
        cond: jax.Array,
        prior: jax.Array,
        times: np.ndarray,
        *,
        estimate: str = "x0",
    ) -> PredictX0:
        """(x_t, t) -> x_0 for a sampler, with all that does not depend on x_t computed once.

        Args:
          params: of the model.
          batch: its mask is used.
          cond: [B, T, H].
          prior: [B, T, M].
          times: [n] of the path, sorted: all that will be asked for.
          estimate: what is predicted, "x0" or another that the process has.
        """
        shown = self._shown(cond, prior)
        return self.generator(params).predictor(shown, prior, batch.mask, times, estimate=estimate)

    def estimator(
        self, params: Any, mask: jax.Array, cond: jax.Array, prior: jax.Array
    ) -> PredictX0:
        """(x_t, t [B]) -> x_0 at any times, as training asks; see `predictor`."""
        generator, shown = self.generator(params), self._shown(cond, prior)
        return lambda x_t, t: generator.estimate(x_t, t, shown, prior, mask)

    def generator(self, params: Any) -> Generator:
        """The denoiser with its process, which makes z of noise."""
        return Generator(
            self.make_process(params),
            AppliedTrunk(self.model, params, "denoiser"),
            unmasked_convs=self.model.unmasked_convs,
            masks_input=self.model.prior_field,
        )

    def _shown(self, cond: jax.Array, prior: jax.Array) -> jax.Array:
        """What the denoiser is shown of each frame beside x_t."""
        if self.model.condition_on_prior:
            return jnp.concatenate([cond, prior], axis=-1)
        return cond

    def _apply(self, params: Any, method: str, *args: Any) -> Any:
        return self.model.apply({"params": params}, *args, method=method)


def acoustic_model(
    model: Mapping[str, Any], schedule: Mapping[str, Any], process: str, info: CorpusInfo
) -> AcousticModel:
    """Puts together what a config's `model`, `schedule` and `process` say."""
    return AcousticModel(
        model=build_model(model, process, info),
        scaling=MelScaling(low=jnp.asarray(info.mel_min), high=jnp.asarray(info.mel_max)),
        schedule=dict(schedule),
        process=process,
    )
