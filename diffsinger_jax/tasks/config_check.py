"""What is wrong with a config, in one sentence each, before anything is computed."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from diffsinger_jax.diffusion.processes import PROCESSES
from diffsinger_jax.diffusion.samplers import SAMPLERS
from diffsinger_jax.diffusion.schedule import SCHEDULES
from diffsinger_jax.engine.optimizers import LEARNING_RATES, OPTIMIZERS
from diffsinger_jax.errors import InputError
from diffsinger_jax.models.diffsinger import DiffSinger
from diffsinger_jax.score.dictionary import Dictionary
from diffsinger_jax.tasks.acoustic.losses import DIFFUSION_LOSSES

AUTO = "auto"
"""As `config.sampling.k_step`: find it between the stages."""
STAGES = ("auxiliary", "boundary", "denoiser")
"""The sections of a config that are trained."""
STAGE_CHOICES = ("all", *STAGES)
"""What `run_train.py --stage` can ask for."""
BOUNDARY_METHODS = ("learned", "closed_form")
"""How `k_step = "auto"` finds k."""

DTYPES = ("float32", "bfloat16")
OWN_KEYS = ("model", "schedule", "learning_rate")
"""Sections whose keys depend on a name in them, or on the voice that training starts from."""
MAY_BE_ZERO = (
    *("seed", "steps", "k_step", "songs_shown", "keep_every_steps"),
    *("adversarial_after", "scales", "evaluate_pieces"),
)
"""Whole numbers for which 0 means something; `steps` of a stage is looked at by itself."""
SHARES = ("dropout", "predictor_dropout", "ema_decay", "betas")
"""Numbers from 0 to below 1."""
POSITIVE = ("peak", "clip_norm", "beta_max", "beta_min", "factor", "width")


def check_keys(config: ConfigDict) -> None:
    """Every field is one of the defaults of its kind, and none of those is missing.

    Raises:
      InputError: naming the field.
    """
    from diffsinger_jax.configs import base, vocoder_base

    known = {"acoustic": base, "vocoder": vocoder_base}
    kind = config.get("kind", "acoustic")
    require_known(kind, known, "config.kind")
    file = f"{known[kind].__name__.replace('.', '/')}.py"

    def compare(here: Mapping, there: Mapping, path: str) -> None:
        for key in here:
            if key not in there:
                _unknown(path + key, [path + known for known in there])
        for key, default in there.items():
            if key not in here:
                raise InputError(
                    f"the config lacks the field config.{path}{key}; begin with "
                    f"{file}'s get_config() and change what differs"
                )
            if isinstance(default, ConfigDict) and key not in OWN_KEYS:
                compare(here[key], default, f"{path}{key}.")

    compare(config, known[kind].get_config(), "")


def check_config(config: ConfigDict, stage: str = "all") -> None:
    """Looks at all that can be known without data, devices and a workdir.

    Args:
      config: as it will be used: with the model of the voice that it starts from.
      stage: what is to be trained, of `STAGE_CHOICES`.

    Raises:
      InputError: for the first thing that cannot be, or contradicts another.
    """
    require_known(stage, STAGE_CHOICES, "--stage")
    check_numbers(config)
    _check_names(config)
    _check_model(config)
    _check_schedule(config)
    _check_sampling(config)
    _check_training(config, stage)


def check_layout(*, devices: int, hosts: int, row_groups: int, fsdp: int) -> None:
    """Do the groups of rows and the copies of the state divide among the devices?

    Rows themselves always do: there are as many of padding as it takes.

    Args:
      devices: of all hosts.
      hosts: with the same number of devices each.
      row_groups: config.row_groups.
      fsdp: config.mesh.fsdp.

    Raises:
      InputError: where they do not.
    """
    if devices % hosts:
        raise InputError(
            f"{devices} devices do not divide among {hosts} hosts; give every host as many devices"
        )
    if row_groups & (row_groups - 1):
        raise InputError(
            f"config.row_groups is {row_groups}, expected a power of two, so that their sum has "
            f"one order; take {1 << row_groups.bit_length()}"
        )
    if row_groups > devices and row_groups % devices:
        raise InputError(
            f"config.row_groups is {row_groups}, which {devices} devices do not divide; use a "
            "number of devices that is a power of two, or config.row_groups=1"
        )
    if devices % fsdp:
        raise InputError(
            f"config.mesh.fsdp is {fsdp}, which does not divide {devices} devices; take a divisor"
        )


def _unknown(path: str, known: Collection[str]) -> None:
    near = difflib.get_close_matches(path, known, n=1, cutoff=0.0)
    raise InputError(
        f"the config has a field config.{path}, which nothing reads; the nearest there is "
        f"is config.{near[0]}"
    )


def check_numbers(config: ConfigDict) -> None:
    """Every number is in the range that the last name of its path asks for.

    Raises:
      InputError: for the first that is not.
    """
    for path, value in _leaves(config):
        _check_number(path, value)


def _check_number(path: str, value: Any) -> None:
    name = path.rsplit(".")[-1]
    for number in value if isinstance(value, tuple | list) else (value,):
        if isinstance(number, bool) or not isinstance(number, int | float):
            continue
        counts = isinstance(value, int) and name not in MAY_BE_ZERO
        if not math.isfinite(number) or number < 0 or (counts and number == 0):
            expected = "1 or more" if counts else "0 or more"
        elif name in SHARES and number >= 1:
            expected = "a number from 0 to below 1"
        elif name in POSITIVE and number == 0:
            expected = "more than 0"
        else:
            continue
        raise InputError(f"config.{path} is {value}, expected {expected}; correct it")


def _check_names(config: ConfigDict) -> None:
    """What is chosen by name."""
    require_known(config.process, PROCESSES, "config.process")
    require_known(config.model.dtype, DTYPES, "config.model.dtype")
    require_known(config.schedule.get("name"), SCHEDULES, "config.schedule.name")
    require_known(config.denoiser.distance, DIFFUSION_LOSSES, "config.denoiser.distance")
    require_known(config.boundary.method, BOUNDARY_METHODS, "config.boundary.method")
    require_known(config.sampling.method, SAMPLERS, "config.sampling.method")
    for stage in STAGES:
        require_known(config[stage].optimizer, OPTIMIZERS, f"config.{stage}.optimizer")
    for stage in STAGES:
        section = f"config.{stage}.learning_rate"
        check_call(LEARNING_RATES, config[stage].learning_rate, section)
    try:
        Dictionary.of(config.dictionary)
    except InputError as error:
        raise InputError(f"config.dictionary is {config.dictionary!r}: {error}") from error


def _check_model(config: ConfigDict) -> None:
    model = config.model.to_dict()
    fields = {field.name for field in dataclasses.fields(DiffSinger)}
    own = {"phonemes", "speakers", "languages", "mel_bins", "mel_low", "mel_high", "parent", "name"}
    for key in model:
        if key not in fields - own:
            _unknown(f"model.{key}", [f"model.{name}" for name in sorted(fields - own)])
    whole = {**{f.name: f.default for f in dataclasses.fields(DiffSinger)}, **model}
    if whole["hidden"] % whole["heads"]:
        raise InputError(
            f"config.model.hidden is {whole['hidden']}, which {whole['heads']} attention heads "
            "(config.model.heads) do not divide; change one of them"
        )
    for name in ("kernel_size", "decoder_kernel_size", "duration_kernel_size", "pitch_kernel_size"):
        if whole[name] is not None and whole[name] % 2 == 0:
            raise InputError(
                f"config.model.{name} is {whole[name]}, expected an odd number, so that frames "
                "stay where they are; take the next one"
            )


def _check_schedule(config: ConfigDict) -> None:
    if config.schedule.get("steps", 1) < 1:
        raise InputError(f"config.schedule.steps is {config.schedule.steps}, expected 1 or more")
    check_call(SCHEDULES, config.schedule, "config.schedule")


def _check_sampling(config: ConfigDict) -> None:
    """K, the steps of the walk, and the steps that the denoiser learns."""
    length, t_below = config.schedule.steps, config.denoiser.t_below
    k_step, steps = config.sampling.k_step, config.sampling.steps
    if k_step != AUTO and not (isinstance(k_step, int) and 0 <= k_step <= length):
        raise InputError(
            f"config.sampling.k_step is 0 to {length} (config.schedule.steps) or {AUTO!r}, "
            f"got {k_step!r}"
        )
    if k_step == AUTO:  # the rest follows from the k that is found
        return
    if not 1 <= steps <= max(k_step, 1):
        raise InputError(
            f"config.sampling.steps is {steps}, expected 1 to {max(k_step, 1)}, since a walk from "
            f"config.sampling.k_step = {k_step} has no more steps to visit"
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


def _check_training(config: ConfigDict, stage: str) -> None:
    asked = ("auxiliary", "denoiser") if stage == "all" else (stage,)
    for name in ("auxiliary", "denoiser"):
        if config[name].steps == 0 and not config.start_from:
            why = "stage 2 builds on stage 1" if name == "auxiliary" else "the voice sings with it"
            raise InputError(
                f"config.{name}.steps is 0, but {why}; give it steps, or name a trained voice as "
                "config.start_from"
            )
    if config.boundary.steps < 1 and (stage == "boundary" or _learns_boundary(config)):
        raise InputError("config.boundary.steps is 0, expected 1 or more to learn the boundary")
    weights = config.auxiliary.weights.to_dict()
    if "auxiliary" in asked and config.auxiliary.steps and not any(weights.values()):
        raise InputError(
            f"all of config.auxiliary.weights ({', '.join(weights)}) are 0, so that there is "
            "nothing to learn; give at least one a weight"
        )
    if edges := tuple(config.bucket_edges):
        if any(not isinstance(edge, int) or edge < 1 for edge in edges):
            raise InputError(f"config.bucket_edges is {edges}, expected frames, as (256, 512)")
    if any(not isinstance(path, str) for path in config.freeze):
        raise InputError(f"config.freeze is {tuple(config.freeze)}, expected paths of params")


def _learns_boundary(config: ConfigDict) -> bool:
    return config.sampling.k_step == AUTO and config.boundary.method == "learned"


def require_known(given: Any, known: Collection[str], where: str) -> None:
    """Raises InputError for a name that is not one of those known."""
    if given not in known:
        raise InputError(f"{where} is one of {', '.join(known)}, got {given!r}")


def check_call(table: Mapping[str, Callable], section: ConfigDict, where: str) -> None:
    """Calls what the section's `name` names with its other fields.

    Raises:
      InputError: if it has no such name or arguments.
    """
    arguments = section.to_dict()
    name = arguments.pop("name", None)
    require_known(name, table, f"{where}.name")
    parameters = inspect.signature(table[name]).parameters
    for key in arguments:
        if key not in parameters:
            raise InputError(
                f"{where} has {key}, which the {name} one does not know; it takes "
                f"{', '.join(parameters)}"
            )
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in arguments:
            raise InputError(f"{where} lacks {key}, which the {name} one needs; add it")
    try:
        table[name](**arguments)
    except ValueError as error:
        given = ", ".join(f"{key} = {value}" for key, value in arguments.items())
        raise InputError(f"{where} cannot be {name} with {given}: {error}") from error


def _leaves(config: Mapping, path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping | ConfigDict):
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value
