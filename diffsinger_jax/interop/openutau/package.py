"""The files of a voicebank, in a folder or a package: read where they are, and never outside."""

from __future__ import annotations

import dataclasses
import os
import posixpath
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.plain_yaml import Plain, parse_yaml

CONFIG_FILE = "dsconfig.yaml"
PACKAGE_SUFFIXES = (".zip", ".oudep")
LARGEST_GRAPH, LARGEST_TEXT = 2**31, 32 * 2**20
"""Bytes; models that people share have up to 300 MB, dictionaries up to 10 MB."""
LARGEST_PACKAGE, MOST_FILES = 2**34, 20_000
LARGEST_RATIO = 300
"""Of unpacked to packed bytes: text shrinks to a tenth, weights hardly, bombs to a thousandth."""
_PARTS = ("dsdur", "dspitch", "dsvariance", "dsvocoder")


@dataclasses.dataclass(frozen=True)
class VoicebankFiles:
    """Files by their paths from the voicebank's root, with `/` between folders.

    Attributes:
      path: of the folder or package, for messages.
      root: the folder in the package that holds the voicebank, "" for its top.
      package: None for a folder.
    """

    path: Path
    root: str = ""
    package: Mapping[str, zipfile.ZipInfo] | None = None

    @classmethod
    def open(cls, path: str | os.PathLike) -> VoicebankFiles:
        """A folder, or a package whose every entry was looked at.

        Raises:
          InputError: if it is none, or has entries that no voicebank needs: paths that lead out of
            it, links, or far more bytes than it has itself.
        """
        path = Path(path)
        if path.is_dir():
            return cls(path)
        if not path.exists():
            raise InputError(f"{path}: there is no such file; name a voicebank that is there")
        try:
            with zipfile.ZipFile(path) as package:
                infos = package.infolist()
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise InputError(f"{path}: is no readable package ({error}); copy it again") from error
        _require_harmless(infos, path)
        entries = {info.filename: info for info in infos if not info.is_dir()}
        return cls(path, _root_of(entries, path), entries)

    def inside(self, folder: str) -> VoicebankFiles:
        """The files of one of its folders."""
        return dataclasses.replace(self, root=posixpath.join(self.root, folder))

    def where(self, name: str) -> str:
        """A file's path, for messages."""
        return str(self.path / self.root / name)

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        if self.package is not None:
            return self._entry(name) in self.package
        return self._file(name).is_file()

    def names(self) -> list[str]:
        """The files in this folder itself, sorted."""
        if self.package is None:
            folder = self.path / self.root
            return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
        start = f"{self.root}/" if self.root else ""
        inside = (n.removeprefix(start) for n in self.package if n.startswith(start))
        return sorted(name for name in inside if "/" not in name)

    def read(self, name: str, most: int = LARGEST_GRAPH) -> bytes:
        """A file's bytes.

        Raises:
          InputError: if it is not there, lies outside of the voicebank, or is too large.
        """
        if self.package is not None:
            return self._unpack(name, most)
        file = self._file(name)
        try:
            real = file.resolve(strict=True)
            if not real.is_relative_to(self.path.resolve()):
                raise InputError(f"{file}: leads out of the voicebank; put the file itself there")
            if (size := real.stat().st_size) > most:
                raise InputError(f"{file}: has {size} bytes, expected at most {most}; is it whole?")
            return real.read_bytes()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise InputError(f"{file}: cannot be read ({why}); copy the voicebank whole") from error

    def text(self, name: str, encoding: str = "utf-8-sig") -> str:
        """A file's text.

        Raises:
          InputError: as of `read`, or if it is not in this encoding.
        """
        try:
            return self.read(name, LARGEST_TEXT).decode(encoding)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{self.where(name)}: is not {encoding} ({error.reason}); save it as UTF-8"
            ) from error

    def yaml(self, name: str) -> dict[str, Plain]:
        """A file's mapping, in which every scalar is a string and nothing was built.

        Raises:
          InputError: as of `text`, or if it holds something else.
        """
        root = parse_yaml(self.text(name), self.where(name))
        if not isinstance(root, dict):
            raise InputError(f"{self.where(name)}: holds no settings, expected lines as key: value")
        return root

    def _file(self, name: str) -> Path:
        return self.path / self.root / name.replace("\\", "/")

    def _entry(self, name: str) -> str:
        return posixpath.normpath(posixpath.join(self.root, name.replace("\\", "/")))

    def _unpack(self, name: str, most: int) -> bytes:
        assert self.package is not None
        info = self.package.get(self._entry(name))
        if info is None:
            raise InputError(f"{self.where(name)}: is not in the package; pack the voicebank whole")
        if info.file_size > most:
            raise InputError(
                f"{self.where(name)}: has {info.file_size} bytes, expected at most {most}; is it "
                "whole?"
            )
        try:
            with zipfile.ZipFile(self.path) as package:
                return package.read(info)  # reads no more than file_size
        except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
            raise InputError(
                f"{self.where(name)}: cannot be unpacked ({error}); copy the package again"
            ) from error


def is_voicebank(path: str | os.PathLike) -> bool:
    """Whether a path is a folder with a dsconfig.yaml, or named as a package."""
    path = Path(path)
    if path.is_dir():
        return (path / CONFIG_FILE).is_file()
    return path.suffix.lower() in PACKAGE_SUFFIXES


def _require_harmless(infos: list[zipfile.ZipInfo], path: Path) -> None:
    if len(infos) > MOST_FILES:
        raise InputError(f"{path}: holds {len(infos)} files, no voicebank has as many; is it one?")
    for info in infos:
        name = info.filename
        parts = name.replace("\\", "/").split("/")
        if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
            raise InputError(f"{path}: its entry {name!r} leads out of it; do not use this package")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise InputError(f"{path}: its entry {name!r} is a link; pack the file itself")
        if info.file_size > LARGEST_RATIO * max(info.compress_size, 2**12):
            raise InputError(
                f"{path}: its entry {name!r} would unpack {info.compress_size} bytes to "
                f"{info.file_size}; do not use this package"
            )
    if (total := sum(info.file_size for info in infos)) > LARGEST_PACKAGE:
        raise InputError(f"{path}: would unpack to {total} bytes; no voicebank has as many")


def _root_of(entries: Mapping[str, zipfile.ZipInfo], path: Path) -> str:
    """The folder of the one dsconfig.yaml that is not of a part of a voicebank."""
    folders = [posixpath.dirname(n) for n in entries if posixpath.basename(n) == CONFIG_FILE]
    roots = [folder for folder in folders if posixpath.basename(folder) not in _PARTS]
    if not roots:
        raise InputError(f"{path}: has no {CONFIG_FILE}; it is no DiffSinger voicebank")
    roots.sort(key=lambda folder: folder.count("/") + bool(folder))
    depth = [folder.count("/") + bool(folder) for folder in roots]
    if depth.count(depth[0]) > 1:
        raise InputError(f"{path}: holds {depth.count(depth[0])} voicebanks; unpack it, name one")
    return roots[0]
