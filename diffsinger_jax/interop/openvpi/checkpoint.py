"""Acoustic checkpoints of openvpi/DiffSinger -> voices, and back.

An experiment's folder has the checkpoint, `config.yaml`, the dictionaries, and where there are
several `spk_map.json` and `lang_map.json`.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.traverse_util
import numpy as np

from diffsinger_jax.diffusion.schedule import cosine_schedule, linear_schedule, make_schedule
from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.flat_config import FlatConfig, read_config
from diffsinger_jax.interop.name_map import Link, left_out
from diffsinger_jax.interop.openvpi.config import (
    PROCESSES,
    augmentation_ranges,
    conditioner_is_cached,
    mel_range,
    mel_spec,
    model_settings,
    read_names,
    sampling_settings,
)
from diffsinger_jax.interop.openvpi.names import (
    LEFT_OUT,
    acoustic_links,
    with_todays_names,
)
from diffsinger_jax.interop.schedule_buffers import schedule_buffers
from diffsinger_jax.interop.torch_file import (
    as_arrays,
    as_tensors,
    read_content,
    write_content,
)
from diffsinger_jax.types import CorpusInfo, Vocabulary
from diffsinger_jax.voices.voice import Voice, voice_shapes

PREFIX = "model."
PRIOR_SCALE = 0.1
"""Of imported voices: their process does not use it."""


@dataclasses.dataclass(frozen=True)
class Imported:
    """What became of a checkpoint.

    Attributes:
      voice: ready to sing.
      used: number of tensors that became parameters.
      left_out: why, by the names of the other tensors.
    """

    voice: Voice
    used: int
    left_out: Mapping[str, str]


def import_experiment(
    path: str | os.PathLike, *, name: str | None = None, licence: str = ""
) -> Imported:
    """An experiment's acoustic checkpoint as a voice.

    Args:
      path: its folder, of whose checkpoints the last is read, or a checkpoint in it.
      name: of the voice; the folder's unless given.
      licence: of what the voice was trained on, with its credit.

    Raises:
      InputError: if a file is missing, damaged or not trusted, a tensor is missing, misshapen or
        left over, or the files contradict each other.
    """
    checkpoint = find_checkpoint(Path(path))
    config = read_config(checkpoint.parent / "config.yaml")
    tensors = read_tensors(checkpoint, "acoustic")
    names = read_names(config, checkpoint.parent)
    process = PROCESSES[config.word("diffusion_type", "ddpm", tuple(PROCESSES))]
    spec = mel_spec(config)
    schedule = path_settings(config, process, tensors, checkpoint)
    require_rows(tensors, len(names.phonemes.names) + 1, checkpoint)
    low, high = _mel_range(config, tensors, spec.n_mels)
    voice = Voice(
        name=name or checkpoint.resolve().parent.name,
        info=CorpusInfo(
            name=name or checkpoint.resolve().parent.name,
            mel=spec,
            vocabulary=Vocabulary(
                names.phonemes.names,
                speakers=names.speakers if config.flag("use_spk_id", False) else ("default",),
                languages=names.languages,
                merged=names.phonemes.merged,
            ),
            mel_min=low,
            mel_max=high,
            licence=licence,
        ),
        model=model_settings(config, names),
        schedule=schedule,
        process=process,
        sampling=sampling_settings(config, process, schedule.get("steps", 0)),
        dictionary="none",
        params={},
        requires=("durations", "f0"),
        timing="openvpi",
        ranges=augmentation_ranges(config),
    )
    table = _links(voice, cached=conditioner_is_cached(config))
    check_tensors(tensors, voice_shapes(voice.acoustic), table, checkpoint)
    params = {link.ours: link.to_ours(tensors) for link in table}
    params["prior_scale"] = np.full(spec.n_mels, PRIOR_SCALE, np.float32)
    used = {name for link in table for name in link.theirs}
    return Imported(
        voice=dataclasses.replace(voice, params=flax.traverse_util.unflatten_dict(params, sep="/")),
        used=len(used),
        left_out={name: left_out(name, LEFT_OUT) or "" for name in tensors if name not in used},
    )


def export_checkpoint(voice: Voice, path: str | os.PathLike, *, cached: bool = True) -> None:
    """Writes a voice in today's layout of openvpi/DiffSinger; importing it gives it back.

    Args:
      voice: with its modules.
      path: of the checkpoint.
      cached: `use_conditioner_cache` of the config that it will lie beside.

    Raises:
      InputError: if the voice's model is none of theirs.
    """
    try:
        table = _links(voice, cached=cached)
    except KeyError as error:
        raise InputError(
            f"openvpi/DiffSinger has nothing like {error} of the voice {voice.name}; only voices "
            "with its modules, as imported ones, can be written in its layout"
        ) from error
    flat = flax.traverse_util.flatten_dict(dict(voice.params), sep="/")
    tensors: dict[str, np.ndarray] = {}
    for link in table:
        tensors |= link.to_theirs(np.asarray(flat[link.ours], np.float32))
    if voice.process == "eps":
        buffers = schedule_buffers(make_schedule(voice.schedule))
        tensors |= {f"diffusion.{key}": buffer for key, buffer in buffers.items()}
        ends = {"spec_min": voice.info.mel_min, "spec_max": voice.info.mel_max}
        for key, end in ends.items():
            same = np.unique(np.asarray(end, np.float32))
            row = same if len(same) == 1 else np.asarray(end, np.float32)
            tensors[f"diffusion.{key}"] = row[None, None, :]
    named = {PREFIX + key: tensors[key] for key in sorted(tensors)}
    content = {
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": "2.3.3",
        "state_dict": as_tensors(named),
        "optimizer_states": [],
        "lr_schedulers": [],
        "category": "acoustic",
    }
    write_content(path, content)


def find_checkpoint(path: Path) -> Path:
    """The last checkpoint of an experiment's folder, or the one that is named.

    Raises:
      InputError: if the folder has none.
    """
    if path.suffix == ".ckpt":
        return path
    found = list(path.glob("model_ckpt_steps_*.ckpt"))
    if not found:
        raise InputError(
            f"{path} has no model_ckpt_steps_*.ckpt; give the folder of an experiment, or one of "
            "its checkpoints"
        )
    return max(found, key=lambda file: int("".join(filter(str.isdigit, file.stem)) or 0))


def read_tensors(path: Path, category: str) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint under today's names, without the prefix.

    Args:
      path: the file.
      category: "acoustic" or "variance", which it must be of.

    Raises:
      InputError: if it is of another category, or not such a file.
    """
    content = read_content(path)
    found = content.get("category", category) if isinstance(content, Mapping) else None
    if found != category:
        raise InputError(
            f"{path} is of the category {found!r}, expected one of {category!r}; give another"
        )
    tensors = content.get("state_dict")
    if not isinstance(tensors, Mapping) or not tensors:
        raise InputError(f"{path} has no state_dict; give a model_ckpt_steps_*.ckpt")
    arrays = as_arrays(
        {key: value for key, value in tensors.items() if not str(key).endswith("_float_tensor")},
        path,
    )
    for key in arrays:
        if not key.startswith(PREFIX):
            raise InputError(f"{path}: the tensor {key} does not begin with {PREFIX!r}")
    return with_todays_names({key.removeprefix(PREFIX): array for key, array in arrays.items()})


