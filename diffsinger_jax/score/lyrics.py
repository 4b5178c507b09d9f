"""Lyrics as people write them, without what is not sung: punctuation, verse numbers, hyphens."""

from __future__ import annotations

import re
import unicodedata

SLUR_LYRICS = frozenset({"-", "_", "+", "+~", "+*", "~", "ー", "－", "―", "〜", "～"})
"""Lyrics that say: go on with the syllable before (OpenUtau, karaoke files, Japanese scores)."""

LONG_MARK = "ー"
"""The lyric of a note that goes on with the vowel before it although a rest lies between."""

BREATH_LYRICS = frozenset({"ap", "br", "breath", "息"})
"""Lyrics that mean: breathe."""

_SLUR = re.compile(r"[-_~+*ー－―〜～–—]+")
_VERSE_NUMBER = re.compile(r"\(?\d+\s*[.):]?\s*(?=\D)")
_HYPHENS = "-‐‑–—"
_ELISION = re.compile(r"[\s_‿\u00a0]+")
_KEPT_AT_ENDS = frozenset("'’‘" + "ー－―〜～~" + "[]")


def clean_lyric(text: str) -> tuple[str | None, bool]:
    """A written syllable -> what is sung of it, and whether its word goes on after it.

    Verse numbers ("1.Nimm"), quotation marks, commas and other punctuation at its ends go; so do
    hyphens there, of which one at the end says that the word goes on. Two words on one note
    (elision) stay, with a space between them. Slurs ("-", "ー") and phonemes in brackets
    ("[k a]") are left alone.

    Returns:
      The syllable, None if nothing of it is sung; True if a hyphen follows it.

    Example:
      clean_lyric("1. Nimm,")  # ("Nimm", False)
      clean_lyric("Schiff-")   # ("Schiff", True)
    """
    text = unicodedata.normalize("NFC", text)
    text = "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cf", "Co", "Cs"))
    text = text.strip()
    if is_slur(text) or (text.startswith("[") and text.endswith("]")):
        return text or None, False
    text = _VERSE_NUMBER.sub("", text, count=1) if text[:1] in "(0123456789" else text
    # Punctuation may stand before the hyphen or after it.
    hyphen = False
    while text and (text[-1] in _HYPHENS or _is_punctuation(text[-1])):
        hyphen = hyphen or text[-1] in _HYPHENS
        text = text[:-1].rstrip()
    while text and (text[0] in _HYPHENS or _is_punctuation(text[0])):
        text = text[1:].lstrip()
    if len(text) > 1 and text[0] in "'‘’" and text[-1] in "'’":
        text = text[1:-1]  # quoted, not elided
    text = _ELISION.sub(" ", text).strip()
    return (text if any(c.isalnum() or c in "'ー" for c in text) else None), hyphen


def is_slur(text: str) -> bool:
    """True for a lyric that only goes on with the syllable before it."""
    return text in SLUR_LYRICS or bool(_SLUR.fullmatch(text))


def _is_punctuation(c: str) -> bool:
    return c not in _KEPT_AT_ENDS and (unicodedata.category(c)[0] in "PS")
