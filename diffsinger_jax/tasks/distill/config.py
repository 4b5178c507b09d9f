"""The config of a distillation, as frozen dataclasses; defaults: configs/distill.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

from diffsinger_jax.diffusion.processes import CONSISTENCY
from diffsinger_jax.engine.typed_config import build, require_one_of
from diffsinger_jax.errors import InputError
from diffsinger_jax.ranges import at_least, one_of
from diffsinger_jax.tasks.acoustic.config import AcousticConfig, StageConfig
from diffsinger_jax.tasks.acoustic.losses import DIFFUSION_LOSSES
from diffsinger_jax.tasks.acoustic.start import start_voice, with_voice
from diffsinger_jax.tasks.distill.lessons import LESSONS, Plan

DEFAULTS = "configs/distill.py"
FLOW = "velocity"
"""The process that reflow is of."""


@dataclasses.dataclass(frozen=True)
class DistillTraining(StageConfig):
    """The section `distill`."""

    method: Annotated[str, one_of(LESSONS)]
    calls: Annotated[int, at_least(1)]
    intervals: Annotated[int, at_least(1)]
    distance: Annotated[str, one_of(DIFFUSION_LOSSES)]


@dataclasses.dataclass(frozen=True)
class DistillConfig(AcousticConfig):
    """That of the student: of its teacher's model, with a process and a sampling of its own."""

    distill: DistillTraining

    def __post_init__(self) -> None:
        """Looks for what contradicts something else.

        Raises:
          InputError: for the first that does.
        """
        super().__post_init__()
        depth, section = self.sampling.k_step, self.distill
        if not section.steps:
            raise InputError("config.distill.steps is 0, expected 1 or more")
        if isinstance(depth, str) or not depth:
            raise InputError(
                f"the teacher {self.start_from} sings its auxiliary mel (k_step 0), so that there "
                "is nothing to distill; name one that samples as config.start_from"
            )
        needed = {"consistency": 2, "progressive": 2 * section.calls}.get(section.method, 1)
        if self.process != FLOW and depth < needed:
            raise InputError(
                f"the teacher starts at k = {depth}, but {section.method} with "
                f"config.distill.calls = {section.calls} needs {needed} steps; lower calls"
            )

    @property
    def plan(self) -> Plan:
        """Of the student."""
        depth = self.sampling.k_step
        if isinstance(depth, str):  # refused when the config is made
            raise TypeError(depth)
        return Plan(depth, self.distill.calls, self.distill.intervals)


def with_teacher(given: Mapping[str, Any]) -> dict[str, Any]:
    """Sections of a config with the model of the teacher, and process and sampling of the student.

    Raises:
      InputError: if there is no teacher, or none of whom it could learn in that way.
    """
    teacher = start_voice(given.get("start_from", ""))
    if teacher is None:
        raise InputError("config.start_from is empty; name the voice that is to be the teacher")
    section = given["distill"]
    require_one_of(section.get("method"), LESSONS, "config.distill.method")
    process, method = _student(section["method"], teacher.process)
    own = teacher.sampling
    sampling = {
        "k_step": own.k_step,
        "steps": section["calls"],
        "temperature": own.temperature,
        "method": method,
    }
    denoiser = {**given["denoiser"], "t_below": own.k_step or given["denoiser"]["t_below"]}
    found = {**with_voice(given), "sampling": sampling, "denoiser": denoiser}
    return found | {"process": process}


def _student(method: str, process: str) -> tuple[str, str]:
    """A student's process and sampler, by how it is taught and its teacher's process."""
    if method == "consistency":
        if process not in CONSISTENCY:
            raise InputError(
                f"config.distill.method is 'consistency', but the teacher's process {process!r} is "
                f"none of {', '.join(CONSISTENCY)}; take 'reflow' or 'progressive'"
            )
        return CONSISTENCY[process], "consistency"
    if method == "reflow" and process != FLOW:
        raise InputError(
            f"config.distill.method is 'reflow', but the teacher's process {process!r} is not "
            f"{FLOW!r}; take 'consistency' or 'progressive'"
        )
    return process, "euler" if process == FLOW else "ddim"


def distill_config(given: Mapping[str, Any]) -> DistillConfig:
    """Of plain sections that have every field.

    Raises:
      InputError: see `build`.
    """
    return build(DistillConfig, given, path="config", defaults=DEFAULTS)
