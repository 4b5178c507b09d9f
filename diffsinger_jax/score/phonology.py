"""What readers know of phonemes whatever the language: where a syllable's vowel is."""

from __future__ import annotations

from collections.abc import Sequence

from diffsinger_jax.types import BREATH, SILENCE

CODAS = frozenset({"N", "cl"})
"""Phonemes without a vowel that still belong to the syllable before them: ん and っ."""

_VOICELESS = frozenset("c ch cl f h hh hy k ky p py q s sh t th ts ty x".split())


def is_rest(symbol: str) -> bool:
    """True for silence and breath."""
    return symbol in (SILENCE, BREATH)


def is_vowel(symbol: str) -> bool:
    """True for vowels, by their spelling: romaji, pinyin finals and ARPAbet write one with
    one of a, e, i, o, u, and no consonant has one. A `lang/` before the symbol does not count.
    """
    return not is_rest(symbol) and any(c in "aeiou" for c in symbol.rpartition("/")[2].lower())


def is_voiceless(symbol: str) -> bool:
    """True for silence, breath and the consonants that romaji, pinyin and ARPAbet all write for
    voiceless ones. A `lang/` before the symbol does not count.
    """
    return is_rest(symbol) or symbol.rpartition("/")[2].lower() in _VOICELESS


def nucleus_index(symbols: Sequence[str]) -> int:
    """The phoneme of a syllable that starts with the note: its first vowel, else ん, else the
    first phoneme.
    """
    for test in (is_vowel, lambda symbol: symbol == "N"):
        for i, symbol in enumerate(symbols):
            if test(symbol):
                return i
    return 0
