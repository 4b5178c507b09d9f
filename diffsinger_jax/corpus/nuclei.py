"""Which phonemes a note starts with: the nuclei of syllables, by language."""

from __future__ import annotations

from diffsinger_jax.errors import InputError
from diffsinger_jax.types import BREATH, SILENCE

_RESTS = {"pau": SILENCE, "sil": SILENCE, "sp": SILENCE, "br": BREATH, "ap": BREATH}

# The moraic nasal has a note of its own in Japanese singing.
_JA_NUCLEI = frozenset("a i u e o A I U E O N".split())
# Pinyin initials; everything else is a final.
_ZH_INITIALS = frozenset("b p m f d t n l g k h j q x zh ch sh r z c s y w".split())
_EN_VOWELS = frozenset("aa ae ah ao aw ay eh er ey ih iy ow oy uh uw".split())

_IS_NUCLEUS = {
    "ja": lambda symbol: symbol in _JA_NUCLEI,
    "zh": lambda symbol: symbol not in _ZH_INITIALS,
    "en": lambda symbol: symbol.rstrip("012").lower() in _EN_VOWELS,
}


def rest_symbol(symbol: str) -> str:
    """`SILENCE` or `BREATH` for the names that corpora give to them, else the symbol itself."""
    return _RESTS.get(symbol.lower(), symbol)


def is_rest(symbol: str) -> bool:
    """True for silence and breaths."""
    return symbol in (SILENCE, BREATH)


def is_nucleus(symbol: str, language: str) -> bool:
    """True if a syllable's note starts with this phoneme.

    Raises:
      InputError: for a language whose vowels are not known here.
    """
    if language not in _IS_NUCLEUS:
        raise InputError(
            f"the vowels of language {language!r} are not known, expected one of "
            f"{', '.join(_IS_NUCLEUS)}; give a ph_num column, whose words start at their vowels"
        )
    return not is_rest(symbol) and _IS_NUCLEUS[language](symbol)
