"""Checkpoints of MoonInTheRiver/DiffSinger -> voices, and back."""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import flax.traverse_util
import numpy as np

from diffsinger_jax.diffusion.schedule import make_schedule
from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.flat_config import read_config
from diffsinger_jax.interop.name_map import Link, left_out, links
from diffsinger_jax.interop.reference_config import (
    ReferenceModel,
    interpret,
    read_phone_set,
)
from diffsinger_jax.interop.schedule_buffers import schedule_buffers
from diffsinger_jax.interop.torch_file import read_state_dict, write_state_dict
from diffsinger_jax.voices.voice import Voice, voice_shapes

PREFIX = "model."
"""What every name in a checkpoint begins with."""
TOKENS, TOKENS_AGAIN = "fs2.encoder_embed_tokens.weight", "fs2.encoder.embed_tokens.weight"
PRIOR_SCALE = 0.1
"""Of imported voices: their process does not use it."""


@dataclasses.dataclass(frozen=True)
class Imported:
    """What became of a checkpoint.

    Attributes:
      voice: ready to sing.
      behaviours: sentences that say which of the reference's ways are active.
      used: number of tensors that became parameters.
      left_out: why, by the names of the other tensors.
    """

    voice: Voice
    behaviours: tuple[str, ...]
    used: int
    left_out: Mapping[str, str]


def import_checkpoint(
    checkpoint: str | os.PathLike,
    config: str | os.PathLike,
    phone_set: str | os.PathLike,
    *,
    name: str | None = None,
    licence: str = "",
    language: str = "zh",
) -> Imported:
    """A checkpoint as a voice.

    Args:
      checkpoint: `model_ckpt_steps_*.ckpt`.
      config: the flat `config.yaml` beside it.
      phone_set: `phone_set.json` of its data.
      name: of the voice; the checkpoint's folder unless given.
      licence: of what the voice was trained on, with its credit.
      language: tag of the language that it sings.

    Raises:
      InputError: if a file is missing, damaged or not trusted, a tensor is missing, misshapen or
        left over, or the files contradict each other.
    """
    checkpoint, config = Path(checkpoint), Path(config)
    settings = read_config(config)
    phonemes = read_phone_set(Path(phone_set))
    tensors = _without_prefix(read_state_dict(checkpoint), checkpoint)
    _require_phones(tensors, phonemes, checkpoint, phone_set)
    reference = interpret(
        settings,
        phonemes,
        name=name or checkpoint.resolve().parent.name,
        licence=licence,
        language=language,
        mel_range=_mel_range(tensors, checkpoint),
    )
    _check_schedule(tensors, reference, checkpoint, config)
    voice = _empty_voice(reference)
    table = _links(voice)
    _check_tensors(tensors, voice, table, checkpoint, config)
    if not np.array_equal(tensors[TOKENS], tensors.get(TOKENS_AGAIN, tensors[TOKENS])):
        raise InputError(
            f"{checkpoint}: {PREFIX + TOKENS} and {PREFIX + TOKENS_AGAIN} differ, though they are "
            "one table; the file is damaged"
        )
    params = {link.ours: link.to_ours(tensors) for link in table}
    params["prior_scale"] = np.full(reference.info.mel.n_mels, PRIOR_SCALE, np.float32)
    used = {name for link in table for name in link.theirs}
    return Imported(
        voice=dataclasses.replace(voice, params=flax.traverse_util.unflatten_dict(params, sep="/")),
        behaviours=reference.behaviours,
        used=len(used),
        left_out={name: left_out(name) or "" for name in tensors if name not in used},
    )


def export_checkpoint(voice: Voice, path: str | os.PathLike) -> None:
    """Writes a voice in the reference's layout; importing it again gives the same parameters.

    Raises:
      InputError: if the voice's model is not one of the reference's.
    """
    try:
        table = _links(voice)
    except KeyError as error:
        raise InputError(
            f"the reference has nothing like the parameter {error} of the voice {voice.name}; "
            "only voices with its modules, as imported ones, can be written in its layout"
        ) from error
    if voice.process != "eps" or voice.acoustic.model.condition_on_prior:
        raise InputError(
            f"the denoiser of the voice {voice.name} predicts something else than the reference's; "
            "only voices of its kind, as imported ones, can be written in its layout"
        )
    flat = flax.traverse_util.flatten_dict(dict(voice.params), sep="/")
    tensors: dict[str, np.ndarray] = {}
    for link in table:
        tensors |= link.to_theirs(np.asarray(flat[link.ours], np.float32))
    tensors[TOKENS_AGAIN] = tensors[TOKENS]
    tensors |= schedule_buffers(make_schedule(voice.schedule))
    tensors["spec_min"] = np.asarray(voice.info.mel_min, np.float32)[None, None, :]
    tensors["spec_max"] = np.asarray(voice.info.mel_max, np.float32)[None, None, :]
    write_state_dict(path, {PREFIX + name: tensors[name] for name in sorted(tensors)})


