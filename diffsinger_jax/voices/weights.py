"""The folder of a voice or a vocoder: its weights as safetensors, and what describes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.traverse_util
import jax
import numpy as np

from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.errors import InputError

PARAMS_FILE = "params.safetensors"
"""Its name in the folder of a voice or a vocoder."""


def write_folder(
    folder: Path, kind: str, weights: Mapping[str, jax.Array], file: str, description: Any
) -> None:
    """Writes the weights and what describes them; the two appear only once both are whole.

    Args:
      folder: made if it is not there; what else is in it is left alone.
      kind: a voice or a vocoder, for the error message.
      weights: by their paths.
      file: name of the description.
      description: what JSON can hold.

    Raises:
      InputError: if the folder cannot be written to, or is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(folder / file) as light, atomic_write(folder / PARAMS_FILE) as heavy:
            _write_safetensors(heavy, {name: np.asarray(x) for name, x in weights.items()})
            light.write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"the {kind} could not be written to {folder} ({error}); make room there, or choose "
            "another folder, and give the same command again"
        ) from error


def read_weights(folder: Path, kind: str) -> dict[str, np.ndarray]:
    """The arrays of a folder by their paths, as "encoder/phoneme/embedding".

    Args:
      folder: of a voice or a vocoder.
      kind: which of the two, for the error message.

    Raises:
      InputError: if the file is missing or damaged.
    """
    from safetensors import SafetensorError  # late: a machine that only trains may lack it
    from safetensors.numpy import load_file

    try:
        return load_file(folder / PARAMS_FILE)
    except FileNotFoundError:
        raise InputError(f"the {kind} {folder} has no {PARAMS_FILE}; copy it whole") from None
    except SafetensorError as error:
        raise InputError(f"{folder / PARAMS_FILE} is damaged ({error}); copy it again") from error


DTYPE_NAMES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16", "int32": "I32"}
"""Those of numpy -> those of the file format."""


def _write_safetensors(file: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Length of the header (u64), the header (JSON: dtype, shape, place), then all bytes.

    https://github.com/huggingface/safetensors#format; written here, so that a machine that trains
    needs no compiled package for it.
    """
    header, end = {}, 0
    for name in sorted(arrays, key=lambda name: (-arrays[name].itemsize, name)):
        array, start = arrays[name], end
        end += array.nbytes
        dtype = DTYPE_NAMES[array.dtype.name]
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": (start, end)}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # what follows is aligned
    with file.open("wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for name in header:
            out.write(np.ascontiguousarray(arrays[name]).tobytes())


def require_weights(
    params: Mapping[str, Any], shapes: Mapping[str, Any], folder: Path, described: str
) -> None:
    """Names the first weight that the described model has and the file has not, or otherwise.

    Args:
      params: by `read_weights`.
      shapes: the params' tree that the description gives, of anything with a shape.
      folder: of both.
      described: where the shapes are from, for the error message.

    Raises:
      InputError: if a weight is missing, misshapen or not expected.
    """
    expected = flax.traverse_util.flatten_dict(dict(shapes), sep="/")
    for name in sorted(expected.keys() | params.keys()):
        there = params[name].shape if name in params else "missing"
        wanted = expected[name].shape if name in expected else "not expected"
        if there != wanted:
            raise InputError(
                f"{folder / PARAMS_FILE}: the weight {name} is {there}, {described} says "
                f"{wanted}; the two files do not belong together"
            )
