"""What another vocoder expects of a mel, and whether a voice gives it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import yaml

from diffsinger_jax.errors import InputError
from diffsinger_jax.types import MelSpec

# field of MelSpec -> its names in vocoder.yaml (OpenUtau) and config.json (HiFi-GAN)
_KEYS = {
    "sample_rate": ("sample_rate", "sampling_rate"),
    "hop": ("hop_size",),
    "n_fft": ("fft_size", "n_fft"),
    "win": ("win_size",),
    "n_mels": ("num_mel_bins", "num_mels"),
    "fmin": ("mel_fmin", "fmin"),
    "fmax": ("mel_fmax", "fmax"),
}
# What a file leaves out, as the community's vocoders have it.
_DEFAULTS = {"mel_scale": "slaney", "mel_base": "e"}


def require_same_mel(voice_spec: MelSpec, vocoder_spec: MelSpec, vocoder_name: str) -> None:
    """Checks that a vocoder reads what a voice writes.

    Raises:
      InputError: naming every field that differs.
    """
    if differences := voice_spec.differences(vocoder_spec):
        raise InputError(
            f"the voice's mel is not what {vocoder_name} expects ({'; '.join(differences)}); "
            f"take a vocoder with the voice's numbers, or the built-in one, which reads any mel"
        )


def read_vocoder_spec(folder: str | os.PathLike) -> MelSpec:
    """The mel that a vocoder folder expects, from its vocoder.yaml or config.json.

    Raises:
      InputError: if there is neither, or a number is missing in it.
    """
    path = next(
        (p for name in ("vocoder.yaml", "config.json") if (p := Path(folder, name)).is_file()),
        None,
    )
    if path is None:
        raise InputError(f"{folder}: is no vocoder folder, it has no vocoder.yaml or config.json")
    try:
        text = path.read_text(encoding="utf-8")
        config = yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from error
    if not isinstance(config, dict):
        raise InputError(f"{path}: holds no settings, expected keys such as hop_size")

    numbers = {}
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
    return MelSpec(
        **numbers,
        mel_scale=str(config.get("mel_scale", _DEFAULTS["mel_scale"])),
        log_base=str(config.get("mel_base", _DEFAULTS["mel_base"])),
        framing="reflect",
    )


def require_built_in(voice_spec: MelSpec, folder: str | os.PathLike) -> None:
    """Answers a request for a vocoder folder, which cannot be met yet.

    Raises:
      InputError: always: what does not fit, or that only the built-in vocoder can be used.
    """
    require_same_mel(voice_spec, read_vocoder_spec(folder), str(folder))
    raise InputError(f"{folder}: only the built-in vocoder is supported so far; leave it away")
