"""Voicebanks in a folder, by the names that OpenUtau's projects call them by."""

from __future__ import annotations

import os
from pathlib import Path

from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.openutau.character import read_character
from diffsinger_jax.interop.openutau.package import CONFIG_FILE, VoicebankFiles, is_voicebank

_DEEPEST = 3


class Singers:
    """The voicebanks below a folder: folders with a dsconfig.yaml, and packages."""

    def __init__(self, folder: str | os.PathLike):
        """Looks through a folder; voicebanks are opened when they are asked for.

        Raises:
          InputError: if there is no such folder.
        """
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise InputError(f"{folder}: there is no such folder; name the one with the singers")
        self._paths = _voicebanks(self.folder, _DEEPEST)

    def find(self, name: str, where: str) -> Path:
        """The voicebank of a name: that of its folder or file, or in its character files.

        Args:
          name: as a project has it.
          where: for messages.

        Raises:
          InputError: if there is none, or none is named.
        """
        if not name:
            raise InputError(
                f"{where}: names no singer; choose one in OpenUtau, or sing with --voice"
            )
        wanted = name.casefold()
        for path in self._paths:
            if wanted in (path.name.casefold(), path.stem.casefold()):
                return path
        names: dict[str, Path] = {}
        for path in self._paths:
            try:
                names.setdefault(read_character(VoicebankFiles.open(path)).name, path)
            except InputError:  # another one may be meant; that one says so when it is sung with
                continue
        for known, path in names.items():
            if known.casefold() == wanted:
                return path
        known_names = sorted({*(p.stem for p in self._paths), *names} - {""})
        raise InputError(
            f"{where}: there is no singer {name!r} in {self.folder}; it has "
            f"{', '.join(known_names) or 'no voicebank'}"
        )


def _voicebanks(folder: Path, deep: int) -> list[Path]:
    """In order of their names; what is inside of one is not looked at."""
    found = []
    for path in sorted(folder.iterdir()):
        if is_voicebank(path):
            found.append(path)
        elif path.is_dir() and deep and not (path / CONFIG_FILE).is_file():
            found += _voicebanks(path, deep - 1)
    return found
