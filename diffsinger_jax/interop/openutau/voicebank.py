"""A DiffSinger voicebank of OpenUtau, ready to sing."""

from __future__ import annotations

import dataclasses
import functools
import os
from pathlib import Path

import numpy as np

from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.openutau.character import Character, read_character
from diffsinger_jax.interop.openutau.dictionary import (
    DICTIONARY_FILE,
    SoundTable,
    languages_with_tables,
    read_sound_table,
)
from diffsinger_jax.interop.openutau.model_folder import ModelFolder
from diffsinger_jax.interop.openutau.package import CONFIG_FILE, VoicebankFiles
from diffsinger_jax.types import SILENCE, CorpusInfo, Vocabulary
from diffsinger_jax.voices.onnx_vocoder import ONNX_CONFIG, OnnxVocoder
from diffsinger_jax.voices.vocoder_spec import require_same_mel

_LANGUAGE_OF_PHONEMIZER = {
    "Japanese": "ja", "Chinese": "zh", "Mandarin": "zh", "Rhythmizer": "zh", "English": "en",
    "ARPAPlus": "en", "Jyutping": "yue", "Korean": "ko", "German": "de", "French": "fr",
    "Italian": "it", "Spanish": "es", "Portuguese": "pt", "Brapa": "pt", "Russian": "ru",
    "Filipino": "fil", "Thai": "th", "Ukrainian": "uk", "Dutch": "nl",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Voicebank:
    """Its parts; graphs are read once they are needed.

    Attributes:
      files: all of them.
      character: what it says of itself.
      acoustic: its own folder.
      dur, pitch, variance: None where it has no such folder.
    """

    files: VoicebankFiles
    character: Character
    acoustic: ModelFolder
    dur: ModelFolder | None
    pitch: ModelFolder | None
    variance: ModelFolder | None

    @property
    def name(self) -> str:
        """For metadata and people."""
        return self.character.name or self.files.path.stem

    @functools.cached_property
    def info(self) -> CorpusInfo:
        """Its mel, vocabulary and author; it says nothing of what it was trained on."""
        author = self.character.author
        return CorpusInfo(
            name=self.name,
            mel=self.acoustic.settings.mel,
            vocabulary=Vocabulary(
                phonemes=tuple(self.acoustic.phonemes),
                speakers=self._speaker_names(),
                languages=self._languages(),
            ),
            mel_min=np.zeros(0, np.float32),
            mel_max=np.zeros(0, np.float32),
            licence=f"terms of {author}" if author else "terms of its author",
        )

    def speaker_entry(self, number: int) -> str:
        """The entry of `speakers` in the acoustic dsconfig, "" where there are none."""
        speakers = self.acoustic.settings.speakers
        return speakers[number] if speakers else ""

    def table(self, language: str) -> SoundTable:
        """How it spells a language: dsdict-LANGUAGE.yaml of dsdur, else dsdict.yaml of any folder.

        Raises:
          InputError: if a file is none.
        """
        if language not in self._tables:
            self._tables[language] = self._read_table(language)
        return self._tables[language]

    @functools.cached_property
    def _tables(self) -> dict[str, SoundTable]:
        return {}

    def _read_table(self, language: str) -> SoundTable:
        for part in (self.dur, self.acoustic, self.pitch, self.variance):
            if part is None:
                continue
            names = languages_with_tables(part.files)
            name = names.get(language, DICTIONARY_FILE)
            if part.files.has(name):
                return read_sound_table(part.files, name)
        return SoundTable(self.files.where(DICTIONARY_FILE), {}, {}, {})

    def vocoder(self) -> OnnxVocoder:
        """The one that lies in it.

        Raises:
          InputError: if there is none, or it reads another mel than the acoustic model writes.
        """
        settings, files = self.acoustic.settings, self.files.inside("dsvocoder")
        if not files.has(ONNX_CONFIG):
            named = f"the vocoder {settings.vocoder}" if settings.vocoder else "a vocoder"
            raise InputError(
                f"{self.files.path}: needs {named}, which is not in it; give its .oudep or folder "
                "with --vocoder, or --vocoder harmonic for the built-in one"
            )
        where = files.where("")
        return OnnxVocoder.of_files(
            Path(where), files.read, lambda mel: require_same_mel(settings.mel, mel, where)
        )

    def _speaker_names(self) -> tuple[str, ...]:
        """The last part of each entry, where that tells them apart."""
        entries = self.acoustic.settings.speakers
        short = tuple(e.rpartition("/")[2].rpartition(".")[2] for e in entries)
        return (short if len(set(short)) == len(short) else entries) or ("default",)

    def _languages(self) -> tuple[str, ...]:
        """From its language ids, else its dsdict files, its phonemes, or its phonemizer."""
        if ids := self.acoustic.languages:
            return tuple(sorted(ids, key=lambda name: ids[name]))
        parts = [part for part in (self.dur, self.acoustic) if part is not None]
        if named := sorted({tag for part in parts for tag in languages_with_tables(part.files)}):
            return tuple(named)
        prefixes = {s.partition("/")[0] for s in self.acoustic.phonemes if "/" in s}
        if prefixes:
            return tuple(sorted(prefixes))
        if language := language_of_phonemizer(self.character.phonemizer):
            return (language,)
        return ("zh",) if "zh" in self.acoustic.phonemes else ("ja",)


def language_of_phonemizer(name: str) -> str:
    """The language whose lyrics one of OpenUtau's phonemizers reads, "" for one of no language."""
    return next((tag for word, tag in _LANGUAGE_OF_PHONEMIZER.items() if word in name), "")


def open_voicebank(path: str | os.PathLike) -> Voicebank:
    """Reads a voicebank, and checks every graph's inputs before anything is run.

    Args:
      path: a folder, or a .zip or .oudep.

    Raises:
      InputError: naming the first thing that OpenUtau would refuse, or that cannot be sung with.
    """
    voicebank = parts_of(VoicebankFiles.open(path))
    for part, roles in model_roles(voicebank):
        for role in roles:
            part.graph(role)
        part.tokens([SILENCE])
        _ = part.embeddings, part.languages
    _ = voicebank.info
    for part, roles in model_roles(voicebank):
        for role in roles:
            if not (graph := part.graph(role)).draws:  # the others are made anew for every seed
                graph.load()
    return voicebank


def parts_of(files: VoicebankFiles) -> Voicebank:
    """Its folders; those of models that it does not have are None.

    As in OpenUtau, the duration model may lie beside the acoustic one.

    Raises:
      InputError: if its dsconfig.yaml or character files are none.
    """

    def part(folder: str) -> ModelFolder | None:
        inside = files.inside(folder)
        return ModelFolder(inside) if inside.has(CONFIG_FILE) else None

    acoustic = ModelFolder(files)
    return Voicebank(
        files,
        read_character(files),
        acoustic,
        part("dsdur") or (acoustic if acoustic.settings.dur is not None else None),
        part("dspitch"),
        part("dsvariance"),
    )


def model_roles(voicebank: Voicebank) -> list[tuple[ModelFolder, tuple[str, ...]]]:
    """Each folder of models that there is, with the keys of its graphs in the order of use."""
    parts = [
        (voicebank.acoustic, ("acoustic",)),
        (voicebank.dur, ("linguistic", "dur")),
        (voicebank.pitch, ("linguistic", "pitch")),
        (voicebank.variance, ("linguistic", "variance")),
    ]
    return [(part, roles) for part, roles in parts if part is not None]
