"""OpenUtau's vocoders: an ONNX graph and a vocoder.yaml, in a folder or an .oudep package.

The graph takes mel f32[1, T, M] and f0 f32[1, T] in Hz and gives f32[1, T * hop].
"""

from __future__ import annotations

import dataclasses
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from diffsinger_jax.errors import InputError
from diffsinger_jax.pitch import fill_unvoiced
from diffsinger_jax.types import Array, MelSpec
from diffsinger_jax.voices.onnx_graph import OnnxGraph
from diffsinger_jax.voices.vocoder_spec import (
    mel_of_settings,
    parse_settings,
    require_renderable,
)

ONNX_CONFIG = "vocoder.yaml"
PACKAGE_SUFFIXES = (".oudep", ".zip")
LARGEST_BYTES = 2**31
"""Of a graph; those that people share have about 50 MB."""


@dataclasses.dataclass(frozen=True)
class OnnxVocoder:
    """A graph that is ready to run.

    Attributes:
      name: for messages.
      mel: that it reads.
      graph: of it.
      pitch_controllable: whether its f0 may be another than the mel was made for.
    """

    name: str
    mel: MelSpec
    graph: OnnxGraph
    pitch_controllable: bool = False

    @classmethod
    def open(
        cls, path: str | os.PathLike, check: Callable[[MelSpec], None] = lambda mel: None
    ) -> OnnxVocoder:
        """Reads a folder or a package.

        Args:
          path: of it.
          check: told the mel that it expects, before the graph is read.

        Raises:
          InputError: if a file is missing or damaged, the graph is none of a vocoder, or
            onnxruntime is not installed.
        """
        path = Path(path)
        if path.is_dir():
            return cls.of_files(path, lambda name: _read(path / name), check)
        try:
            with zipfile.ZipFile(path) as package:
                return cls.of_files(path, lambda name: _unpack(package, name, path), check)
        except (OSError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: is no readable package ({error}); copy it again") from error

    @classmethod
    def of_files(
        cls,
        path: Path,
        read: Callable[[str], bytes],
        check: Callable[[MelSpec], None] = lambda mel: None,
    ) -> OnnxVocoder:
        """Reads its files, wherever they are.

        Args:
          path: of its folder or package, for messages.
          read: gives a file's bytes, by its name.
          check: told the mel that it expects, before the graph is read.

        Raises:
          InputError: as of `open`.
        """
        where = path / ONNX_CONFIG
        try:
            settings = parse_settings(read(ONNX_CONFIG).decode("utf-8"), where)
        except UnicodeDecodeError as error:
            raise InputError(f"{where}: cannot be read ({error})") from error
        mel = mel_of_settings(settings, where)
        check(mel)
        name = str(settings.get("model", "model.onnx"))
        controllable = settings.get("pitch_controllable") is True
        return cls(str(path), mel, _graph(read(name), path / name), controllable)

    def __call__(self, mel: Array, f0: Array, keys=None, mask=None) -> np.ndarray:
        """Sound of a batch, row by row; f0 is filled where it is unvoiced, as in their training.

        Args:
          mel: f32[B, T, M] log amplitude as `self.mel` says.
          f0: f32[B, T] Hz, 0 unvoiced.
          keys: not used: what is random in a graph is its own affair.
          mask: bool[B, T] True on real frames; None if all are.

        Returns:
          f32[B, T * hop], zeros on padding.

        Raises:
          InputError: if mel and f0 do not fit, or the graph fails on them.
        """
        mel, f0 = np.asarray(mel, np.float32), np.asarray(f0, np.float32)
        mask = np.ones(f0.shape, bool) if mask is None else np.asarray(mask)
        if mask.shape == f0.shape == mel.shape[:2]:
            mel, f0 = np.where(mask[..., None], mel, np.float32(0)), np.where(mask, f0, 0)
        require_renderable(mel, f0, self.mel, self.name)
        wavs = np.zeros((len(f0), f0.shape[1] * self.mel.hop), np.float32)
        for row, frames in enumerate(mask.sum(axis=1)):
            if frames == 0:
                continue
            feed = {"mel": mel[row, None, :frames], "f0": fill_unvoiced(f0[row, :frames])[None]}
            wav = np.asarray(self._run(feed), np.float32).reshape(-1)
            if len(wav) < (length := frames * self.mel.hop):
                raise InputError(
                    f"{self.name}: its graph made {len(wav)} samples of {frames} frames, expected "
                    f"{length} by its hop_size; correct hop_size"
                )
            wavs[row, :length] = wav[:length]
        return wavs

    def stream(self, mel: np.ndarray, f0: np.ndarray, key=None) -> Iterator[np.ndarray]:
        """Sound of a row f32[T, M], f32[T] in one piece: what a graph sees, nobody knows."""
        yield self(mel[None], f0[None])[0]

    def _run(self, feed: dict[str, np.ndarray]) -> np.ndarray:
        return next(iter(self.graph.run(feed).values()))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; copy the vocoder whole") from error


def _unpack(package: zipfile.ZipFile, name: str, path: Path) -> bytes:
    """A file of the package, in its root or in the one folder that holds them all."""
    found = [info for info in package.infolist() if PurePosixPath(info.filename).name == name]
    if len(found) != 1:
        raise InputError(f"{path} holds {len(found)} files {name}, expected one; download it again")
    if found[0].file_size > LARGEST_BYTES:
        raise InputError(f"{path}: its {name} has {found[0].file_size} bytes; that is no vocoder")
    return package.read(found[0])


def _graph(model: bytes, path: Path) -> OnnxGraph:
    graph = OnnxGraph.read(model, str(path))
    if set(graph.inputs) != {"mel", "f0"}:
        raise InputError(
            f"{path} takes {', '.join(sorted(graph.inputs))}, expected mel and f0; it is no vocoder"
        )
    graph.load()
    return graph
