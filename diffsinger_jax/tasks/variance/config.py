"""The config of a variance model's training, as frozen dataclasses; defaults:
configs/variance_base.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

from diffsinger_jax.diffusion.processes import PATHS, PROCESSES, TIME_WEIGHTS
from diffsinger_jax.diffusion.samplers import ALL_SAMPLERS, SAMPLERS
from diffsinger_jax.engine.optimizers import OptimizerConfig
from diffsinger_jax.engine.run_config import RunConfig
from diffsinger_jax.engine.typed_config import build, check_arguments
from diffsinger_jax.errors import InputError
from diffsinger_jax.models.scaling import CURVE_RANGES
from diffsinger_jax.models.variance import Variance
from diffsinger_jax.ranges import SHARE, at_least, calls, one_of
from diffsinger_jax.tasks.acoustic.losses import DIFFUSION_LOSSES

DEFAULTS = "configs/variance_base.py"
OF_CORPUS = ("phonemes", "speakers", "languages")
"""Arguments of the model that the corpus says."""


@dataclasses.dataclass(frozen=True)
class VarianceSampling:
    """How the finished model samples unless told otherwise, from noise alone."""

    steps: Annotated[int, at_least(1)]
    temperature: Annotated[float, at_least(0)]
    method: Annotated[str, one_of(ALL_SAMPLERS)]


@dataclasses.dataclass(frozen=True)
class VarianceWeights:
    """Of the losses; those of what the model has not are left out."""

    duration_phoneme: Annotated[float, at_least(0)]
    duration_word: Annotated[float, at_least(0)]
    duration_sentence: Annotated[float, at_least(0)]
    pitch: Annotated[float, at_least(0)]
    voicing: Annotated[float, at_least(0)]
    curves: Annotated[float, at_least(0)]


@dataclasses.dataclass(frozen=True)
class VarianceTraining(OptimizerConfig):
    """The section `variance`."""

    frames_per_batch: Annotated[int, at_least(1)]
    distance: Annotated[str, one_of(DIFFUSION_LOSSES)]
    weighting: Annotated[str, one_of(TIME_WEIGHTS)]
    retake_all: Annotated[float, SHARE]
    weights: VarianceWeights

    def __post_init__(self) -> None:
        """There must be something to learn.

        Raises:
          InputError: if there is nothing.
        """
        weights = dataclasses.asdict(self.weights)
        if not self.steps or not any(weights.values()):
            raise InputError(
                f"config.variance.steps is {self.steps} and its weights are {weights}, so that "
                "there is nothing to learn; give it steps, and at least one a weight"
            )


@dataclasses.dataclass(frozen=True)
class VarianceConfig(RunConfig):
    """All of it; checked when it is made."""

    corpus: str
    model: Mapping[str, Any]
    schedule: Annotated[Mapping[str, Any], calls(PATHS)]
    process: Annotated[str, one_of(PROCESSES)]
    ranges: Mapping[str, Any]
    sampling: VarianceSampling
    buckets: Annotated[int, at_least(1)]
    bucket_edges: Annotated[tuple[int, ...], at_least(1)]
    remat: bool
    variance: VarianceTraining

    def __post_init__(self) -> None:
        """Looks for what contradicts something else.

        Raises:
          InputError: for the first that does.
        """
        super().__post_init__()
        supplied = (*OF_CORPUS, "parent", "name")
        check_arguments(Variance, self.model, "config.model", title="the model", supplied=supplied)
        if self.model["hidden"] % self.model["heads"]:
            raise InputError(
                f"config.model.hidden is {self.model['hidden']}, which {self.model['heads']} "
                "attention heads (config.model.heads) do not divide; change one of them"
            )
        _check_ranges(self.ranges)
        flow = self.process == "velocity"
        if PROCESSES[self.process].uses_prior or flow != (self.schedule["name"] == "straight"):
            raise InputError(
                f"config.process is {self.process!r} and config.schedule.name is "
                f'{self.schedule["name"]!r}; pitch is made by "velocity" with "straight", or by '
                '"eps" with a noise schedule'
            )
        if not flow and (
            self.sampling.method not in SAMPLERS or self.variance.weighting != "uniform"
        ):
            raise InputError(
                f"config.sampling.method is {self.sampling.method!r} and config.variance.weighting "
                f"is {self.variance.weighting!r}; a diffusion takes one of {', '.join(SAMPLERS)} "
                'and "uniform"'
            )


def _check_ranges(ranges: Mapping[str, Any]) -> None:
    """Four numbers for each of them?"""
    for name, row in ranges.items():
        if name not in CURVE_RANGES:
            raise InputError(
                f"config.ranges has {name!r}, it knows {', '.join(CURVE_RANGES)}; correct it"
            )
        if len(row) != 4 or not (row[0] < row[1] and row[2] < row[3]):
            raise InputError(
                f"config.ranges.{name} is {tuple(row)}, expected low and high, which become -1 and "
                "1, and the least and the most that is kept"
            )


def variance_config(given: Mapping[str, Any]) -> VarianceConfig:
    """Of plain sections that have every field.

    Raises:
      InputError: see `build`.
    """
    return build(VarianceConfig, given, path="config", defaults=DEFAULTS)
