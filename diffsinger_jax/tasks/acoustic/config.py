"""The config of a voice's training, as frozen dataclasses; units and defaults: configs/base.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

from diffsinger_jax.diffusion.processes import PATHS, PROCESSES, TIME_WEIGHTS
from diffsinger_jax.diffusion.samplers import ALL_SAMPLERS, X0_SAMPLERS
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.engine.optimizers import OptimizerConfig
from diffsinger_jax.engine.run_config import RunConfig
from diffsinger_jax.engine.typed_config import (
    build,
    check_arguments,
    refuse_unknown,
    require_one_of,
    type_hints,
)
from diffsinger_jax.errors import InputError
from diffsinger_jax.features import extractor
from diffsinger_jax.models.diffsinger import PITCH_INPUTS, PITCH_PREDICTORS, DiffSinger
from diffsinger_jax.ranges import SHARE, at_least, calls, one_of
from diffsinger_jax.score.dictionary import Dictionary
from diffsinger_jax.tasks.acoustic.losses import DIFFUSION_LOSSES

AUTO = "auto"
"""As `config.sampling.k_step`: find it between the stages."""
STAGES = ("auxiliary", "boundary", "denoiser")
"""The sections of a config that are trained."""
STAGE_CHOICES = ("all", *STAGES)
"""What --stage can ask for."""
BOUNDARY_METHODS = ("learned", "closed_form")
"""How `k_step = "auto"` finds k."""
DTYPES = ("float32", "bfloat16")
DEFAULTS = "configs/base.py"
OF_CORPUS = (
    *("phonemes", "speakers", "languages", "mel_bins", "mel_low", "mel_high"),
    "prior_field",
)
"""Arguments of the model that the corpus says, or the process."""
OF_MODEL = ("layers", "hidden", "kernel_size", "dropout", "unmasked_convs")
"""Arguments of a pitch predictor that the model's other fields say."""


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """How the finished voice sings unless told otherwise."""

    k_step: int | float | str
    steps: int
    temperature: Annotated[float, at_least(0)]
    method: Annotated[str, one_of(ALL_SAMPLERS)]


@dataclasses.dataclass(frozen=True)
class AuxiliaryWeights:
    """Of the auxiliary stage's losses."""

    mel_l1: Annotated[float, at_least(0)]
    mel_ssim: Annotated[float, at_least(0)]
    duration_phoneme: Annotated[float, at_least(0)]
    duration_note: Annotated[float, at_least(0)]
    pitch: Annotated[float, at_least(0)]
    voicing: Annotated[float, at_least(0)]
    curves: Annotated[float, at_least(0)]


@dataclasses.dataclass(frozen=True)
class StageConfig(OptimizerConfig):
    """What every stage has."""

    frames_per_batch: Annotated[int, at_least(1)]


@dataclasses.dataclass(frozen=True)
class AuxiliaryConfig(StageConfig):
    """Stage 1."""

    weights: AuxiliaryWeights


@dataclasses.dataclass(frozen=True)
class BoundaryConfig(StageConfig):
    """Between the stages."""

    method: Annotated[str, one_of(BOUNDARY_METHODS)]
    channels: Annotated[int, at_least(1)]
    layers: Annotated[int, at_least(1)]


@dataclasses.dataclass(frozen=True)
class DenoiserConfig(StageConfig):
    """Stage 2."""

    t_below: int | float
    distance: Annotated[str, one_of(DIFFUSION_LOSSES)]
    weighting: Annotated[str, one_of(TIME_WEIGHTS)]
    drop_condition: Annotated[float, SHARE]
    drop_prior: Annotated[float, SHARE]
    prior_error: Annotated[float, at_least(0)]
    crop_frames: Annotated[int, at_least(0)]


