"""Which phonemes start a note: rests, and the nuclei of syllables."""

from __future__ import annotations

from diffsinger_jax.score.phonology import is_rest, is_vowel
from diffsinger_jax.types import BREATH, SILENCE

_RESTS = {"pau": SILENCE, "sil": SILENCE, "sp": SILENCE, "br": BREATH, "ap": BREATH}


def rest_symbol(symbol: str) -> str:
    """`SILENCE` or `BREATH` for the names that corpora give to them, else the symbol itself."""
    return _RESTS.get(symbol.strip("<>").lower(), symbol)


def is_nucleus(symbol: str, language: str) -> bool:
    """True for vowels, and for the Japanese moraic nasal, which has a note of its own."""
    return is_vowel(symbol) or (language == "ja" and symbol == "N")


__all__ = ["is_nucleus", "is_rest", "rest_symbol"]
