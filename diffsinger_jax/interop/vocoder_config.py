"""The config beside another program's vocoder -> what a vocoder of ours is made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.flat_config import FlatConfig, read_config
from diffsinger_jax.interop.reference_config import mel_spec
from diffsinger_jax.modules.hifigan import RESBLOCK_DILATIONS
from diffsinger_jax.types import MelSpec
from diffsinger_jax.voices.vocoder_spec import mel_of_settings, parse_settings


class Described(NamedTuple):
    """What a config says: the mel, the generator's other keyword arguments, and `unvoiced`."""

    mel: MelSpec
    model: dict[str, Any]
    unvoiced: str


def read_vocoder_config(path: Path) -> Described:
    """Reads openvpi's config.json, or the flat config.yaml of MoonInTheRiver/DiffSinger.

    Raises:
      InputError: if it cannot be read, lacks something, or describes another kind of vocoder.
    """
    if path.suffix in (".yaml", ".yml"):
        config = read_config(path)
        if not config.flag("use_pitch_embed", False):
            raise InputError(
                f"{path}: use_pitch_embed is not true, so the vocoder is not excited by f0; only "
                "those that are can be used"
            )
        # Its f0 is 0 in unvoiced frames.
        return Described(mel_spec(config), _sizes(config.values, path, sine=False), "zero")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read the config {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not JSON ({error}); give the config.json") from error
    settings = parse_settings(text, path)
    sine = FlatConfig(settings, path).flag("mini_nsf", False)
    # Their training fills f0 in between.
    return Described(mel_of_settings(settings, path), _sizes(settings, path, sine=sine), "filled")


def _sizes(settings: Mapping[str, Any], path: Path, *, sine: bool) -> dict[str, Any]:
    resblock = str(settings.get("resblock"))
    if resblock not in RESBLOCK_DILATIONS:
        raise InputError(
            f"{path}: resblock is {settings.get('resblock')!r}, this program knows "
            f"{', '.join(RESBLOCK_DILATIONS)}"
        )
    dilations = settings.get("resblock_dilation_sizes")
    if not isinstance(dilations, list):
        raise InputError(f"{path}: resblock_dilation_sizes is {dilations!r}, expected lists")
    rows = [
        _counts({"resblock_dilation_sizes": row}, "resblock_dilation_sizes", path)
        for row in dilations
    ]
    return {
        "channels": FlatConfig(settings, path).count("upsample_initial_channel", 0, least=1),
        "upsample_rates": _counts(settings, "upsample_rates", path),
        "upsample_kernels": _counts(settings, "upsample_kernel_sizes", path),
        "resblock": resblock,
        "resblock_kernels": _counts(settings, "resblock_kernel_sizes", path),
        # The networks use no more of a longer list.
        "resblock_dilations": [row[: RESBLOCK_DILATIONS[resblock]] for row in rows],
        "source": "sine" if sine else "harmonics",
        "noise_sigma": FlatConfig(settings, path).number("noise_sigma", 0.0),
    }


def _counts(settings: Mapping[str, Any], key: str, path: Path) -> list[int]:
    """A list of whole numbers above 0."""
    value = settings.get(key)
    whole = isinstance(value, list) and all(
        isinstance(x, int) and not isinstance(x, bool) and x > 0 for x in value
    )
    if not whole or not value:
        raise InputError(f"{path}: {key} is {value!r}, expected a list of whole numbers above 0")
    return value
