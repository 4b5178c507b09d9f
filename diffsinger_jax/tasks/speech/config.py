"""The config of a family that speaks without diffusion; defaults: configs/glow_tts.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.engine.optimizers import OptimizerConfig
from diffsinger_jax.engine.run_config import RunConfig
from diffsinger_jax.engine.typed_config import build, check_arguments
from diffsinger_jax.errors import InputError
from diffsinger_jax.ranges import at_least, one_of
from diffsinger_jax.tasks.speech.losses import LOSSES

DEFAULTS = "configs/glow_tts.py"
OF_CORPUS = ("phonemes", "speakers", "languages", "mel_bins", "curves")
"""Arguments of the model that the corpus says, or that it has none of."""


@dataclasses.dataclass(frozen=True)
class SpeechTraining(OptimizerConfig):
    """The section `speech`."""

    frames_per_batch: Annotated[int, at_least(1)]
    weights: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class SpeechConfig(RunConfig):
    """All of it; checked when it is made."""

    corpus: str
    dictionary: str
    family: Annotated[str, one_of(LOSSES)]
    model: Mapping[str, Any]
    temperature: Annotated[float, at_least(0)]
    buckets: Annotated[int, at_least(1)]
    bucket_edges: Annotated[tuple[int, ...], at_least(1)]
    remat: bool
    speech: SpeechTraining

    def __post_init__(self) -> None:
        """Looks for what contradicts something else.

        Raises:
          InputError: for the first that does.
        """
        super().__post_init__()
        family = LOSSES[self.family]
        supplied = (*OF_CORPUS, "parent", "name")
        check_arguments(
            family.module, self.model, "config.model", title=self.family, supplied=supplied
        )
        given, known = set(self.speech.weights), set(family.weighted)
        if given != known or not self.speech.steps or not any(self.speech.weights.values()):
            raise InputError(
                f"config.speech.steps is {self.speech.steps} and config.speech.weights has "
                f"{dict(self.speech.weights)}; {self.family} needs steps, a weight for each of "
                f"{', '.join(family.weighted)}, and one of them above 0"
            )

    @property
    def voice_sampling(self) -> Sampling:
        """How the finished voice speaks: without diffusion."""
        return Sampling(k_step=0, steps=1, temperature=self.temperature)


def speech_config(given: Mapping[str, Any]) -> SpeechConfig:
    """Of plain sections that have every field.

    Raises:
      InputError: see `build`.
    """
    return build(SpeechConfig, given, path="config", defaults=DEFAULTS)