@dataclasses.dataclass(frozen=True)
class AcousticConfig(RunConfig):
    """All of it; checked when it is made."""

    corpus: str
    dictionary: str
    freeze: tuple[str, ...]
    new_denoiser: bool
    model: Mapping[str, Any]
    schedule: Annotated[Mapping[str, Any], calls(PATHS)]
    process: Annotated[str, one_of(PROCESSES)]
    sampling: SamplingConfig
    buckets: Annotated[int, at_least(1)]
    bucket_edges: Annotated[tuple[int, ...], at_least(1)]
    remat: bool
    auxiliary: AuxiliaryConfig
    boundary: BoundaryConfig
    denoiser: DenoiserConfig

    def __post_init__(self) -> None:
        """Looks for what contradicts something else.

        Raises:
          InputError: for the first that does.
        """
        super().__post_init__()
        check_model(self.model)
        try:
            Dictionary.of(self.dictionary)
        except InputError as error:
            raise InputError(f"config.dictionary is {self.dictionary!r}: {error}") from error
        _check_sampling(self)
        _check_stages(self)

    @property
    def has_auxiliary(self) -> bool:
        """Whether there is an auxiliary mel, and so a first stage."""
        return self.model.get("auxiliary") != "none"

    @property
    def voice_sampling(self) -> Sampling:
        """How the finished voice sings; `sampling.k_step` is a number by then."""
        start = "auxiliary" if self.has_auxiliary else "gaussian"
        return Sampling(**dataclasses.asdict(self.sampling), start=start)

    def stage(self, name: str) -> StageConfig:
        """The section of one of `STAGES`."""
        return getattr(self, name)

    def stage_minutes(self, name: str) -> float:
        """Of `stop_after_minutes`, what its steps are of those of all stages that train."""
        searches = self.sampling.k_step == AUTO and self.boundary.method == "learned"
        trained = [one for one in STAGES if one != "boundary" or searches or one == name]
        steps = sum(self.stage(one).steps for one in trained)
        return self.stop_after_minutes * self.stage(name).steps / max(steps, 1)


def acoustic_config(given: Mapping[str, Any]) -> AcousticConfig:
    """Of plain sections that have every field.

    Raises:
      InputError: see `build`.
    """
    return build(AcousticConfig, given, path="config", defaults=DEFAULTS)


def check_stage(config: AcousticConfig, stage: str) -> None:
    """Can this stage be asked for?

    Raises:
      InputError: if there is no such stage, or nothing that it could learn.
    """
    require_one_of(stage, STAGE_CHOICES, "--stage")
    if not config.has_auxiliary and stage not in ("all", "denoiser"):
        raise InputError(
            f'there is no stage {stage} with config.model.auxiliary "none"; leave --stage out'
        )
    sampling, boundary = config.sampling, config.boundary
    learns = stage == "all" and sampling.k_step == AUTO and boundary.method == "learned"
    if boundary.steps < 1 and (stage == "boundary" or learns):
        raise InputError("config.boundary.steps is 0, expected 1 or more to learn the boundary")
    weights = dataclasses.asdict(config.auxiliary.weights)
    if stage in ("all", "auxiliary") and config.auxiliary.steps and not any(weights.values()):
        raise InputError(
            f"all of config.auxiliary.weights ({', '.join(weights)}) are 0, so that there is "
            "nothing to learn; give at least one a weight"
        )


def check_model(model: Mapping[str, Any]) -> None:
    """Are these arguments of the model, in range and at peace with each other?

    Raises:
      InputError: naming the first that is not.
    """
    known = [name for name in type_hints(DiffSinger) if name not in OF_CORPUS]
    for name in model:
        if name not in known:
            refuse_unknown(f"config.model.{name}", [f"config.model.{one}" for one in known])
    of_others = (*OF_CORPUS, "parent", "name")
    check_arguments(DiffSinger, model, "config.model", title="the model", supplied=of_others)
    require_one_of(model.get("dtype", DTYPES[0]), DTYPES, "config.model.dtype")
    if model["hidden"] % model["heads"]:
        raise InputError(
            f"config.model.hidden is {model['hidden']}, which {model['heads']} attention heads "
            "(config.model.heads) do not divide; change one of them"
        )
    whole: dict[str, Any] = {f.name: f.default for f in dataclasses.fields(DiffSinger)}
    whole |= model
    _check_curves(tuple(whole["curves"]), tuple(whole["predicted_curves"]))
    for choice, table in (("pitch", PITCH_PREDICTORS), ("pitch_input", PITCH_INPUTS)):
        settings = model.get(f"{choice}_settings", {})
        where, title = f"config.model.{choice}_settings", f"{choice} = {whole[choice]!r}"
        if whole[choice] in table:
            supplied = (*OF_MODEL, "parent", "name")
            check_arguments(table[whole[choice]], settings, where, title=title, supplied=supplied)
        elif settings:
            raise InputError(f"{where} has {', '.join(settings)}, but {title} takes none; empty it")


def _check_curves(curves: tuple[str, ...], predicted: tuple[str, ...]) -> None:
    """Only what enters the condition, and recordings give, can be predicted."""
    for name in predicted:
        if name not in curves:
            raise InputError(
                f"config.model.predicted_curves has {name!r}, which is not among "
                f"config.model.curves ({', '.join(curves) or 'none'}); add it there"
            )
        extractor(name)


