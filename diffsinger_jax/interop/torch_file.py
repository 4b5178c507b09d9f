"""Files of PyTorch, read without running what is inside them. The only place that needs torch."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.errors import InputError


def _torch():
    try:
        import torch
    except ImportError as error:
        raise InputError(
            "PyTorch is needed for its own files; install it with pip install torch"
        ) from error
    return torch


def read_content(path: str | os.PathLike) -> Any:
    """What a checkpoint holds, with PyTorch's tensors in it.

    Only tensors and plain containers are rebuilt (`weights_only`): a pickle that would call
    anything else is refused before it does.

    Raises:
      InputError: if the file is missing, damaged, or asks for code to run.
    """
    torch = _torch()
    path = Path(path)
    try:
        with warnings.catch_warnings():
            # Of pickles that it may not read: then it fails, and that is said below.
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} holds more than tensors, or is no checkpoint; nothing of it was run, and it "
            "is not read any further"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(
            f"{path} is damaged or no checkpoint of PyTorch ({type(error).__name__}); copy it again"
        ) from error


def read_state_dict(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint's `state_dict`, f32 as numpy arrays.

    Raises:
      InputError: as `read_content`; also if the file has no state_dict.
    """
    content = read_content(path)
    tensors = content.get("state_dict") if isinstance(content, Mapping) else None
    if not isinstance(tensors, Mapping) or not tensors:
        raise InputError(f"{path} has no state_dict; give a model_ckpt_steps_*.ckpt")
    return as_arrays(tensors, path)


def as_arrays(tensors: Mapping[Any, Any], path: str | os.PathLike) -> dict[str, np.ndarray]:
    """PyTorch's tensors as numpy arrays, f32 if they are of any float type.

    Raises:
      InputError: if one is no tensor, or holds numbers that are not finite.
    """
    torch = _torch()
    return {name: _array(torch, Path(path), name, tensor) for name, tensor in tensors.items()}


def write_state_dict(path: str | os.PathLike, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes a checkpoint in the layout of the reference's trainer, whole or not at all."""
    content = {
        "epoch": 0,
        "global_step": 0,
        "state_dict": as_tensors(tensors),
        "optimizer_states": [],
        "lr_schedulers": [],
    }
    write_content(path, content)


def as_tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Numpy arrays as PyTorch's tensors."""
    torch = _torch()
    return {name: torch.tensor(np.asarray(x)) for name, x in arrays.items()}


def write_content(path: str | os.PathLike, content: Mapping[str, Any]) -> None:
    """Writes a checkpoint, whole or not at all."""
    torch = _torch()
    try:
        with atomic_write(path) as partial:
            torch.save(content, partial)
    except (OSError, RuntimeError) as error:
        raise InputError(f"cannot write {path} ({error})") from error


def _array(torch: Any, path: Path, name: Any, tensor: Any) -> np.ndarray:
    if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
        raise InputError(f"{path}: {name!r} is no tensor; give another file")
    if not tensor.is_floating_point():
        return tensor.numpy()
    array = tensor.detach().to(torch.float32).numpy()
    if not np.isfinite(array).all():
        raise InputError(f"{path}: the tensor {name} holds numbers that are not finite")
    return array
