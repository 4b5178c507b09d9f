"""Names that configs, voices and workdirs of earlier versions have, and what they are today.

The one table of them: whatever reads such a file asks here first, and nothing else knows them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

FIELDS = {
    "row_groups": "microbatches",
    "model.sees_padding": "model.unmasked_convs",
}
"""Paths of fields, as they were -> as they are, in the same section."""
VALUES = {"sampling.start": {"blurry": "auxiliary"}}
"""Of a field: values as they were -> as they are."""
ADDED = {
    "start_from": "",
    "microbatches": 1,
    "mesh.fsdp": 1,
    "peak_flops": 0.0,
    "stop_after_nonfinite": 10,
    "stop_after_minutes": 0.0,
    "save_every_minutes": 0.0,
    "keep_every_steps": 0,
    "auxiliary.optimizer": "adamw",
    "auxiliary.weights.curves": 1.0,
    "boundary.optimizer": "adamw",
    "denoiser.optimizer": "adamw",
    "denoiser.drop_condition": 0.0,
    "denoiser.drop_prior": 0.0,
    "denoiser.prior_error": 0.0,
    "denoiser.crop_frames": 0,
    "vocoder.optimizer": "adamw",
    "sampling.method": "ddpm",
    "denoiser.weighting": "uniform",
}
"""What a run trained with that began before configs had these fields, in sections that it has."""
ADDED_ACOUSTIC = {"freeze": [], "new_denoiser": False, "bucket_edges": [], "remat": False}
"""The same, of voices alone."""


def renamed(description: Mapping[str, Any]) -> dict[str, Any]:
    """A config or the description of a voice, with today's names; the given one stays."""
    found = copy.deepcopy(dict(description))
    for old, new in FIELDS.items():
        section = _section(found, old)
        if section is not None and _name(old) in section:
            section[_name(new)] = section.pop(_name(old))
    for path, values in VALUES.items():
        section = _section(found, path)
        if section is not None and section.get(_name(path)) in values:
            section[_name(path)] = values[section[_name(path)]]
    return found


def completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config that a workdir keeps, with today's names and what it trained with unsaid."""
    found = renamed(config)
    found.setdefault("mesh", {})
    kind = found.setdefault("kind", "acoustic")
    added = ADDED | ADDED_ACOUSTIC if kind == "acoustic" else ADDED
    for path, value in added.items():
        section = _section(found, path)
        if section is not None:
            section.setdefault(_name(path), copy.copy(value))
    return found


def renamed_flag(flag: str) -> str:
    """--config.row_groups=8 -> --config.microbatches=8; other arguments as they are."""
    name, separator, value = flag.partition("=")
    prefix = next((one for one in ("--config.", "-config.") if name.startswith(one)), None)
    if prefix is None:
        return flag
    path = FIELDS.get(name.removeprefix(prefix), name.removeprefix(prefix))
    return f"{prefix}{path}{separator}{VALUES.get(path, {}).get(value, value)}"


def _name(path: str) -> str:
    return path.rpartition(".")[2]


def _section(tree: dict[str, Any], path: str) -> dict[str, Any] | None:
    """The section that a path's last name stands in, if there is one."""
    for parent in path.split(".")[:-1]:
        if not isinstance(inner := tree.get(parent), dict):
            return None
        tree = inner
    return tree
