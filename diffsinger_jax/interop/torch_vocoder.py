"""NSF-HiFiGAN vocoders of openvpi and MoonInTheRiver/DiffSinger -> vocoders of ours, and back."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flax.traverse_util
import numpy as np

from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.name_map import KERNEL, MATRIX, Layout
from diffsinger_jax.interop.torch_file import as_arrays, as_tensors, read_content, write_content
from diffsinger_jax.interop.vocoder_config import read_vocoder_config
from diffsinger_jax.voices.vocoder import (
    NeuralVocoder,
    generator_shapes,
)

TRANSPOSED = Layout(lambda x: x.transpose(2, 0, 1), lambda x: x.transpose(1, 2, 0))
"""[in, out, taps] there, [taps, in, out] here."""
ONE_CHANNEL = Layout(lambda x: x[:, 0].T, lambda x: x.T[:, None])
"""[out, 1, taps] there, [taps, out] here."""

TABLE: Mapping[str, tuple[str, Layout, bool]] = {
    # ours -> (theirs, how the weights lie, whether they train it with weight norm)
    r"first": ("conv_pre", KERNEL, True),
    r"last": ("conv_post", KERNEL, True),
    r"upsamplings_(\d+)": (r"ups.\1", TRANSPOSED, True),
    r"blocks_(\d+)/dilated_(\d+)": (r"resblocks.\1.{dilated}.\2", KERNEL, True),
    r"blocks_(\d+)/plain_(\d+)": (r"resblocks.\1.convs2.\2", KERNEL, True),
    r"sources_in_(\d+)": (r"noise_convs.\1", ONE_CHANNEL, False),
    r"source_in": ("source_conv", ONE_CHANNEL, False),
    r"harmonics": ("m_source.l_linear", MATRIX, False),
}
DILATED = {"1": "convs1", "2": "convs"}
"""What `dilated` stands for in the table, by the kind of residual block."""

PLACES = (("generator",), ("state_dict", "model_gen"))
"""Where a checkpoint keeps its generator: openvpi's, and MoonInTheRiver's."""
PREFIXES = ("generator.", "model_gen.")
"""Of the generator's names in a trainer's flat state_dict, which holds discriminators too."""


class Link(NamedTuple):
    """One layer: its path in our params, its name there, and how its weights lie."""

    ours: str
    theirs: str
    layout: Layout
    weight_norm: bool


def import_vocoder(
    checkpoint: str | os.PathLike,
    config: str | os.PathLike,
    *,
    name: str | None = None,
    licence: str = "",
) -> NeuralVocoder:
    """A checkpoint as a vocoder; weight norm is folded into the weights.

    Args:
      checkpoint: `model.ckpt` (openvpi) or `model_ckpt_steps_*.ckpt` (MoonInTheRiver).
      config: the config.json or config.yaml beside it.
      name: of the vocoder; the checkpoint's folder unless given.
      licence: of the weights, with the credit that must travel with them.

    Raises:
      InputError: if a file is missing, damaged or not trusted, a tensor is missing, misshapen or
        left over, or the two files contradict each other.
    """
    checkpoint, config = Path(checkpoint), Path(config)
    described = read_vocoder_config(config)
    vocoder = NeuralVocoder(
        name=name or checkpoint.resolve().parent.name,
        mel=described.mel,
        model=described.model,
        unvoiced=described.unvoiced,
        params={},
        licence=licence,
    )
    # The generator's sizes are checked with the file that they are from in the message.
    shapes = _shapes(dataclasses.replace(vocoder, name=str(config)))
    tensors = fold_weight_norm(_generator_tensors(checkpoint), checkpoint)
    table = links(shapes, described.model["resblock"])
    _check_tensors(tensors, table, shapes, checkpoint, config)
    flat = {}
    for link in table:
        flat[f"{link.ours}/kernel"] = link.layout.to_ours(tensors[f"{link.theirs}.weight"])
        flat[f"{link.ours}/bias"] = tensors[f"{link.theirs}.bias"]
    params = {path: np.ascontiguousarray(value) for path, value in flat.items()}
    return dataclasses.replace(vocoder, params=flax.traverse_util.unflatten_dict(params, sep="/"))


def export_vocoder(vocoder: NeuralVocoder, path: str | os.PathLike) -> None:
    """Writes the weights in openvpi's layout, weight norm and all; the config is not written."""
    flat = flax.traverse_util.flatten_dict(dict(vocoder.params), sep="/")
    arrays: dict[str, np.ndarray] = {}
    for link in links(_shapes(vocoder), vocoder.model["resblock"]):
        weight = link.layout.to_theirs(np.asarray(flat[f"{link.ours}/kernel"], np.float32))
        weight = np.ascontiguousarray(weight)
        arrays[f"{link.theirs}.bias"] = np.asarray(flat[f"{link.ours}/bias"], np.float32)
        if link.weight_norm:
            arrays[f"{link.theirs}.weight_g"] = _norm(weight)
            arrays[f"{link.theirs}.weight_v"] = weight
        else:
            arrays[f"{link.theirs}.weight"] = weight
    write_content(path, {"generator": as_tensors(arrays)})