def path_settings(
    config: FlatConfig,
    process: str,
    tensors: Mapping[str, np.ndarray],
    path: Path,
    part: str = "diffusion",
) -> dict[str, Any]:
    """Of the process's path. A schedule is that of the file's buffers, whatever its config says:
    releases up to 2.5.1 built another one than they said.

    Args:
      config: beside the checkpoint.
      process: our name.
      tensors: of the checkpoint.
      path: of it, for messages.
      part: under whose name the buffers are.

    Raises:
      InputError: if the buffers are missing, or of a schedule that is unknown.
    """
    if process == "velocity":
        return {"name": "straight", "time_scale": config.number("time_scale_factor", 1000)}
    betas = tensors.get(f"{part}.betas")
    if betas is None or betas.ndim != 1:
        raise InputError(f"{path} has no {PREFIX}{part}.betas, the schedule of a diffusion")
    steps, last = len(betas), float(betas[-1])
    candidates = {"cosine": {}, "linear": {"beta_max": round(last, 6)}}
    for kind, settings in candidates.items():
        make = cosine_schedule if kind == "cosine" else linear_schedule
        if np.allclose(make(steps, **settings).betas, betas, rtol=1e-4, atol=1e-7):
            return {"name": kind, "steps": steps, **settings}
    raise InputError(
        f"{path}: {PREFIX}{part}.betas is neither a linear nor a cosine schedule, which are "
        "those this program knows"
    )


