"""The config that a workdir keeps beside what was made by it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.engine.hosts import all_processes, is_primary
from diffsinger_jax.engine.workdir import Workdir
from diffsinger_jax.errors import InputError

CONFIG_FILE = "config.json"


def read_config(workdir: Workdir) -> dict[str, Any] | None:
    """The config that a run was started with; None where none was."""
    file = workdir.folder / CONFIG_FILE
    return json.loads(file.read_text()) if file.exists() else None


def require_same(
    before: Mapping[str, Any],
    config: ConfigDict,
    sections: Sequence[str],
    workdir: Workdir,
    *,
    new_fields: Mapping[str, Any],
) -> None:
    """Refuses to go on with a config that differs where the weights depend on it.

    Args:
      before: what the run was started with.
      config: what it shall go on with.
      sections: that must be the same.
      workdir: for the message.
      new_fields: what a run began with that began before configs had these.

    Raises:
      InputError: naming the section.
    """
    now = json.loads(config.to_json_best_effort())
    for section in sections:
        if before.get(section, new_fields.get(section)) != now[section]:
            raise InputError(
                f"{workdir} holds a run with another `{section}`; give a fresh --workdir, or "
                "the config that it was started with"
            )


def write_config(config: ConfigDict, workdir: Workdir) -> None:
    """Keeps the config, whole or not at all; call it in all processes once each has compared.

    Raises:
      InputError: if the workdir cannot be written to.
    """
    all_processes(True)  # all have compared before one writes
    if not is_primary():
        return
    try:
        workdir.folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(workdir.folder / CONFIG_FILE) as partial:
            partial.write_text(config.to_json_best_effort(indent=1))
    except OSError as error:
        raise InputError(f"cannot write into --workdir {workdir}: {error.strerror}") from error
    workdir.copy()
