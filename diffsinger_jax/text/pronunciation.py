"""Words to ARPAbet: by dictionaries, by their stems, and what is left by rule."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.letter_to_sound import LetterToSound
from diffsinger_jax.score.tables import TABLES, read_lines
from diffsinger_jax.text.cleaning import plain_letters
from diffsinger_jax.text.phones import from_ipa, is_phone, with_stress

Phones = tuple[str, ...]

_VOICELESS = ("P", "T", "K", "F", "TH", "S", "SH", "CH")
_SIBILANTS = ("S", "Z", "SH", "ZH", "CH", "JH")
_NUMBER = re.compile(r"\d*\.\d+|\d+")


def read_pronunciations(path: str | Path) -> dict[str, Phones]:
    """A dictionary in the format of CMUdict or of the Montreal Forced Aligner.

    A word, spaces or a tab, phones; of several pronunciations of a word ("read(2)", or the word
    again) the first; numbers between word and phones (probabilities), lines that begin with ";;;"
    and what stands behind "#" are not read. A name with a dot ("a.") is that of a letter.

    Returns:
      Phones by word in small letters.

    Raises:
      InputError: naming the line without phones, or the missing file.
    """
    table: dict[str, Phones] = {}
    for number, line in read_lines(Path(path)):
        word, *symbols = line.partition("#")[0].split()
        phones = tuple(symbol for symbol in symbols if not _NUMBER.fullmatch(symbol))
        if not phones:
            raise InputError(
                f"{path}: line {number}: expected a word and its phones, as hello HH AH0 L OW1, "
                f"got {line[:40]!r}; correct the line"
            )
        table.setdefault(re.sub(r"\(\d+\)$", "", word).lower(), phones)
    return table


class Pronouncer:
    """English words to ARPAbet.

    A word is looked up in the user's dictionaries, in the project's few words, and in the
    dictionary of the package misaki, where it is installed (Apache-2.0; only its tables are read);
    then as a word with an ending; then it is read by the project's letter-to-sound rules.

    Example:
      Pronouncer()("hello")  # ("HH", "AH0", "L", "OW1")
    """

    def __init__(self, dictionaries: Sequence[str | Path] = ()):
        """Reads the dictionaries.

        Args:
          dictionaries: files of the user's, the first before the others.

        Raises:
          InputError: as `read_pronunciations`.
        """
        own: dict[str, Phones] = {}
        for path in reversed(dictionaries):
            own |= read_pronunciations(path)
        self._sources: tuple[Callable[[str], Phones | None], ...] = (
            own.get,
            _shipped().get,
            _installed_pronunciation,
        )

    def __call__(self, word: str) -> Phones:
        """The phones of a word of a normalised text; a capital is a letter by its name.

        Returns:
          At least one phone.
        """
        if word[0].isupper():
            name = self._known(f"{word[0].lower()}.") or ()
            return with_ending(name, "s") if word.endswith("'s") else name
        return self.known(word) or by_rule(word)

    def known(self, word: str) -> Phones | None:
        """The phones of a word by dictionary, with or without an ending; None for others."""
        for spelled in dict.fromkeys((word, plain_letters(word))):
            found = self._known(spelled) or self._inflected(spelled)
            if found:
                return found
        return None

    def _known(self, word: str) -> Phones | None:
        return next((found for source in self._sources if (found := source(word))), None)

    def _inflected(self, word: str) -> Phones | None:
        """A word whose stem is known: "cats", "dog's", "walked", "making"."""
        for ending, stems in (
            ("'s", [word[:-2]]),
            ("s", [word[:-1], word[:-2] if word.endswith("es") else "", _singular(word)]),
            ("ed", [word[:-2], word[:-1], word[:-3] if word[-4:-3] == word[-3:-2] else ""]),
            ("ing", [word[:-3], f"{word[:-3]}e", word[:-4] if word[-5:-4] == word[-4:-3] else ""]),
        ):
            if not word.endswith(ending) or word.endswith("ss"):
                continue
            for stem in stems:
                if len(stem) > 1 and (phones := self._known(stem)):
                    return with_ending(phones, ending.lstrip("'"))
        return None


def _singular(word: str) -> str:
    return f"{word[:-3]}y" if word.endswith("ies") else ""


def with_ending(phones: Phones, ending: str) -> Phones:
    """A word with the ending "s", "ed" or "ing", which sounds as the end of the word lets it."""
    last = phones[-1] if phones else ""
    if ending == "ing":
        return (*phones, "IH0", "NG")
    if ending == "ed":
        if last in ("T", "D"):
            return (*phones, "IH0", "D")
        return (*phones, "T" if last in _VOICELESS else "D")
    if last in _SIBILANTS:
        return (*phones, "IH0", "Z")
    return (*phones, "S" if last in _VOICELESS else "Z")


def by_rule(word: str) -> Phones:
    """The phones of a word that no dictionary has, by the project's letter-to-sound rules."""
    rules = LetterToSound.of("en")
    assert rules is not None  # its table ships
    spelled = "".join(c for c in plain_letters(word) if "a" <= c <= "z")
    phones = [phone for syllable in rules.syllables([spelled]) for phone in syllable]
    stressed = with_stress(phones)
    return stressed if all(map(is_phone, stressed)) and stressed else ("AH0",)


@functools.cache
def _shipped() -> Mapping[str, Phones]:
    return read_pronunciations(TABLES / "spoken_en.dict")


def _installed_pronunciation(word: str) -> Phones | None:
    table = _installed()
    ipa = table.get(word) or table.get(word.capitalize())
    return from_ipa(ipa) if ipa else None


@functools.cache
def _installed() -> Mapping[str, str]:
    """The words of misaki in its alphabet; none where it is not installed."""
    package = importlib.util.find_spec("misaki")
    if package is None or not package.submodule_search_locations:
        return {}
    folder = Path(package.submodule_search_locations[0]) / "data"
    words: dict[str, str] = {}
    for name in ("us_gold.json", "us_silver.json"):
        if (folder / name).is_file():
            for word, ipa in json.loads((folder / name).read_text(encoding="utf-8")).items():
                # Of the pronunciations of a homograph, the usual one.
                words.setdefault(word, ipa if isinstance(ipa, str) else ipa["DEFAULT"])
    return words
