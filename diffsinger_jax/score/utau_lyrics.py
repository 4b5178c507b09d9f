"""Lyrics of UTAU and OpenUtau: phonetic hints, aliases of voice banks, rests."""

from __future__ import annotations

import re

from diffsinger_jax.score.lyrics import clean_lyric

_HINT = re.compile(r"^[^\[\]]*\[([^\[\]]+)\]$")
_VCV = re.compile(r"^[-aiueonNI*] +([ぁ-ヿ]\S*)$")  # "a か": か after the vowel a
_SUFFIX = re.compile(r"(?<=[ぁ-ヿ])[_ ]?(?:[A-Ga-g][#♯b♭]?\d|[強弱裏↑↓]+)$")  # "か_C4", "か強"
_RESTS = frozenset({"", "r", "rest", "sil", "pau", "sp"})


def utau_lyric(text: str) -> tuple[str | None, bool]:
    """What a note's lyric says to sing, and whether its word goes on; None for a rest.

    A hint "か[k a]" counts alone. "?" before an alias, the vowel before it in VCV banks and the
    suffixes of their pitches go.
    """
    text = text.strip()
    if hint := _HINT.match(text):
        return f"[{hint.group(1).strip()}]", False
    if text.lower() in _RESTS:
        return None, False
    text = text.lstrip("?")
    if alias := _VCV.match(text):
        text = alias.group(1)
    lyric, hyphen = clean_lyric(_SUFFIX.sub("", text))
    return lyric or "", hyphen
