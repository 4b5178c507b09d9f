"""One folder of models: the acoustic one of a voicebank, or dsdur, dspitch, dsvariance."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Sequence

import numpy as np

from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.openutau.contract import outputs_of, require_contract
from diffsinger_jax.interop.openutau.dictionary import SoundTable, read_sound_table
from diffsinger_jax.interop.openutau.package import VoicebankFiles
from diffsinger_jax.interop.openutau.settings import Settings, read_settings
from diffsinger_jax.types import SILENCE
from diffsinger_jax.voices.onnx_graph import OnnxGraph


@dataclasses.dataclass(frozen=True)
class ModelFolder:
    """A dsconfig.yaml and what it names; each is read once it is asked for.

    Attributes:
      files: of the folder.
    """

    files: VoicebankFiles

    @functools.cached_property
    def settings(self) -> Settings:
        """Its dsconfig.yaml."""
        return read_settings(self.files)

    @functools.cached_property
    def phonemes(self) -> dict[str, int]:
        """Ids by name, of a .json, or of a .txt whose first line is 0.

        Raises:
          InputError: if the file is none, or has no silence.
        """
        name = self.settings.phonemes
        if name.lower().endswith(".json"):
            ids = _ids(self.files, name)
        else:
            ids = {line: i for i, line in enumerate(self.files.text(name).splitlines())}
        if SILENCE not in ids:
            raise InputError(
                f"{self.files.where(name)}: has no phoneme {SILENCE}, which every phrase begins "
                "with; add it, with its id in the model"
            )
        return ids

    @functools.cached_property
    def languages(self) -> dict[str, int]:
        """Ids by tag; empty where the models are not told the language."""
        settings = self.settings
        return _ids(self.files, settings.languages or "") if settings.use_lang_id else {}

    @functools.cached_property
    def embeddings(self) -> np.ndarray:
        """f32[speakers, hidden_size].

        Raises:
          InputError: if a file is missing or has another size.
        """
        rows, width = [], self.settings.hidden_size
        for speaker in self.settings.speakers:
            name = f"{speaker}.emb"
            data = self.files.read(name, 4 * 2**20)
            if len(data) != 4 * width:
                raise InputError(
                    f"{self.files.where(name)}: has {len(data)} bytes, expected {4 * width} by "
                    f"hidden_size {width}; correct hidden_size, or export the file again"
                )
            row = np.frombuffer(data, "<f4")
            if not np.isfinite(row).all():
                raise InputError(f"{self.files.where(name)}: holds no numbers; export it again")
            rows.append(row)
        return np.asarray(rows, np.float32).reshape(-1, width)

    @functools.cached_property
    def table(self) -> SoundTable:
        """Its dsdict.yaml."""
        return read_sound_table(self.files)

    def graph(self, role: str) -> OnnxGraph:
        """The graph of a key of dsconfig.yaml, with the inputs that OpenUtau gives.

        Raises:
          InputError: if the key or the file is missing, or the graph takes something else.
        """
        if role not in self._graphs:
            if (name := getattr(self.settings, role)) is None:
                raise InputError(f"{self.settings.where}: has no {role}; name the file there")
            graph = OnnxGraph.read(self.files.read(name), self.files.where(name))
            require_contract(graph, self.settings, role)
            self._graphs[role] = graph
        return self._graphs[role]

    @functools.cached_property
    def _graphs(self) -> dict[str, OnnxGraph]:
        return {}

    def run(self, role: str, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """A graph's outputs by name; of those that are not asked for by name the first one.

        Raises:
          InputError: as of `graph`, or if it fails, or its numbers are none.
        """
        graph = self.graph(role)
        found = graph.run(feed)
        wanted = outputs_of(self.settings, role) or (next(iter(found)),)
        for name in wanted:
            if not np.isfinite(found[name]).all():
                raise InputError(
                    f"{graph.where}: its output {name} holds NaN or infinity; export it again"
                )
        return {name: found[name] for name in wanted}

    def tokens(self, symbols: Sequence[str], where: str = "") -> np.ndarray:
        """i64[1, N] ids.

        Raises:
          InputError: for a phoneme that its list lacks.
        """
        ids = self.phonemes
        for symbol in symbols:
            if symbol not in ids:
                place = f"{where}: " if where else ""
                raise InputError(
                    f"{place}{self.files.where(self.settings.phonemes)}: has no phoneme "
                    f"{symbol!r}; write the lyric with others"
                )
        return np.array([[ids[symbol] for symbol in symbols]], np.int64)

    def language_ids(self, symbols: Sequence[str]) -> dict[str, np.ndarray]:
        """The input `languages` i64[1, N] by what stands before a slash, if there is one."""
        if not self.settings.use_lang_id:
            return {}
        ids = [self.languages.get(s.partition("/")[0], 0) if "/" in s else 0 for s in symbols]
        return {"languages": np.array([ids], np.int64)}


def _ids(files: VoicebankFiles, name: str) -> dict[str, int]:
    try:
        ids = json.loads(files.text(name))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{files.where(name)}: is not JSON ({error}); export it again") from error
    if not isinstance(ids, dict) or not all(
        isinstance(i, int) and not isinstance(i, bool) and 0 <= i < 2**31 for i in ids.values()
    ):
        raise InputError(f"{files.where(name)}: is no table of names and ids; export it again")
    return ids
