"""Which dictionary a score is read with, for a voice that may sing another language."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.dictionary import Dictionary
from diffsinger_jax.score.letter_to_sound import LetterToSound
from diffsinger_jax.score.phoneme_map import PhonemeMap
from diffsinger_jax.score.tables import languages_with, read_table, table_path


@dataclasses.dataclass(frozen=True)
class Pronunciation:
    """What a user says of how lyrics become phonemes.

    Attributes:
      phoneme_map: a map of the project by its name ("de"), or a file; None for a score in the
        voice's own language.
      dictionaries: tables of the user's, the first before the others and the project's.
    """

    phoneme_map: str | None = None
    dictionaries: tuple[str, ...] = ()

    def dictionary(
        self, score_language: str, voice_languages: Sequence[str], voice_dictionary: str
    ) -> Dictionary:
        """The dictionary for a score.

        Args:
          score_language: its tag, as "de" or "de-AT"; "" where it does not say.
          voice_languages: the tags that the voice sings.
          voice_dictionary: the one of its first language.

        Raises:
          InputError: for a language that the voice does not sing, a map or a dictionary that is
            not there, or tables at fault.
        """
        language = score_language.lower().replace("_", "-").split("-")[0]
        if self.phoneme_map is not None:
            return self._mapped(language, voice_dictionary).with_tables(self.dictionaries)
        language = language or voice_languages[0]
        if language not in voice_languages:
            known = languages_with(f"map_{{}}_{voice_dictionary}")
            remedy = f", or --phoneme_map {language}" if language in known else ""
            raise InputError(
                f"its language is {score_language!r}, the voice sings "
                f"{', '.join(voice_languages)}; choose another voice or another score{remedy}"
            )
        own = language != voice_languages[0] and _has_dictionary(language)
        return Dictionary.of(language if own else voice_dictionary).with_tables(self.dictionaries)

    def _mapped(self, score_language: str, voice_dictionary: str) -> Dictionary:
        assert self.phoneme_map is not None
        phoneme_map = PhonemeMap.open(self.phoneme_map, voice_dictionary)
        language = phoneme_map.language or score_language
        if not language:
            raise InputError(
                f"the phoneme map {self.phoneme_map} does not say whose phones it takes; name the "
                "language with --language"
            )
        if not _has_dictionary(language) and self.dictionaries:
            replacements = read_table(table_path("replacements"))
            return Dictionary(language, {}, replacements, None, phoneme_map)
        return dataclasses.replace(Dictionary.of(language), phoneme_map=phoneme_map)


def _has_dictionary(language: str) -> bool:
    return table_path(language).is_file() or LetterToSound.of(language) is not None
