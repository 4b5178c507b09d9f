"""From the plain numbers that a config or a voice holds to a model and its process."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from diffsinger_jax.diffusion.processes import EpsProcess, Process, ResidualProcess
from diffsinger_jax.diffusion.samplers import shallow_sample
from diffsinger_jax.diffusion.schedule import SCHEDULES, NoiseSchedule
from diffsinger_jax.diffusion.walk import PredictX0, interval_sequence
from diffsinger_jax.models.diffsinger import DiffSinger, midi_to_hz
from diffsinger_jax.models.scaling import MelScaling
from diffsinger_jax.types import Batch, CorpusInfo

PROCESSES = {
    "eps": lambda schedule, scale: EpsProcess(schedule),
    "residual": lambda schedule, scale: ResidualProcess(schedule, scale),
}
"""What the denoiser may predict, by the name in a config: (schedule, prior_scale) -> Process."""


def build_model(model: Mapping[str, Any], info: CorpusInfo) -> DiffSinger:
    """The model of a config's `model` section for a corpus's vocabulary and mel."""
    return DiffSinger(
        phonemes=len(info.vocabulary.phonemes),
        speakers=len(info.vocabulary.speakers),
        languages=len(info.vocabulary.languages),
        mel_bins=info.mel.n_mels,
        mel_low=tuple(map(float, info.mel_min)),
        mel_high=tuple(map(float, info.mel_max)),
        **{
            **model,
            "dtype": jnp.dtype(model.get("dtype", "float32")),
            "curves": tuple(model.get("curves", ())),  # JSON gives a list
        },
    )


@dataclasses.dataclass(frozen=True)
class AcousticModel:
    """A model with all that is needed to call it: pure functions of (params, batch).

    Attributes:
      model: the Flax module.
      scaling: of its mels.
      schedule: keyword arguments of the schedule, with its `name`.
      process: a name in `PROCESSES`.
    """

    model: DiffSinger
    scaling: MelScaling
    schedule: Mapping[str, Any]
    process: str

    def make_process(self, prior_scale: jax.Array) -> Process:
        """The process; `prior_scale` f32[M] is among the params."""
        kwargs = dict(self.schedule)
        schedule = SCHEDULES[kwargs.pop("name")](**kwargs)
        return PROCESSES[self.process](schedule, prior_scale)

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

    def condition(self, params: Any, batch: Batch) -> jax.Array:
        """What the decoders need to know of each frame, f32[B, T, H]."""
        return self._apply(params, "condition", self._apply(params, "encode", batch), batch)

    def sample_mel(
        self,
        params: Any,
        batch: Batch,
        keys: jax.Array,
        *,
        k_step: int,
        steps: int | None = None,
        temperature: float = 1.0,
        start: str = "blurry",
        method: str = "ddpm",
        eta: float = 0.0,
        plms_interval: int | None = None,
    ) -> jax.Array:
        """Log mel [B, T, M] by shallow diffusion; everything but the walk is computed once.

        Args:
          params: of the model; without an auxiliary decoder where nothing needs its mel.
          batch: with durations (`mel2ph`, `mask`) and `f0`.
          keys: [B], a random key for each row.
          k_step: where the walk starts; 0 gives the blurry mel.
          steps: how many of the k steps are visited, all by default.
          temperature: factor on the noise.
          start: of the walk, "blurry" or "gaussian", see `start_walk`.
          method: a name in `SAMPLERS`.
          eta: of the method "ddim", see `shallow_sample`.
          plms_interval: visit every so-many-th step, counted from 0, whatever `steps` says.
        """
        cond = self.condition(params, batch)
        if k_step == 0 or self.needs_prior(start):
            prior = self._apply(params, "auxiliary_mel", cond, batch.mask)
        else:
            prior = jnp.zeros((*batch.mask.shape, self.model.mel_bins))
        if k_step == 0:
            return self.scaling.unscale(prior)
        predict_x0, schedule = self.x0_predictor(params, batch, cond, prior, below=k_step)
        z = shallow_sample(
            schedule,
            predict_x0,
            prior,
            keys=keys,
            k_step=k_step,
            steps=steps,
            visits=plms_interval and interval_sequence(k_step, plms_interval),
            method=method,
            eta=eta,
            temperature=temperature,
            start=start,
        )
        return self.scaling.unscale(z)

    def needs_prior(self, start: str) -> bool:
        """Whether a walk with this start makes use of the blurry mel."""
        return start == "blurry" or self.process != "eps" or self.model.condition_on_prior

    def x0_predictor(
        self,
        params: Any,
        batch: Batch,
        cond: jax.Array,
        prior: jax.Array,
        *,
        below: int | None = None,
    ) -> tuple[PredictX0, NoiseSchedule]:
        """(x_t, t) -> x_0 for a sampler, with all that does not depend on x_t computed once.

        Args:
          params: of the model.
          batch: its mask is used.
          cond: [B, T, H].
          prior: [B, T, M].
          below: bound on the steps t that will be asked for; S by default.
        """
        process = self.make_process(params["prior_scale"])
        projected = self._apply(params, "project_condition", cond, prior)
        all_steps = jnp.arange(below or process.schedule.steps)
        embedded = self._apply(params, "embed_steps", all_steps)  # [K, layers, C]

        def predict_x0(x_t: jax.Array, t: jax.Array) -> jax.Array:
            shown = process.trunk_input(x_t, t, prior)
            output = self._apply(
                params, "denoise_prepared", shown, embedded[t], projected, batch.mask
            )
            return process.x0(output, x_t, t, prior)

        return predict_x0, process.schedule

    def _apply(self, params: Any, method: str, *args: Any) -> jax.Array:
        return self.model.apply({"params": params}, *args, method=method)


def acoustic_model(
    model: Mapping[str, Any], schedule: Mapping[str, Any], process: str, info: CorpusInfo
) -> AcousticModel:
    """Puts together what a config's `model`, `schedule` and `process` say."""
    return AcousticModel(
        model=build_model(model, info),
        scaling=MelScaling(low=jnp.asarray(info.mel_min), high=jnp.asarray(info.mel_max)),
        schedule=dict(schedule),
        process=process,
    )
