"""Which language lyrics look like."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping, Sequence

from diffsinger_jax.score.tables import read_lines, table_path

_FEWEST_WORDS, _SMALLEST_SHARE = 3, 0.1
_LETTERS = {"de": "ßäöü", "es": "ñ¿¡", "fr": "çœêèà", "pt": "ãõç", "it": "òìùè", "zh": "", "ja": ""}


def words_of(syllables: Sequence[tuple[str, bool]]) -> list[str]:
    """Words of (written syllable, True if its word goes on)."""
    words, word = [], ""
    for text, hyphen in syllables:
        word += text
        if not hyphen:
            words.append(word)
            word = ""
    return words + [word] * bool(word)


def guess_language(words: Sequence[str]) -> str | None:
    """The tag of the language that the words look like, by its commonest words and its letters.

    None where nothing speaks for any.
    """
    text = unicodedata.normalize("NFC", " ".join(words).casefold())
    if re.search("[ぁ-ヿ]", text):
        return "ja"
    if re.search("[\u4e00-\u9fff]", text):
        return "zh"
    tokens = [t for t in re.split(r"[\s'’]+", text) if t]
    if not tokens:
        return None
    points = {}
    for language, common in _common_words().items():
        hits = sum(token in common for token in tokens)
        if len(common.intersection(tokens)) < 2:
            continue
        letters = sum(text.count(letter) for letter in _LETTERS.get(language, ""))
        enough = hits >= _FEWEST_WORDS or hits >= 0.4 * len(tokens)
        if enough and hits >= _SMALLEST_SHARE * len(tokens):
            points[language] = hits + 0.5 * letters
    return max(points, key=lambda language: points[language]) if points else None


@functools.cache
def _common_words() -> Mapping[str, frozenset[str]]:
    lines = [line.partition("\t") for _, line in read_lines(table_path("common_words"))]
    return {language.strip(): frozenset(words.split()) for language, _, words in lines}