def _without_prefix(tensors: Mapping[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    for name in tensors:
        if not name.startswith(PREFIX):
            raise InputError(
                f"{path}: the tensor {name} does not begin with {PREFIX!r}; expected the "
                "checkpoint of an acoustic model, as its trainer wrote it"
            )
    return {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}


def _require_phones(
    tensors: Mapping[str, np.ndarray], phonemes: Sequence[str], path: Path, phone_set
) -> None:
    table = tensors.get(TOKENS)
    if table is not None and table.ndim == 2 and len(table) != len(phonemes) + 1:
        raise InputError(
            f"{path}: {PREFIX + TOKENS} is {table.shape}, {phone_set} with its "
            f"{len(phonemes) - 2} phones and 3 reserved ids needs {len(phonemes) + 1} rows; give "
            "the phone set that the model was trained with"
        )


def _mel_range(tensors: Mapping[str, np.ndarray], path: Path) -> tuple[np.ndarray, np.ndarray]:
    """spec_min and spec_max, f32[M]; that M fits is checked with the config."""
    for name in ("spec_min", "spec_max"):
        shape = tensors[name].shape if name in tensors else "missing"
        if shape == "missing" or len(shape) != 3 or shape[:2] != (1, 1):
            raise InputError(f"{path}: {PREFIX + name} is {shape}, expected (1, 1, bins)")
    low, high = tensors["spec_min"][0, 0], tensors["spec_max"][0, 0]
    if low.shape != high.shape or not np.all(low < high):
        raise InputError(
            f"{path}: {PREFIX}spec_min {low.shape} does not lie below {PREFIX}spec_max {high.shape}"
        )
    return low, high


def _check_schedule(
    tensors: Mapping[str, np.ndarray], reference: ReferenceModel, path: Path, config: Path
) -> None:
    for name, expected in schedule_buffers(make_schedule(reference.schedule)).items():
        there = tensors.get(name)
        if there is None or there.shape != expected.shape:
            shape = "missing" if there is None else there.shape
            raise InputError(
                f"{path}: {PREFIX + name} is {shape}, timesteps in {config} says {expected.shape}"
            )
        if not np.allclose(there, expected, rtol=1e-4, atol=1e-6):
            i = int(np.argmax(np.abs(there - expected)))
            raise InputError(
                f"{path}: {PREFIX + name}[{i}] is {there[i]:.6g}, {config} (schedule_type, "
                f"max_beta) says {expected[i]:.6g}; set them to what the model was trained with"
            )


def _check_tensors(
    tensors: Mapping[str, np.ndarray],
    voice: Voice,
    table: Sequence[Link],
    path: Path,
    config: Path,
) -> None:
    ours = flax.traverse_util.flatten_dict(voice_shapes(voice.acoustic), sep="/")
    expected: dict[str, tuple[int, ...]] = {}
    for link in table:
        expected |= link.shapes(ours[link.ours].shape)
    spare = [n for n in tensors if n not in expected and left_out(n) is None]
    for name, shape in expected.items():
        if name not in tensors:
            near = difflib.get_close_matches(name, spare, n=1)
            hint = f", though it has {PREFIX + near[0]} {tensors[near[0]].shape}" if near else ""
            raise InputError(
                f"{path} has no tensor {PREFIX + name} of shape {shape}, which {config} says{hint}"
            )
        if tensors[name].shape != shape:
            raise InputError(
                f"{path}: {PREFIX + name} is {tensors[name].shape}, {config} says {shape}; "
                "the two files do not belong together"
            )
    if spare:
        raise InputError(
            f"{path}: {PREFIX + spare[0]} {tensors[spare[0]].shape} has no place in the model "
            f"that {config} describes"
            + (f" ({len(spare)} tensors are left over)" if len(spare) > 1 else "")
        )


def _empty_voice(reference: ReferenceModel) -> Voice:
    return Voice(
        name=reference.info.name,
        info=reference.info,
        model=reference.model,
        schedule=reference.schedule,
        process="eps",
        sampling=reference.sampling,
        dictionary="none",
        params={},
        requires=reference.requires,
    )


def _links(voice: Voice) -> list[Link]:
    model = voice.acoustic.model
    paths = flax.traverse_util.flatten_dict(voice_shapes(voice.acoustic), sep="/").keys()
    return list(links(paths, denoiser_layers=model.denoiser_layers, pitch=model.pitch))