def _mel_range(
    config: FlatConfig, tensors: Mapping[str, np.ndarray], bins: int
) -> tuple[np.ndarray, np.ndarray]:
    """That of the file, where it has one, else the config's."""
    names = ("spec_min", "spec_max")
    if all(f"diffusion.{key}" in tensors for key in names):
        kept = {key: tensors[f"diffusion.{key}"].reshape(-1).tolist() for key in names}
        config = FlatConfig(kept, config.path)
    return mel_range(config, bins)


def require_rows(tensors: Mapping[str, np.ndarray], rows: int, path: Path) -> None:
    """Sees that the table of phonemes has as many rows as the dictionaries give.

    Raises:
      InputError: if not.
    """
    table = tensors.get("fs2.txt_embed.weight")
    if table is not None and len(table) != rows:
        raise InputError(
            f"{path}: {PREFIX}fs2.txt_embed.weight has {len(table)} rows, the dictionaries beside "
            f"it give {rows - 1} phonemes and padding; give those that the model was trained with"
        )


def check_tensors(
    tensors: Mapping[str, np.ndarray], shapes: Mapping[str, Any], table: Sequence[Link], path: Path
) -> None:
    """Sees that a checkpoint has what the model of its config has, and nothing else.

    Args:
      tensors: of the checkpoint.
      shapes: of our model's params.
      table: which tensors each of them is made of.
      path: of the checkpoint, for messages.

    Raises:
      InputError: naming the first tensor that is missing, misshapen or left over.
    """
    ours = flax.traverse_util.flatten_dict(dict(shapes), sep="/")
    expected: dict[str, tuple[int, ...]] = {}
    for link in table:
        expected |= link.shapes(ours[link.ours].shape)
    spare = [n for n in tensors if n not in expected and left_out(n, LEFT_OUT) is None]
    for name, shape in expected.items():
        if name not in tensors:
            near = difflib.get_close_matches(name, spare, n=1)
            hint = f", though it has {PREFIX + near[0]} {tensors[near[0]].shape}" if near else ""
            raise InputError(
                f"{path} has no tensor {PREFIX + name} of shape {shape}, which its config.yaml "
                f"says{hint}"
            )
        if tensors[name].shape != shape:
            raise InputError(
                f"{path}: {PREFIX + name} is {tensors[name].shape}, its config.yaml says {shape}; "
                "the two files do not belong together"
            )
    if spare:
        raise InputError(
            f"{path}: {PREFIX + spare[0]} {tensors[spare[0]].shape} has no place in the model that "
            "its config.yaml describes"
            + (f" ({len(spare)} tensors are left over)" if len(spare) > 1 else "")
        )


def _links(voice: Voice, *, cached: bool) -> list[Link]:
    paths = flax.traverse_util.flatten_dict(voice_shapes(voice.acoustic), sep="/").keys()
    if voice.process not in PROCESSES.values():
        raise KeyError(voice.process)
    return acoustic_links(paths, voice.acoustic.model, voice.process, cached=cached)