def _check_flow(config: AcousticConfig) -> None:
    """How deep a flow starts, and how deep it learns: shares of the path, 1 - t."""
    k_step, t_below = config.sampling.k_step, config.denoiser.t_below
    if isinstance(k_step, str) or not 0 <= k_step <= t_below <= 1 or t_below == 0:
        raise InputError(
            f"config.sampling.k_step is {k_step!r} and config.denoiser.t_below {t_below!r}; of a "
            "flow they are 1 - t, from 0 to 1, and k_step no more than t_below"
        )
    if config.sampling.steps < 1:
        raise InputError(f"config.sampling.steps is {config.sampling.steps}, expected 1 or more")


def _check_sampling(config: AcousticConfig) -> None:
    """K, the steps of the sampler, and the steps that the denoiser learns."""
    flow = config.process == "velocity"
    if flow != (config.schedule["name"] == "straight"):
        raise InputError(
            f"config.process is {config.process!r} and config.schedule.name is "
            f'{config.schedule["name"]!r}; "velocity" goes with "straight", and only that'
        )
    if flow:
        _check_flow(config)
        return
    if config.sampling.method not in X0_SAMPLERS or config.denoiser.weighting != "uniform":
        raise InputError(
            f"config.sampling.method is {config.sampling.method!r} and config.denoiser.weighting "
            f"is {config.denoiser.weighting!r}; a diffusion takes one of {', '.join(X0_SAMPLERS)} "
            'and "uniform"'
        )
    length, t_below = config.schedule["steps"], config.denoiser.t_below
    k_step, steps = config.sampling.k_step, config.sampling.steps
    if k_step == AUTO:  # the rest follows from the k that is found
        return
    if not isinstance(k_step, int) or not 0 <= k_step <= length:
        raise InputError(
            f"config.sampling.k_step is 0 to {length} (config.schedule.steps) or {AUTO!r}, "
            f"got {k_step!r}"
        )
    if not 1 <= steps <= max(k_step, 1):
        raise InputError(
            f"config.sampling.steps is {steps}, expected 1 to {max(k_step, 1)}, since a sampler "
            f"that starts at config.sampling.k_step = {k_step} has no more timesteps"
        )
    if not 1 <= t_below <= length:
        raise InputError(
            f"config.denoiser.t_below is {t_below}, expected 1 to {length}, the length of the "
            "noise schedule (config.schedule.steps)"
        )
    if k_step > t_below:
        raise InputError(
            f"config.sampling.k_step is {k_step}, but the denoiser learns only the steps below "
            f"{t_below} (config.denoiser.t_below); raise t_below or lower k_step"
        )


def _check_without_auxiliary(config: AcousticConfig) -> None:
    """A voice that samples from noise alone is trained in one stage, by the denoiser's loss."""
    model, flow = config.model, config.process == "velocity"
    whole = 1 if flow else config.schedule["steps"]
    needed = {
        "durations": (model.get("durations", True), False),
        "pitch": (model.get("pitch", "note_residual"), "none"),
        "condition_on_prior": (model["condition_on_prior"], False),
    }
    for name, (given, wanted) in needed.items():
        if given != wanted:
            raise InputError(
                f"config.model.{name} is {given!r}, expected {wanted!r} with "
                'config.model.auxiliary "none": all else is learnt in the stage of that mel'
            )
    if PROCESSES[config.process].uses_prior or config.sampling.k_step != whole:
        raise InputError(
            f"config.process is {config.process!r} and config.sampling.k_step is "
            f'{config.sampling.k_step!r}; with config.model.auxiliary "none" there is noise alone '
            f'to start from: "eps" or "velocity", and here {whole}'
        )
    if config.denoiser.t_below != whole:
        raise InputError(
            f"config.denoiser.t_below is {config.denoiser.t_below}, expected {whole}, all of the "
            "path, since sampling starts from noise alone"
        )


def _check_stages(config: AcousticConfig) -> None:
    """Steps for all that nothing else brings."""
    if not config.has_auxiliary:
        _check_without_auxiliary(config)
    unused = (config.denoiser,) if config.sampling.k_step == 0 else ()
    if config.new_denoiser and not config.start_from:
        raise InputError(
            "config.new_denoiser is True, but config.start_from names no voice whose other parts "
            "are kept; name one, or leave new_denoiser out"
        )
    for stage in (config.auxiliary, config.denoiser):
        renewed = config.new_denoiser and stage is config.denoiser
        if stage.steps == 0 and (renewed or not config.start_from) and stage not in unused:
            name, why = (
                ("auxiliary", "stage 2 builds on stage 1")
                if stage is config.auxiliary
                else ("denoiser", "the voice sings with it")
            )
            raise InputError(
                f"config.{name}.steps is 0, but {why}; give it steps, or name a trained voice as "
                "config.start_from"
            )
