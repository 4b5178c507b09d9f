"""What a vocoder expects of a mel and f0, and whether it gets it."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from diffsinger_jax.errors import InputError
from diffsinger_jax.types import MelSpec

CONFIG_FILES = ("vocoder.yaml", "config.json")
"""Of other programs' vocoders: OpenUtau's, and HiFi-GAN's."""
# field of MelSpec -> its names in these files
_KEYS = {
    "sample_rate": ("sample_rate", "sampling_rate"),
    "hop": ("hop_size",),
    "n_fft": ("fft_size", "n_fft"),
    "win": ("win_size",),
    "n_mels": ("num_mel_bins", "num_mels"),
    "fmin": ("mel_fmin", "fmin"),
    "fmax": ("mel_fmax", "fmax"),
}
_DEFAULT_BASE = {".yaml": "10"}
"""What a file means that leaves mel_base out, as the programs that read it have it; else "e"."""


def require_same_mel(voice_spec: MelSpec, vocoder_spec: MelSpec, vocoder_name: str) -> None:
    """Checks that a vocoder reads what a voice writes; the logarithm's base may differ.

    Raises:
      InputError: naming every other field that differs.
    """
    as_voice = dataclasses.replace(vocoder_spec, log_base=voice_spec.log_base)
    if differences := voice_spec.differences(as_voice):
        raise InputError(
            f"the voice's mel is not what {vocoder_name} expects ({'; '.join(differences)}); "
            f"take a vocoder with the voice's numbers, or the built-in one, which reads any mel"
        )


def log_factor(voice_spec: MelSpec, vocoder_spec: MelSpec) -> float:
    """What a voice's log mel is multiplied by for a vocoder whose logarithm has another base."""
    return voice_spec.log_base_ln / vocoder_spec.log_base_ln


def require_renderable(mel: np.ndarray, f0: np.ndarray, spec: MelSpec, vocoder_name: str) -> None:
    """Checks what is about to be made sound of.

    Args:
      mel: [B, T, M] log amplitude.
      f0: [B, T] Hz.
      spec: of the mel that the vocoder expects.
      vocoder_name: for the messages.

    Raises:
      InputError: for other shapes, f0 of another length than the mel, or numbers that are none.
    """
    if mel.ndim != 3 or mel.shape[2] != spec.n_mels:
        raise InputError(
            f"the mel for {vocoder_name} has the shape {mel.shape}, expected (rows, frames, "
            f"{spec.n_mels}); give one log mel for each row"
        )
    if f0.shape != mel.shape[:2]:
        raise InputError(
            f"f0 for {vocoder_name} has the shape {f0.shape} and the mel {mel.shape[:2]}; give one "
            "value in Hz for each frame of the mel"
        )
    for name, values in (("mel", mel), ("f0", f0)):
        if not np.isfinite(values).all():
            row, frame = np.argwhere(~np.isfinite(values))[0][:2]
            raise InputError(
                f"the {name} for {vocoder_name} is {_what(values[row, frame])} in row {row} at "
                f"frame {frame}; it must be numbers, so look at what it was made with"
            )
    if f0.size and f0.min() < 0:
        raise InputError(
            f"f0 for {vocoder_name} goes down to {f0.min():g} Hz; give 0 where it is unvoiced"
        )


def read_vocoder_spec(folder: str | os.PathLike) -> MelSpec:
    """The mel that a vocoder folder expects, from its vocoder.yaml or config.json.

    Raises:
      InputError: if there is neither, or a number is missing in it.
    """
    path = next((p for name in CONFIG_FILES if (p := Path(folder, name)).is_file()), None)
    if path is None:
        raise InputError(f"{folder}: is no vocoder folder, it has no vocoder.yaml or config.json")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    return mel_of_settings(parse_settings(text, path), path)


def parse_settings(text: str, path: str | os.PathLike) -> dict[str, Any]:
    """The settings in a YAML or JSON file, by its suffix.

    Raises:
      InputError: if it holds none.
    """
    try:
        config = yaml.safe_load(text) if Path(path).suffix == ".yaml" else json.loads(text)
    except (ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from error
    if not isinstance(config, dict):
        raise InputError(f"{path}: holds no settings, expected keys such as hop_size")
    return config


def mel_of_settings(config: Mapping[str, Any], path: str | os.PathLike) -> MelSpec:
    """The mel that a vocoder.yaml or config.json describes.

    Raises:
      InputError: naming a number that is missing or none.
    """
    numbers: dict[str, Any] = {}
    for field, names in _KEYS.items():
        name = next((name for name in names if name in config), None)
        if name is None:
            raise InputError(f"{path}: has no {names[0]}; write it there, vocoders differ in it")
        value = config[name]
        if value is None and field == "fmax":  # HiFi-GAN's way to say: up to the top
            value = numbers["sample_rate"] / 2
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{path}: {name} is {value!r}, expected a number")
        numbers[field] = float(value) if field in ("fmin", "fmax") else int(value)
    words: dict[str, Any] = {
        "mel_scale": str(config.get("mel_scale", "slaney")),
        "log_base": str(config.get("mel_base", _DEFAULT_BASE.get(Path(path).suffix, "e"))),
    }
    for field, known in (("mel_scale", ("slaney", "htk")), ("log_base", ("e", "10"))):
        if words[field] not in known:
            name = "mel_base" if field == "log_base" else field
            raise InputError(f"{path}: {name} is {words[field]!r}, expected {' or '.join(known)}")
    return MelSpec(**numbers, **words, framing="reflect")


def _what(value: np.ndarray | np.floating) -> str:
    return "NaN" if np.isnan(value).any() else "infinite"
