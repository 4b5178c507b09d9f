"""What any training reads of its config, and the copy of it that a workdir keeps."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.engine.hosts import all_processes, is_primary
from diffsinger_jax.engine.optimizers import BY_PROGRESS, UpdateConfig
from diffsinger_jax.engine.workdir import Workdir
from diffsinger_jax.errors import InputError
from diffsinger_jax.ranges import SHARE, at_least

CONFIG_FILE = "config.json"


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """How devices are shared out: `fsdp` of them hold one copy of the training state."""

    fsdp: Annotated[int, at_least(1)]


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """What the loop reads, whatever it trains; each field's unit is in configs/base.py."""

    kind: str
    name: str
    seed: Annotated[int, at_least(0)]
    start_from: str

    ema_decay: Annotated[float, SHARE]
    read_threads: Annotated[int, at_least(1)]
    microbatches: Annotated[int, at_least(1)]
    mesh: MeshConfig
    peak_flops: Annotated[float, at_least(0)]
    stop_after_nonfinite: Annotated[int, at_least(1)]
    stop_after_minutes: Annotated[float, at_least(0)]

    log_every_steps: Annotated[int, at_least(1)]
    evaluate_every_steps: Annotated[int, at_least(1)]
    songs_shown: Annotated[int, at_least(0)]
    save_every_steps: Annotated[int, at_least(1)]
    save_every_minutes: Annotated[float, at_least(0)]
    keep_checkpoints: Annotated[int, at_least(1)]
    keep_every_steps: Annotated[int, at_least(0)]

    def __post_init__(self) -> None:
        """Is there time for those learning rates that fall by it?

        Raises:
          InputError: naming the first for which there is not.
        """
        for field in dataclasses.fields(self):
            section = getattr(self, field.name)
            if not isinstance(section, UpdateConfig) or self.stop_after_minutes:
                continue
            if section.learning_rate["name"] in BY_PROGRESS:
                raise InputError(
                    f"config.{field.name}.learning_rate falls by time, but there is none: "
                    "config.stop_after_minutes is 0; give minutes, or another learning rate"
                )


def require_no_stage(what: str, stage: str) -> None:
    """Sees that no stage is asked for where there are none.

    Args:
      what: is trained, with its article.
      stage: of the command line, "all" unless one is asked for.
    """
    if stage != "all":
        raise InputError(f"{what} has no stages, got --stage={stage}; leave it out")


def check_layout(*, devices: int, hosts: int, microbatches: int, fsdp: int) -> None:
    """Do the microbatches and the copies of the state divide among the devices?

    Rows themselves always do: there are as many of padding as it takes.

    Args:
      devices: of all hosts.
      hosts: with the same number of devices each.
      microbatches: config.microbatches.
      fsdp: config.mesh.fsdp.

    Raises:
      InputError: where they do not.
    """
    if devices % hosts:
        raise InputError(
            f"{devices} devices do not divide among {hosts} hosts; give every host as many devices"
        )
    if microbatches & (microbatches - 1):
        raise InputError(
            f"config.microbatches is {microbatches}, expected a power of two, so that their sum "
            f"has one order; take {1 << microbatches.bit_length()}"
        )
    if microbatches > devices and microbatches % devices:
        raise InputError(
            f"config.microbatches is {microbatches}, which {devices} devices do not divide; use a "
            "number of devices that is a power of two, or config.microbatches=1"
        )
    if devices % fsdp:
        raise InputError(
            f"config.mesh.fsdp is {fsdp}, which does not divide {devices} devices; take a divisor"
        )


def read_config(workdir: Workdir) -> dict[str, Any] | None:
    """The config that a run was started with; None where none was."""
    file = workdir.folder / CONFIG_FILE
    return json.loads(file.read_text()) if file.exists() else None


def require_same(
    before: Mapping[str, Any], now: Mapping[str, Any], sections: Sequence[str], workdir: Workdir
) -> None:
    """Refuses to go on with a config that differs where the weights depend on it.

    Args:
      before: what the run was started with.
      now: what it shall go on with, see `plain`.
      sections: that must be the same.
      workdir: for the message.

    Raises:
      InputError: naming the section.
    """
    now = json.loads(json.dumps(now))  # as the file has it: lists, not tuples
    for section in sections:
        if before.get(section) != now[section]:
            raise InputError(
                f"{workdir} holds a run with another `{section}`; give a fresh --workdir, or "
                "the config that it was started with"
            )


def write_config(config: Mapping[str, Any], workdir: Workdir) -> None:
    """Keeps the config, whole or not at all; call it in all processes once each has compared.

    Args:
      config: see `plain`.
      workdir: of the run.

    Raises:
      InputError: if the workdir cannot be written to.
    """
    all_processes(True)  # all have compared before one writes
    if not is_primary():
        return
    try:
        workdir.folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(workdir.folder / CONFIG_FILE) as partial:
            partial.write_text(json.dumps(config, indent=1, sort_keys=True))
    except OSError as error:
        raise InputError(f"cannot write into --workdir {workdir}: {error.strerror}") from error
    workdir.copy()
