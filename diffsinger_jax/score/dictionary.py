"""Lyrics to phonemes: the tables and rules of a language, as a voice's own phonemes."""

from __future__ import annotations

import dataclasses
import difflib
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.hanzi import is_hanzi
from diffsinger_jax.score.letter_to_sound import LetterToSound, shared_out
from diffsinger_jax.score.lyrics import BREATH_LYRICS
from diffsinger_jax.score.phoneme_map import PhonemeMap
from diffsinger_jax.score.phonemize import phonemize
from diffsinger_jax.score.tables import languages_with, name_of, read_table, table_path
from diffsinger_jax.types import BREATH, Vocabulary

__all__ = ["Dictionary", "phonemize"]

LONG_MARKS = frozenset("ー-―~")
"""Inside a lyric: the vowel lasts (the corpora write one phoneme for a long vowel)."""

_HOW_TO_WRITE = {
    "ja": "write kana, romaji or the voice's phonemes, as [k a]",
    "zh": "write characters, pinyin or the voice's phonemes, as [n i]",
}


@dataclasses.dataclass(frozen=True)
class Dictionary:
    """Syllables or words to phonemes.

    Attributes:
      language: a tag, as "ja".
      entries: phonemes by syllable, as (`"k", "a"`) under "か" and "ka"; by word for languages
        that have `rules`.
      replacements: what stands for a phoneme that a voice lacks.
      rules: for words that the entries lack; None for languages of syllables.
      phoneme_map: for a voice of another language; None for one of this language.
    """

    language: str
    entries: Mapping[str, tuple[str, ...]]
    replacements: Mapping[str, tuple[str, ...]]
    rules: LetterToSound | None = None
    phoneme_map: PhonemeMap | None = None

    @classmethod
    def of(cls, language: str) -> Dictionary:
        """The dictionary of a language that the project has.

        Raises:
          InputError: for another language, naming those there are.
        """
        rules = LetterToSound.of(language)
        path = table_path(f"words_{language}" if rules else language)
        if rules is None and not path.is_file():
            known = sorted({*languages_with("{}"), *languages_with("rules_{}")}, key=_ja_first)
            raise InputError(
                f"there is no dictionary for the language {language!r}; there is one for "
                f"{', '.join(known) or 'none'}, and lyrics may be written as phonemes, or give a "
                "dictionary with --dictionary"
            )
        entries = read_table(path) if path.is_file() else {}
        return cls(language, entries, read_table(table_path("replacements")), rules)

    @classmethod
    def read(cls, path: str | Path, language: str) -> Dictionary:
        """Reads a table: a syllable, a tab, phonemes separated by spaces.

        Raises:
          InputError: naming the line that is not of this form, or the missing file.
        """
        return cls(language, read_table(Path(path)), read_table(table_path("replacements")))

    def with_tables(self, paths: Sequence[str | Path]) -> Dictionary:
        """With the entries of tables of the user's, the first one before all others.

        Raises:
          InputError: naming the line that is not of this form, or the missing file.
        """
        entries = dict(self.entries)
        for path in reversed(paths):
            own = read_table(Path(path))
            entries |= {key.casefold() if self.rules else key: own[key] for key in own}
        return dataclasses.replace(self, entries=entries)

    def word(self, syllables: Sequence[str], vocabulary: Vocabulary) -> list[tuple[str, ...]]:
        """The phonemes of each written syllable of a word.

        Raises:
          InputError: as `phonemes`.
        """
        written = [unicodedata.normalize("NFKC", s).strip() for s in syllables]
        if self.rules is None or any(_is_special(s) for s in written):
            return [self.phonemes(s, vocabulary) for s in syllables]
        phones = self._of_word(written)
        if self.phoneme_map is not None:
            phones = [self.phoneme_map.syllable(p) for p in phones]
        return [self.fit(p, vocabulary) for p in phones]

    def phonemes(self, lyric: str, vocabulary: Vocabulary) -> tuple[str, ...]:
        """The phonemes of a lyric, all of them in the vocabulary.

        A lyric is one of: syllables of the table (`か`, `カ`, `ka`, `ない`); the voice's own
        phonemes, in brackets (`[k a]`) or separated by spaces (`k a`); a breath (`br`). A long
        mark in it adds no phoneme.

        Returns:
          At least one phoneme; none only for a lyric of nothing but long marks.

        Raises:
          InputError: naming the lyric, or the phoneme the voice lacks, and the nearest known.
        """
        text = unicodedata.normalize("NFKC", lyric).strip()
        if text.lower() in BREATH_LYRICS:
            return self.fit((BREATH,), vocabulary)
        if text.startswith("[") and text.endswith("]"):
            return self.fit_own(tuple(text[1:-1].split()), vocabulary)
        if self.rules is not None and not all(c in LONG_MARKS for c in text):
            return self.word([lyric], vocabulary)[0]
        tokens = tuple(text.split())
        own = tokens and tokens[0] in vocabulary.phonemes and tokens[0] != "n"
        if len(tokens) > 1 or (own and self.phoneme_map is None):
            try:
                return self.fit(tokens, vocabulary)
            except InputError:
                text = "".join(tokens)  # "な い" is two syllables
        phones = self._syllables(text, lyric)
        if self.phoneme_map is not None:
            phones = self.phoneme_map.syllable(phones)
        return self.fit(phones, vocabulary)

    def _of_word(self, written: Sequence[str]) -> list[tuple[str, ...]]:
        """The phones of a word's syllables, by its entry or by rule; elided words one by one."""
        assert self.rules is not None
        if len(written) == 1 and " " in written[0]:
            parts = [self._of_word([part])[0] for part in written[0].split()]
            return [tuple(phone for part in parts for phone in part)]
        whole = "".join(self.rules.spelled(s) for s in written).strip()
        entry = self.entries.get(whole) or self.entries.get(whole.replace("'", ""))
        if entry:
            if len(written) == 1:
                return [entry]
            if (shared := shared_out(entry, len(written))) is not None:
                return shared
        return self.rules.syllables(written)

    def _syllables(self, text: str, lyric: str) -> tuple[str, ...]:
        text = _hiragana(text.lower())
        if self.language == "zh" and text in self.entries:
            return self.entries[text]
        longest = max(map(len, self.entries), default=1)
        phonemes: list[str] = []
        i = 0
        while i < len(text):
            if text[i] in LONG_MARKS:
                i += 1
                continue
            # A doubled consonant of romaji is a stop: "kitte", "matchi".
            following = text[i + 1 : i + 2]
            if (
                text[i] in "bcdfghjkmprstwz"
                and following
                and following in ("tc" if text[i] == "t" else text[i])
            ):
                phonemes.append("cl")
                i += 1
                continue
            size = min(longest, len(text) - i)
            while size and text[i : i + size] not in self.entries:
                size -= 1
            if not size:
                self._unknown(text[i:], lyric)
            phonemes += self.entries[text[i : i + size]]
            i += size
        return tuple(phonemes)

    def _unknown(self, rest: str, lyric: str) -> None:
        if self.language == "ja" and is_hanzi(rest[0]):
            raise InputError(
                f"lyric {lyric!r} is not in the ja dictionary; write its reading in kana (how "
                "kanji are read a score does not say), or give a dictionary that has it with "
                "--dictionary"
            )
        near = difflib.get_close_matches(rest, self.entries, n=3, cutoff=0.3)
        nearest = f" (the nearest are {', '.join(near)})" if near else ""
        how = _HOW_TO_WRITE.get(self.language, "write the voice's phonemes, as [k a]")
        raise InputError(
            f"lyric {lyric!r} is not in the {self.language} dictionary{nearest}; {how}"
        )

    def fit_own(self, symbols: tuple[str, ...], vocabulary: Vocabulary) -> tuple[str, ...]:
        """Phonemes that a user wrote: the voice's own, or those of the language through its map."""
        if self.phoneme_map is not None and not all(s in vocabulary.phonemes for s in symbols):
            symbols = self.phoneme_map.syllable(symbols)
        return self.fit(symbols, vocabulary)

    def fit(self, symbols: tuple[str, ...], vocabulary: Vocabulary) -> tuple[str, ...]:
        """Phonemes as the voice names them: itself, without its `lang/`, or its replacement.

        Raises:
          InputError: if the voice has neither, naming the nearest it has.
        """
        fitting: list[str] = []
        for symbol in symbols:
            short = symbol.rpartition("/")[2]
            names = (symbol, short, f"{self.language}/{short}", short.upper())
            if found := next((name for name in names if name in vocabulary.names), None):
                fitting.append(found)
            elif short in self.replacements:
                fitting += self.fit(self.replacements[short], vocabulary)
            else:
                vocabulary.phoneme_ids([symbol])  # raises, naming the nearest
        return tuple(fitting)


def describe_accent(dictionary: Dictionary, voice_language: str) -> str:
    """A sentence for a language that the voice does not know."""
    return (
        f"the voice sings {voice_language}; {name_of(dictionary.language)} is sung with its "
        "phonemes, with an accent"
    )


def _is_special(text: str) -> bool:
    """True for a breath, phonemes in brackets, or nothing but long marks."""
    return (
        text.lower() in BREATH_LYRICS
        or (text.startswith("[") and text.endswith("]"))
        or all(c in LONG_MARKS for c in text)
    )


def _ja_first(language: str) -> tuple[bool, str]:
    return language != "ja", language


def _hiragana(text: str) -> str:
    """Katakana to hiragana; the two blocks are 0x60 apart."""
    return "".join(chr(ord(c) - 0x60) if "ァ" <= c <= "ヶ" else c for c in text)