def fold_weight_norm(tensors: Mapping[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    """Tensors with `x.weight` = g v / |v| for every `x.weight_g` and `x.weight_v`.

    |v| is taken over all axes but the first. Names of PyTorch's newer parametrization are read
    too.

    Raises:
      InputError: if one of the two is missing, or they do not fit.
    """
    newer = {"parametrizations.weight.original0": "weight_g"}
    newer["parametrizations.weight.original1"] = "weight_v"
    named = {}
    for name, tensor in tensors.items():
        for new, old in newer.items():
            name = name.removesuffix(new) + old if name.endswith("." + new) else name
        named[name] = tensor
    folded = {}
    for name, tensor in named.items():
        layer, _, part = name.rpartition(".")
        if part not in ("weight_g", "weight_v"):
            folded[name] = tensor
            continue
        g, v = (named.get(f"{layer}.{one}") for one in ("weight_g", "weight_v"))
        if g is None or v is None:
            missing = "weight_g" if g is None else "weight_v"
            raise InputError(f"{path} has {name} and no {layer}.{missing}; the file is damaged")
        if v.ndim != 3 or g.shape != (len(v), 1, 1):
            raise InputError(
                f"{path}: {layer}.weight_g is {g.shape} and {layer}.weight_v {v.shape}, which do "
                "not belong together; the file is damaged"
            )
        norm = _norm(v)
        folded[f"{layer}.weight"] = (g * (v / np.where(norm > 0, norm, 1))).astype(np.float32)
    return folded


def _norm(v: np.ndarray) -> np.ndarray:
    """f32[out, 1, 1]; summed in float64."""
    return np.sqrt(np.sum(v.astype(np.float64) ** 2, axis=(1, 2), keepdims=True)).astype(np.float32)


def links(shapes: Mapping[str, tuple[int, ...]], resblock: str) -> list[Link]:
    """One link for each layer of a generator.

    Args:
      shapes: of its params, by their paths.
      resblock: the kind of its residual blocks.
    """
    result = []
    for layer in dict.fromkeys(path.rpartition("/")[0] for path in shapes):
        pattern, (theirs, layout, norm) = next(
            row for row in TABLE.items() if re.fullmatch(row[0], layer)
        )
        theirs = re.sub(pattern, theirs, layer).format(dilated=DILATED[resblock])
        result.append(Link(layer, theirs, layout, norm))
    return result


def _shapes(vocoder: NeuralVocoder) -> dict[str, tuple[int, ...]]:
    flat = flax.traverse_util.flatten_dict(generator_shapes(vocoder.generator), sep="/")
    return {path: one.shape for path, one in flat.items()}


def _generator_tensors(path: Path) -> dict[str, np.ndarray]:
    content = read_content(path)
    for place in PLACES:
        found: Any = content
        for name in place:
            found = found.get(name) if isinstance(found, Mapping) else None
        if isinstance(found, Mapping) and found:
            return as_arrays(found, path)
    flat = content.get("state_dict") if isinstance(content, Mapping) else None
    for prefix in PREFIXES:
        if not isinstance(flat, Mapping):
            break
        inside = {n.removeprefix(prefix): x for n, x in flat.items() if str(n).startswith(prefix)}
        if inside:
            return as_arrays(inside, path)
    raise InputError(
        f"{path} holds no generator, neither as 'generator' nor as 'model_gen' in its state_dict; "
        "give the checkpoint of an NSF-HiFiGAN"
    )


def _check_tensors(
    tensors: Mapping[str, np.ndarray],
    table: Sequence[Link],
    shapes: Mapping[str, tuple[int, ...]],
    path: Path,
    config: Path,
) -> None:
    expected = {}
    for link in table:
        blank = np.broadcast_to(np.float32(0), shapes[f"{link.ours}/kernel"])  # no memory
        expected[f"{link.theirs}.weight"] = link.layout.to_theirs(blank).shape
        expected[f"{link.theirs}.bias"] = shapes[f"{link.ours}/bias"]
    spare = [name for name in tensors if name not in expected]
    for name, shape in expected.items():
        if name not in tensors:
            near = difflib.get_close_matches(name, spare, n=1)
            hint = f", though it has {near[0]} {tensors[near[0]].shape}" if near else ""
            raise InputError(f"{path} has no tensor {name} {shape}, which {config} says{hint}")
        if tensors[name].shape != shape:
            raise InputError(
                f"{path}: {name} is {tensors[name].shape}, {config} says {shape}; the two files do "
                "not belong together"
            )
    if spare:
        more = f" ({len(spare)} tensors are left over)" if len(spare) > 1 else ""
        raise InputError(
            f"{path}: {spare[0]} {tensors[spare[0]].shape} has no place in the vocoder that "
            f"{config} describes{more}"
        )
