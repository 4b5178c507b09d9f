"""Spelling to phones by rules, for languages whose words are not written as they sound."""

from __future__ import annotations

import dataclasses
import functools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.phonology import is_vowel
from diffsinger_jax.score.tables import name_of, read_lines, table_path

NOTHING = "."
"""Stands for no phone in a table."""

_APOSTROPHES = "'’‘`´"
_PLAIN = {"a": "aa", "i": "iy", "o": "oh", "u": "uw"}
_SONORANTS = frozenset("l r m n ng".split())


@dataclasses.dataclass(frozen=True)
class _Rule:
    before: re.Pattern[str] | None
    letters: str
    after: re.Pattern[str] | None
    phones: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class LetterToSound:
    """The rules of one language.

    Attributes:
      language: its tag.
      rules: by their first letter, in the order of trying.
      default_vowel: of a written syllable that has none ("lit-tle").
      strips_accents: True where accents say nothing of the sound.
    """

    language: str
    rules: Mapping[str, tuple[_Rule, ...]]
    default_vowel: str
    strips_accents: bool

    @classmethod
    def of(cls, language: str) -> LetterToSound | None:
        """The rules of a language that the project has; None for another."""
        path = table_path(f"rules_{language}")
        return _read(path, language) if path.is_file() else None

    def syllables(self, written: Sequence[str]) -> list[tuple[str, ...]]:
        """The phones of each written syllable of a word; every one has a vowel.

        A consonant that ends one syllable and begins the next ("Mut-ter") is sung once.

        Raises:
          InputError: for a letter that the language does not have.
        """
        return list(map(tuple, self._of_word(tuple(map(self.spelled, written)))))

    def spelled(self, syllable: str) -> str:
        """A written syllable in the letters of the rules."""
        text = unicodedata.normalize("NFC", syllable.casefold().replace("ß", "ß"))
        for apostrophe in _APOSTROPHES:
            text = text.replace(apostrophe, "'")
        if self.strips_accents:
            text = _without_accents(text)
        return "".join(c for c in text if c.isalpha() or c in "' ")

    @functools.lru_cache(maxsize=4096)  # noqa: B019
    def _of_word(self, written: tuple[str, ...]) -> list[list[str]]:
        text = "".join(written)
        result = []
        begin = 0
        for syllable in written:
            end = begin + len(syllable)
            phones: list[str] = []
            i = begin
            while i < end:
                i, found = self._step(text, i, end)
                phones += found
            result.append(phones)
            begin = end
        for phones, following in zip(result, result[1:], strict=False):
            if len(phones) > 1 and following and phones[-1] == following[0]:
                if not is_vowel(phones[-1]):
                    phones.pop()
        return [
            self._with_vowel(phones, letters)
            for phones, letters in zip(result, written, strict=True)
        ]

    def _step(self, text: str, i: int, end: int) -> tuple[int, tuple[str, ...]]:
        """The next position, and the phones of the letters before it."""
        if text[i] in "' ":
            return i + 1, ()
        for letter in (text[i], _without_accents(text[i])):
            for rule in self.rules.get(letter, ()):
                stop = i + len(rule.letters)
                # The accented letter itself is compared without its accent the second time.
                spelled = letter + text[i + 1 : stop]
                if stop > end or spelled != rule.letters:
                    continue
                if rule.before and not rule.before.search(text[:i]):
                    continue
                if rule.after and not rule.after.match(text[stop:].lstrip("'")):
                    continue
                return stop, rule.phones
        raise InputError(
            f"the letter {text[i]!r} is not {name_of(self.language)}; correct it, or name the "
            "language with --language"
        )

    def _with_vowel(self, phones: list[str], letters: str) -> list[str]:
        """A written syllable is sung on a vowel: its last letter that is one, or the default."""
        if any(map(is_vowel, phones)):
            return phones
        vowel = next((_PLAIN[c] for c in reversed(letters) if c in _PLAIN), None)
        if vowel is not None:
            return [*(phones[:-1] if phones[-1:] in (["y"], ["w"]) else phones), vowel]
        place = len(phones)
        while place and phones[place - 1] in _SONORANTS:
            place -= 1
        if place == 0:  # nothing but sonorants: "m", "rl"
            place = min(1, len(phones))
        return [*phones[:place], self.default_vowel, *phones[place:]]

    def __hash__(self) -> int:
        """By the language: the tables of the project are read once."""
        return hash(self.language)


@functools.cache
def _read(path: Path, language: str) -> LetterToSound:
    sets: dict[str, str] = {}
    settings = {"default": "ax", "accents": "keep"}
    rules: dict[str, list[_Rule]] = {}
    for number, line in read_lines(path):
        if match := re.fullmatch(r"([A-Z]|default|accents)=(.*)", line):
            key, value = match.groups()
            (sets if len(key) == 1 else settings)[key] = _filled(value, sets)
            continue
        cells = line.split("\t")
        if len(cells) != 4 or not cells[1].strip():
            raise InputError(
                f"{path}: line {number}: expected four columns: before, letters, after, phones"
            )
        before, letters, after, phones = (cell.strip() for cell in cells)
        rules.setdefault(letters[0], []).append(
            _Rule(
                re.compile(f"(?:{_pattern(before, sets, r'(?:^|(?<=[ ]))')})$") if before else None,
                letters,
                re.compile(_pattern(after, sets, r"(?=$|[ ])")) if after else None,
                () if phones == NOTHING else tuple(phones.split()),
            )
        )
    return LetterToSound(
        language,
        {letter: tuple(group) for letter, group in rules.items()},
        settings["default"],
        settings["accents"] == "strip",
    )


def _filled(pattern: str, sets: Mapping[str, str]) -> str:
    return re.sub(r"\{([A-Z])\}", lambda m: sets[m.group(1)], pattern)


def _pattern(context: str, sets: Mapping[str, str], edge: str) -> str:
    """A context as a regular expression."""
    return _filled(context, sets).replace("_", edge)


def _without_accents(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


def shared_out(phones: Sequence[str], count: int) -> list[tuple[str, ...]] | None:
    """The phones of a word on its syllables; None if it has not so many vowels.

    Of the consonants between two vowels the last one begins the next syllable, with a stop or s
    before a liquid or glide.

    Example:
      shared_out("w ih n d ow".split(), 2)  # [("w", "ih", "n"), ("d", "ow")]
    """
    nuclei = [i for i, phone in enumerate(phones) if is_vowel(phone)]
    if len(nuclei) != count:
        return None
    cuts = [0]
    for before, after in zip(nuclei, nuclei[1:], strict=False):
        onset = after
        if onset - 1 > before:
            onset -= 1
        if onset - 1 > before and phones[onset] in ("l", "r", "w", "y"):
            if phones[onset - 1] in ("p", "b", "t", "d", "k", "g", "f", "s", "th"):
                onset -= 1
        cuts.append(onset)
    cuts.append(len(phones))
    return [tuple(phones[a:b]) for a, b in zip(cuts, cuts[1:], strict=False)]
