"""The phones of one language, sung with a voice of another: with an accent."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.letter_to_sound import NOTHING
from diffsinger_jax.score.phonology import is_rest, is_vowel
from diffsinger_jax.score.tables import languages_with, read_table, table_path

_CODA = ":coda"


@dataclasses.dataclass(frozen=True)
class PhonemeMap:
    """What stands for each phone.

    Attributes:
      name: as the user said it.
      language: whose phones it takes, "" if its name does not say.
      phones: what is sung for one phone; under "x:coda" what is sung for x after its vowel.
      joined: what is sung for phones that meet, as ("k", "y") -> ("ky",).
    """

    name: str
    language: str
    phones: Mapping[str, tuple[str, ...]]
    joined: Mapping[tuple[str, ...], tuple[str, ...]]

    @classmethod
    def open(cls, name: str, voice_language: str) -> PhonemeMap:
        """A map of the project by the language it takes ("de"), or a file.

        Raises:
          InputError: if there is none for this voice, or the file is no table.
        """
        path = table_path(f"map_{name}_{voice_language}")
        language = name
        if not path.is_file():
            path, language = Path(name), ""
        if not path.is_file():
            known = languages_with(f"map_{{}}_{voice_language}")
            raise InputError(
                f"there is no phoneme map {name!r} for a voice of {voice_language}; there is one "
                f"for {', '.join(known) or 'none'}, or give a file of lines 'phone, tab, phonemes "
                "of the voice'"
            )
        table = {
            key: tuple(p for p in phones if p != NOTHING)
            for key, phones in read_table(path).items()
        }
        return cls(
            name,
            language,
            {key: phones for key, phones in table.items() if " " not in key},
            {tuple(key.split()): phones for key, phones in table.items() if " " in key},
        )

    def syllable(self, phones: Sequence[str]) -> tuple[str, ...]:
        """What is sung for the phones of a syllable; a phone that the map lacks stays."""
        vowels = [i for i, phone in enumerate(phones) if is_vowel(phone)]
        last = vowels[-1] if vowels else len(phones) - 1
        sung: list[str] = []
        for i, phone in enumerate(phones):
            sung += self.phone(phone, is_coda=i > last)
        return self._join(sung)

    def phone(self, phone: str, *, is_coda: bool = False) -> tuple[str, ...]:
        """What is sung for one phone, without its `lang/`; itself if the map lacks it."""
        short = phone.rpartition("/")[2]
        if is_rest(short):
            return (short,)
        for name in (short, short.lower()):
            if is_coda and name + _CODA in self.phones:
                return self.phones[name + _CODA]
            if name in self.phones:
                return self.phones[name]
        return (short,)

    def _join(self, sung: list[str]) -> tuple[str, ...]:
        i = 0
        while i + 1 < len(sung):
            pair = tuple(sung[i : i + 2])
            if pair in self.joined:
                sung[i : i + 2] = self.joined[pair]
                i = max(i - 1, 0)
            else:
                i += 1
        return tuple(sung)
