"""The config of a DiffGAN's training, as frozen dataclasses; defaults: configs/diffgan.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.engine.optimizers import UpdateConfig
from diffsinger_jax.engine.typed_config import build
from diffsinger_jax.errors import InputError
from diffsinger_jax.ranges import POSITIVE, at_least
from diffsinger_jax.tasks.acoustic.config import AcousticConfig, StageConfig
from diffsinger_jax.tasks.acoustic.start import start_voice, with_voice

DEFAULTS = "configs/diffgan.py"
PROCESS, SCHEDULE = "x0", "variance_preserving"


@dataclasses.dataclass(frozen=True)
class DiffGanWeights:
    """Of the denoiser's losses; "features" is a factor on the dynamic weight."""

    mel: Annotated[float, at_least(0)]
    features: Annotated[float, at_least(0)]
    adversarial: Annotated[float, at_least(0)]


@dataclasses.dataclass(frozen=True)
class DiffGanTraining(StageConfig):
    """The section `diffgan`."""

    timesteps: Annotated[int, at_least(1)]
    k_step: Annotated[int, at_least(1)]
    sees_base: bool
    starts_after: Annotated[int, at_least(0)]
    weights: DiffGanWeights

    def __post_init__(self) -> None:
        """There must be something to learn, and k a step of the diffusion.

        Raises:
          InputError: if not.
        """
        weights = dataclasses.asdict(self.weights)
        if not self.steps or not any(weights.values()):
            raise InputError(
                f"config.diffgan.steps is {self.steps} and its weights are {weights}, so that "
                "there is nothing to learn; give it steps, and at least one a weight"
            )
        if self.k_step > self.timesteps:
            raise InputError(
                f"config.diffgan.k_step is {self.k_step}, expected 1 to {self.timesteps} "
                "(config.diffgan.timesteps)"
            )

    @property
    def is_shallow(self) -> bool:
        """Whether sampling starts from the diffused auxiliary mel, the two-stage form."""
        return self.k_step < self.timesteps


@dataclasses.dataclass(frozen=True)
class JointDiscriminatorConfig(UpdateConfig):
    """The section `discriminators`."""

    width: Annotated[float, POSITIVE]


@dataclasses.dataclass(frozen=True)
class DiffGanConfig(AcousticConfig):
    """That of a voice with the encoder and auxiliary decoder of another, and a denoiser anew."""

    diffgan: DiffGanTraining
    discriminators: JointDiscriminatorConfig

    @property
    def voice_sampling(self) -> Sampling:
        """From noise, where nothing is left of the auxiliary mel, which is then not decoded."""
        start = "auxiliary" if self.diffgan.is_shallow else "gaussian"
        return dataclasses.replace(super().voice_sampling, start=start)


def with_base(given: Mapping[str, Any]) -> dict[str, Any]:
    """Sections of a config with the model of the base voice, and a DiffGAN's path and sampling.

    Raises:
      InputError: if there is no base voice, or it has no auxiliary mel.
    """
    base = start_voice(given.get("start_from", ""))
    if base is None or base.model.get("auxiliary") == "none":
        raise InputError(
            f"config.start_from is {given.get('start_from', '')!r}; name a voice with an auxiliary "
            "mel, whose encoder and auxiliary decoder a DiffGAN's denoiser builds on"
        )
    section = given["diffgan"]
    found = with_voice(given)
    steps, k_step = section["timesteps"], section["k_step"]
    return found | {
        "model": {**found["model"], "condition_on_prior": section["sees_base"]},
        "process": PROCESS,
        "schedule": {"name": SCHEDULE, "steps": steps},
        "sampling": {**given["sampling"], "k_step": k_step, "steps": k_step, "method": "ddpm"},
        "denoiser": {**given["denoiser"], "t_below": steps},
    }


def diffgan_config(given: Mapping[str, Any]) -> DiffGanConfig:
    """Of plain sections that have every field.

    Raises:
      InputError: see `build`.
    """
    return build(DiffGanConfig, given, path="config", defaults=DEFAULTS)
