"""Where the files that ship are: voices, songs, dictionaries, configs and recipes.

A wheel holds them inside the package, a checkout beside it; the package's own come first, so that
a folder `data` that somebody else installed is never taken for ours.
"""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent

DEFAULT_VOICE, DEFAULT_SONG = "pjs", "sakura"


def folder(name: str) -> Path:
    """A folder that ships: "data", "configs" or "benchmarks"."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def shipped_voices() -> dict[str, Path]:
    """The folders of the voices that ship, by name."""
    files = sorted((folder("data") / "voices").glob("*/voice.json"))
    return {file.parent.name: file.parent for file in files}


def find_voice(voice: str | os.PathLike) -> Path:
    """The folder of a voice that is given as a folder, or as the name of one that ships.

    A folder of that name comes first. What is neither is returned as it is: whoever reads it says
    what is wrong with it.
    """
    return _find(voice, shipped_voices())


def shipped_songs() -> dict[str, Path]:
    """The MusicXML files of the songs that ship, those of data/pjs_mini included, by name."""
    data = folder("data")
    files = [*(data / "songs").glob("*.musicxml"), *(data / "pjs_mini").glob("*/*.musicxml")]
    return {file.stem: file for file in sorted(files)}


def find_score(score: str | os.PathLike) -> Path:
    """The file of a score that is given as a file, or as the name of a song that ships."""
    return _find(score, shipped_songs())


def shipped_configs() -> dict[str, Path]:
    """The config files that ship, by name."""
    files = sorted(folder("configs").glob("*.py"))
    return {file.stem: file for file in files if file.stem != "__init__"}


def find_config(config: str) -> str:
    """A config file and what may follow it after a colon; the file may be named as one that ships.

    `pjs_small` is the shipped configs/pjs_small.py, `ablations:small/naive` that of its file.
    """
    file, colon, argument = config.partition(":")
    return f"{_find(file, shipped_configs())}{colon}{argument}"


def shipped_recipes() -> tuple[str, ...]:
    """The corpora that can be prepared: a folder of data/ with a recipe each."""
    return tuple(sorted(file.parent.name for file in folder("data").glob("*/recipe.py")))


def _find(given: str | os.PathLike, shipped: dict[str, Path]) -> Path:
    path = Path(given)
    return path if path.exists() else shipped.get(str(given), path)
