"""A YAML file of settings without nesting, read with one sentence for whatever is wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from diffsinger_jax.errors import InputError


class FlatConfig:
    """Typed reading; every method raises an `InputError` for what is missing or wrong."""

    def __init__(self, values: Mapping[str, Any], path: Path):
        """Takes the file's settings and its name."""
        self.values, self.path = values, path

    def __contains__(self, key: str) -> bool:
        """Whether the setting is there and not null."""
        return self.values.get(key) is not None

    def number(self, key: str, default: float | None = None, *, least: float = 0.0) -> float:
        """A finite number from `least`."""
        value = self._get(key, default)
        try:
            # YAML reads 1e-6, without a point, as text.
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if isinstance(value, bool) or not least <= number < math.inf:
            raise InputError(f"{self.path}: {key} is {value!r}, expected a number from {least:g}")
        return number

    def count(self, key: str, default: int | None = None, *, least: int = 1) -> int:
        """A whole number from `least`."""
        number = self.number(key, default, least=least)
        if number != int(number):
            raise InputError(f"{self.path}: {key} is {number}, expected a whole number")
        return int(number)

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise InputError(f"{self.path}: {key} is {value!r}, expected true or false")
        return value

    def word(self, key: str, default: str, known: tuple[Any, ...]) -> str:
        """One of the words that are known."""
        value = self._get(key, default)
        if value not in known:
            raise InputError(
                f"{self.path}: {key} is {value!r}, this program knows {', '.join(map(str, known))}"
            )
        return value

    def section(self, key: str) -> FlatConfig:
        """The settings under a key; none where it is missing."""
        values = self.values.get(key) or {}
        if not isinstance(values, Mapping):
            raise InputError(f"{self.path}: {key} is {values!r}, expected settings of its own")
        return FlatConfig(values, self.path)

    def row(self, key: str, bins: int) -> np.ndarray | None:
        """f32[bins] of a list, or None where the config has none."""
        if key not in self:
            return None
        try:
            row = np.asarray(self.values[key], np.float32)[:bins]
        except (TypeError, ValueError, IndexError):
            row = np.zeros(0, np.float32)
        if row.shape != (bins,):
            raise InputError(f"{self.path}: {key} is not a list of {bins} numbers")
        return row

    def _get(self, key: str, default: Any) -> Any:
        value = self.values.get(key)
        if value is not None or default is not None:
            return default if value is None else value
        chain = self.values.get("base_config")
        raise InputError(
            f"{self.path} lacks {key}"
            + (f" and builds on {chain}" if chain else "")
            + "; give the flat config.yaml that training wrote beside the checkpoint"
        )


def read_config(path: Path) -> FlatConfig:
    """Reads a flat YAML file.

    Raises:
      InputError: if it cannot be read or is not one.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the config {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        what = " ".join(str(error).split())
        raise InputError(f"{path} is not YAML ({what}); give the model's config.yaml") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no settings; give the model's config.yaml")
    return FlatConfig(values, path)
