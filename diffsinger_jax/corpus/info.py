"""`CorpusInfo` as plain numbers and names, in `corpus.json` and inside a voice."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from etils import epath

from diffsinger_jax import resources
from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.errors import InputError
from diffsinger_jax.types import MEL_SPECS, Breaths, CorpusInfo, MelSpec, Vocabulary

CORPUS_FILE = "corpus.json"
"""Its name inside a prepared corpus."""


def corpus_info_to_dict(info: CorpusInfo) -> dict[str, Any]:
    """What JSON can hold; float32 numbers come back exactly."""
    known: dict[str, Any] = {}
    if info.note_range is not None:
        known["note_range"] = list(info.note_range)
    if info.ranges:
        known["ranges"] = {name: list(ends) for name, ends in info.ranges.items()}
    if info.breaths is not None:
        breaths = dataclasses.asdict(info.breaths)
        known["breaths"] = breaths | {"mel": np.asarray(info.breaths.mel, np.float32).tolist()}
    return known | {
        "name": info.name,
        "mel": dataclasses.asdict(info.mel),
        "vocabulary": dataclasses.asdict(info.vocabulary),
        "mel_min": np.asarray(info.mel_min, np.float32).tolist(),
        "mel_max": np.asarray(info.mel_max, np.float32).tolist(),
        "licence": info.licence,
    }


def corpus_info_from_dict(fields: Mapping[str, Any], where: str) -> CorpusInfo:
    """The inverse of `corpus_info_to_dict`; fields it does not know are left alone.

    Args:
      where: the file they came from, for the error message.

    Raises:
      InputError: for a field that is missing or of another shape.
    """
    try:
        info = CorpusInfo(
            name=fields["name"],
            mel=MelSpec(**fields["mel"]),
            vocabulary=_vocabulary(fields["vocabulary"]),
            mel_min=np.asarray(fields["mel_min"], np.float32),
            mel_max=np.asarray(fields["mel_max"], np.float32),
            licence=fields.get("licence", ""),
            note_range=_note_range(fields.get("note_range")),
            ranges={name: _ends(ends) for name, ends in fields.get("ranges", {}).items()},
            breaths=_breaths(fields.get("breaths")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{where} does not describe a prepared corpus ({type(error).__name__}: {error}); "
            "it should be the one that preparing the corpus wrote, so prepare it again"
        ) from error
    shape = (info.mel.n_mels,)
    if info.mel_min.shape != shape or info.mel_max.shape != shape:
        raise InputError(
            f"{where} gives mel_min and mel_max of shapes {info.mel_min.shape} and "
            f"{info.mel_max.shape}, expected {shape} by its n_mels; prepare the corpus again"
        )
    return info


def _note_range(said: Any) -> tuple[float, float] | None:
    return None if said is None else _ends(said)


def _breaths(said: Any) -> Breaths | None:
    if said is None:
        return None
    return Breaths(**{**said, "mel": np.asarray(said["mel"], np.float32)})


def _ends(said: Any) -> tuple[float, float]:
    low, high = map(float, said)
    return low, high


def _vocabulary(fields: Mapping[str, Any]) -> Vocabulary:
    names = {key: tuple(value) for key, value in fields.items()}
    return Vocabulary(**{**names, "merged": tuple(map(tuple, names.get("merged", ())))})


MEL_FILES = {
    # file -> where the mel stands in it
    "voice.json": ("corpus", "mel"),
    CORPUS_FILE: ("mel",),
    "vocoder.json": ("mel",),
    "recordings.json": ("mel",),
}
"""The folders that a mel representation can be taken from, by a file in them."""


def read_mel(name: str) -> MelSpec:
    """A mel representation by name, or that of a voice, a vocoder or what was prepared.

    Args:
      name: in `MEL_SPECS`, a folder, or a voice that ships.

    Raises:
      InputError: if it is none of them.
    """
    if name in MEL_SPECS:
        return MEL_SPECS[name]
    for file_name, path in MEL_FILES.items():
        file = resources.find_voice(name) / file_name
        if not file.is_file():
            continue
        try:
            fields = json.loads(file.read_text(encoding="utf-8"))
            for key in path:
                fields = fields[key]
            return MelSpec(**fields)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{file} describes no mel ({error}); copy it again") from error
    raise InputError(
        f"there is no mel representation {name!r}, expected one of {', '.join(MEL_SPECS)}, or the "
        "folder of a voice or prepared corpus, whose mel is taken"
    )


def write_corpus_info(folder: str | os.PathLike, info: CorpusInfo) -> None:
    """Writes `corpus.json` into a folder, whole or not at all."""
    with atomic_write(Path(folder) / CORPUS_FILE) as partial:
        partial.write_text(json.dumps(corpus_info_to_dict(info), indent=1) + "\n", encoding="utf-8")


def read_corpus_info(folder: str | os.PathLike) -> CorpusInfo:
    """Reads `corpus.json` from a prepared corpus.

    Raises:
      InputError: for a folder that is missing, empty, or something else.
    """
    advice = "expected a folder written by diffsinger-jax prepare"
    try:
        path = epath.Path(folder)
        is_folder = path.is_dir()
    except ImportError as error:  # what reads buckets is not installed by itself
        raise InputError(f"cannot open {os.fspath(folder)}: {error}") from error
    if not is_folder:
        raise InputError(f"there is no folder {path}; {advice}")
    if not any(path.iterdir()):
        raise InputError(f"the folder {path} is empty; {advice}")
    file = path / CORPUS_FILE
    if not file.is_file():
        raise InputError(f"the folder {path} has no {CORPUS_FILE}; {advice}")
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is not JSON ({error}); prepare the corpus again") from error
    return corpus_info_from_dict(fields, where=str(file))
