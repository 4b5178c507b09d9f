"""A voicebank's dsdict files: what kind of sound each phoneme is, and how lyrics are spelled."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.openutau.package import VoicebankFiles
from diffsinger_jax.score.dictionary import Dictionary
from diffsinger_jax.score.lyrics import BREATH_LYRICS
from diffsinger_jax.score.plain_yaml import Plain
from diffsinger_jax.types import BREATH, SILENCE, Vocabulary

DICTIONARY_FILE = "dsdict.yaml"
VOWEL, GLIDES = "vowel", ("semivowel", "liquid")
_SUFFIXES = {"zh-yue": "yue", "de-marzipan": "de", "fr-millefeuille": "fr"}
"""Of dsdict-SUFFIX.yaml, where it is not the language's tag."""


@dataclasses.dataclass(frozen=True)
class SoundTable:
    """One dsdict file.

    Attributes:
      where: its path.
      types: of symbols, as "vowel" and "stop"; silence and breath are always vowels.
      entries: phonemes by grapheme, without those that are not among the symbols.
      replacements: phonemes by what a pronouncing dictionary calls them.
      dropped: (grapheme, phoneme) of those that were left out of entries.
    """

    where: str
    types: Mapping[str, str]
    entries: Mapping[str, tuple[str, ...]]
    replacements: Mapping[str, tuple[str, ...]]
    dropped: tuple[tuple[str, str], ...] = ()

    def is_vowel(self, symbol: str) -> bool:
        """Whether a note can start at it."""
        return self.types.get(symbol) == VOWEL

    def is_glide(self, symbol: str) -> bool:
        """Whether it may start a note before its vowel."""
        return self.types.get(symbol) in GLIDES


def read_sound_table(files: VoicebankFiles, name: str = DICTIONARY_FILE) -> SoundTable:
    """A dsdict file.

    Raises:
      InputError: if it is not there, or is none.
    """
    root, where = files.yaml(name), files.where(name)
    types: dict[str, str] = {}
    for row in _rows(root, "symbols", where):
        types[_word(row, "symbol", where)] = str(row.get("type") or "").lower()
    entries, dropped = {}, []
    types |= {SILENCE: VOWEL, BREATH: VOWEL}
    for row in _rows(root, "entries", where):
        grapheme, said = _word(row, "grapheme", where), row.get("phonemes")
        phonemes = said.split() if isinstance(said, str) else list(map(str, said or []))
        dropped += [(grapheme, p) for p in phonemes if p not in types]
        entries[grapheme] = tuple(p for p in phonemes if p in types)
    replacements = {}
    for row in _rows(root, "replacements", where):
        to = row.get("to")
        replacements[_word(row, "from", where)] = (
            (to,) if isinstance(to, str) else tuple(map(str, to or ()))
        )
    return SoundTable(where, types, entries, replacements, tuple(dropped))


def languages_with_tables(files: VoicebankFiles) -> dict[str, str]:
    """The dsdict-LANGUAGE.yaml files of a folder, by language."""
    found: dict[str, str] = {}
    for name in files.names():
        if name.startswith("dsdict-") and name.endswith(".yaml"):
            suffix = name.removeprefix("dsdict-").removesuffix(".yaml")
            found.setdefault(_SUFFIXES.get(suffix, suffix), name)
    return found


