"""Variance checkpoints of openvpi/DiffSinger -> variance models, and back."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

import flax.traverse_util
import numpy as np

from diffsinger_jax.diffusion.schedule import make_schedule
from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.flat_config import FlatConfig, read_config
from diffsinger_jax.interop.name_map import Link, left_out
from diffsinger_jax.interop.openvpi.checkpoint import (
    PREFIX,
    check_tensors,
    find_checkpoint,
    path_settings,
    read_tensors,
    require_rows,
)
from diffsinger_jax.interop.openvpi.config import PROCESSES, read_names, sampling_settings
from diffsinger_jax.interop.openvpi.names import LEFT_OUT
from diffsinger_jax.interop.openvpi.variance_config import (
    conditioners_are_cached,
    variance_ranges,
    variance_settings,
)
from diffsinger_jax.interop.openvpi.variance_names import GENERATORS, variance_links
from diffsinger_jax.interop.schedule_buffers import schedule_buffers
from diffsinger_jax.interop.torch_file import as_tensors, write_content
from diffsinger_jax.models.scaling import CurveScaling
from diffsinger_jax.models.variance_model import VarianceModel
from diffsinger_jax.types import Vocabulary
from diffsinger_jax.voices.variance import VarianceVoice, variance_shapes


@dataclasses.dataclass(frozen=True)
class ImportedVariance:
    """What became of a checkpoint.

    Attributes:
      voice: ready to perform.
      used: number of tensors that became parameters.
      left_out: why, by the names of the other tensors.
    """

    voice: VarianceVoice
    used: int
    left_out: Mapping[str, str]


def import_variance(
    path: str | os.PathLike, *, name: str | None = None, licence: str = ""
) -> ImportedVariance:
    """An experiment's variance checkpoint as a variance model.

    Args:
      path: its folder, of whose checkpoints the last is read, or a checkpoint in it.
      name: of the model; the folder's unless given.
      licence: of what it was trained on, with its credit.

    Raises:
      InputError: as `import_experiment`.
    """
    checkpoint = find_checkpoint(Path(path))
    config = read_config(checkpoint.parent / "config.yaml")
    tensors = read_tensors(checkpoint, "variance")
    names = read_names(config, checkpoint.parent)
    require_rows(tensors, len(names.phonemes.names) + 1, checkpoint)
    process = PROCESSES[config.word("diffusion_type", "ddpm", tuple(PROCESSES))]
    schedule = path_settings(config, process, tensors, checkpoint, _first_generator(config))
    voice = VarianceVoice(
        name=name or checkpoint.resolve().parent.name,
        vocabulary=Vocabulary(
            names.phonemes.names,
            speakers=names.speakers if config.flag("use_spk_id", False) else ("default",),
            languages=names.languages,
            merged=names.phonemes.merged,
        ),
        sample_rate=config.count("audio_sample_rate"),
        hop=config.count("hop_size"),
        model=variance_settings(config, names),
        schedule=schedule,
        process=process,
        sampling=sampling_settings(config, process, schedule.get("steps", 0)),
        params={},
        ranges=variance_ranges(config),
        timing="openvpi",
        licence=licence,
    )
    shapes = variance_shapes(voice.variance)
    table = _links(voice.variance, conditioners_are_cached(config), shapes)
    check_tensors(tensors, shapes, table, checkpoint)
    params = {link.ours: link.to_ours(tensors) for link in table}
    used = {name for link in table for name in link.theirs}
    return ImportedVariance(
        voice=dataclasses.replace(voice, params=flax.traverse_util.unflatten_dict(params, sep="/")),
        used=len(used),
        left_out={name: left_out(name, LEFT_OUT) or "" for name in tensors if name not in used},
    )


def export_variance(voice: VarianceVoice, path: str | os.PathLike, *, cached: bool = True) -> None:
    """Writes a variance model in openvpi/DiffSinger's layout; importing it gives it back.

    Args:
      voice: the model.
      path: of the checkpoint.
      cached: `use_conditioner_cache` of the config that it will lie beside.

    Raises:
      InputError: if the model is none of theirs.
    """
    variance = voice.variance
    try:
        table = _links(variance, dict.fromkeys(GENERATORS, cached), variance_shapes(variance))
    except KeyError as error:
        raise InputError(
            f"openvpi/DiffSinger has nothing like {error} of the variance model {voice.name}; only "
            "models with its modules, as imported ones, can be written in its layout"
        ) from error
    flat = flax.traverse_util.flatten_dict(dict(voice.params), sep="/")
    tensors: dict[str, np.ndarray] = {}
    for link in table:
        tensors |= link.to_theirs(np.asarray(flat[link.ours], np.float32))
    if voice.process == "eps":
        tensors |= _buffers(voice)
    named = {PREFIX + key: tensors[key] for key in sorted(tensors)}
    content = {
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": "2.3.3",
        "state_dict": as_tensors(named),
        "optimizer_states": [],
        "lr_schedulers": [],
        "category": "variance",
    }
    write_content(path, content)


def _buffers(voice: VarianceVoice) -> dict[str, np.ndarray]:
    """Of a diffusion: its schedule and its range, in each generator that there is."""
    model, found = voice.variance.model, {}
    scalings: dict[str, CurveScaling] = {}
    if model.pitch_settings:
        scalings["pitch_predictor"] = voice.variance.pitch_scaling
    if model.curves:
        scalings["variance_predictor"] = voice.variance.curve_scaling
    for part, scaling in scalings.items():
        for key, buffer in schedule_buffers(make_schedule(voice.schedule)).items():
            found[f"{part}.{key}"] = buffer
        for key, end in (("spec_min", scaling.low), ("spec_max", scaling.high)):
            row = np.asarray(end, np.float32)
            found[f"{part}.{key}"] = row.reshape((1, -1, 1, 1) if len(row) > 1 else (1, 1, 1))
    return found


def _first_generator(config: FlatConfig) -> str:
    """Whose buffers the schedule is read of."""
    return "pitch_predictor" if config.flag("predict_pitch", False) else "variance_predictor"


def _links(variance: VarianceModel, cached: dict[str, bool], shapes: Mapping) -> list[Link]:
    paths = flax.traverse_util.flatten_dict(dict(shapes), sep="/").keys()
    if variance.process not in PROCESSES.values():
        raise KeyError(variance.process)
    return variance_links(paths, variance.model, variance.process, cached=cached)