@dataclasses.dataclass(frozen=True)
class SingerDictionary:
    """Lyrics to phonemes as a voicebank spells them; see `score.phonemize.Reading`.

    A lyric is looked up in the voicebank's table, then read as phonemes, and where the project has
    rules for the language, by them.

    Attributes:
      language: whose lyrics it reads.
      table: of the voicebank.
      rules: the project's own; None for a language that it has none for.
      own: the user's entries, before all others.
      phoneme_map: none; a `score.Dictionary` reads lyrics through one.
    """

    language: str
    table: SoundTable
    rules: Dictionary | None
    own: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    phoneme_map: None = None

    def word(self, syllables: Sequence[str], vocabulary: Vocabulary) -> list[tuple[str, ...]]:
        """The phonemes of each written syllable of a word.

        Raises:
          InputError: naming the lyric, or the phoneme that the voicebank lacks.
        """
        whole = self._entry("".join(syllables))
        if whole is not None:
            fitted = self.fit(whole, vocabulary)
            if len(syllables) == 1:
                return [fitted]
            if (shared := _shared(fitted, len(syllables), self.table)) is not None:
                return shared
        try:
            return [self._syllable(s, vocabulary) for s in syllables]
        except InputError:
            if self.rules is None:
                raise
        return [self.fit(p, vocabulary) for p in self.rules.word(syllables, vocabulary)]

    def fit(self, symbols: tuple[str, ...], vocabulary: Vocabulary) -> tuple[str, ...]:
        """Phonemes as the voicebank names them: as they are, with `lang/`, or what replaces them.

        Raises:
          InputError: if there is none of these, naming the nearest it has.
        """
        fitted: list[str] = []
        names = vocabulary.names
        for symbol in symbols:
            full = f"{self.language}/{symbol}"
            if symbol in names or full in names:
                fitted.append(symbol if symbol in names else full)
            elif symbol in self.table.replacements:
                fitted += self.table.replacements[symbol]
            elif self.rules is not None:
                fitted += self.rules.fit((symbol,), vocabulary)
            else:
                vocabulary.phoneme_ids([symbol])  # raises, naming the nearest
        return tuple(fitted)

    def fit_own(self, symbols: tuple[str, ...], vocabulary: Vocabulary) -> tuple[str, ...]:
        """Phonemes that a user wrote, as the voicebank names them."""
        return self.fit(symbols, vocabulary)

    def _entry(self, lyric: str) -> tuple[str, ...] | None:
        for entries in (self.own, self.table.entries):
            if found := entries.get(lyric) or entries.get(lyric.lower()):
                return found
        return None

    def _syllable(self, lyric: str, vocabulary: Vocabulary) -> tuple[str, ...]:
        text = lyric.strip()
        if text.lower() in BREATH_LYRICS:
            return self.fit((BREATH,), vocabulary)
        if text.startswith("[") and text.endswith("]"):
            return self.fit(tuple(text[1:-1].split()), vocabulary)
        if (entry := self._entry(text)) is not None:
            return self.fit(entry, vocabulary)
        names = vocabulary.names
        parts = tuple(text.split())
        if parts and all(p in names or f"{self.language}/{p}" in names for p in parts):
            return self.fit(parts, vocabulary)
        if self.rules is not None:
            return self.fit(self.rules.phonemes(lyric, vocabulary), vocabulary)
        raise InputError(
            f"lyric {lyric!r} is not in {self.table.where}; add it there, or write phonemes, as "
            "[k a]"
        )


def starts_of(symbols: Sequence[str], table: SoundTable) -> list[int]:
    """Where notes may start in a word: its vowels, or the glide between a consonant and a vowel.

    A word without vowels starts with its first phoneme. Source: OpenUtau's phonemizer.
    """
    starts = []
    for i, symbol in enumerate(symbols):
        if not table.is_vowel(symbol):
            continue
        glides = i >= 2 and table.is_glide(symbols[i - 1]) and not table.is_vowel(symbols[i - 2])
        starts.append(i - 1 if glides else i)
    return starts or [0]


def _shared(
    symbols: tuple[str, ...], count: int, table: SoundTable
) -> list[tuple[str, ...]] | None:
    """A word's phonemes for each of its syllables, cut before vowels; None if they are others."""
    starts = starts_of(symbols, table)
    if len(starts) < count:
        return None
    edges = [0, *starts[1:count], len(symbols)]
    return [symbols[a:b] for a, b in zip(edges, edges[1:], strict=False)]


def _rows(root: Mapping[str, Plain], key: str, where: str) -> list[dict[str, Plain]]:
    rows = root.get(key) or []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{where}: {key} is no list of mappings; see OpenUtau's page on dsdict")
    return [row for row in rows if isinstance(row, dict)]


def _word(row: Mapping[str, Plain], key: str, where: str) -> str:
    if not isinstance(value := row.get(key), str):
        raise InputError(f"{where}: an entry has no {key}: {str(row)[:80]}; write it there")
    return value
