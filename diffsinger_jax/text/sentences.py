"""A text of any length, as it comes, cut into sentences: in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from diffsinger_jax.text.abbreviations import BEFORE_NUMBERS, TITLES

LONGEST_CHARACTERS = 400
"""Longer sentences are cut at a comma, else at a space, else here."""

_HELD_CHARACTERS = 4 * LONGEST_CHARACTERS
_END = re.compile(r"""[.!?。！？]+["'”’)\]]*(?=\s)|\n\s*\n""")
_INSIDE = re.compile(r"<[^<>]{1,200}>|\{[^{}]{1,200}\}")
_LAST_WORD = re.compile(r"[\w.&]+$")
_NO_END = frozenset(w.lower() for w in (*TITLES, *BEFORE_NUMBERS, "e.g", "i.e", "vs", "cf", "v"))
_INITIAL = re.compile(r"(?<![\w.])[A-Z]$")


def sentences(chunks: Iterable[str]) -> Iterator[str]:
    """The sentences of a text that comes in parts, lines for example.

    A sentence ends with ".", "!" or "?" before a space, not behind an abbreviation, an initial or
    where a small letter follows, and at an empty line. Nothing is cut inside "<...>" and "{...}".
    No more than a few sentences are held at a time, whatever the text.

    Args:
      chunks: parts of the text; where it is cut into them changes nothing.

    Yields:
      Sentences of at most `LONGEST_CHARACTERS` characters, stripped, none empty.
    """
    held = ""
    for chunk in chunks:
        for start in range(0, len(chunk), _HELD_CHARACTERS):
            held += chunk[start : start + _HELD_CHARACTERS]
            # Whether a sentence ends may depend on what follows it.
            while len(held) > 2 * LONGEST_CHARACTERS:
                sentence, held = _first(held)
                if sentence:
                    yield sentence
    while held.strip():
        sentence, held = _first(held)
        if sentence:
            yield sentence


def _first(text: str) -> tuple[str, str]:
    """The first sentence, and what is behind it."""
    cut = next((end for end in _ends(text) if end), len(text))
    if cut > LONGEST_CHARACTERS:
        cut = _place_inside(text[:LONGEST_CHARACTERS])
    return text[:cut].strip(), text[cut:].lstrip()


def _ends(text: str) -> Iterator[int]:
    """Where sentences end, first to last."""
    inside = [match.span() for match in _INSIDE.finditer(text)]
    for match in _END.finditer(text):
        place = match.end()
        if any(a <= match.start() < b for a, b in inside):
            continue
        if match[0].isspace():
            yield place
            continue
        following = text[place : place + 200].lstrip()[:1]
        if match[0][0] == "." and (following.islower() or _is_abbreviation(text[: match.start()])):
            continue
        yield place


def _is_abbreviation(before: str) -> bool:
    """Whether a dot behind this text belongs to its last word."""
    word = _LAST_WORD.search(before[-40:])
    if word is None:
        return False
    name = word[0]
    return bool(_INITIAL.search(name)) or name.lower() in _NO_END or name in ("St", "Mt", "Ft")


def _place_inside(text: str) -> int:
    """Where to cut a sentence that is too long: behind its last mark, space, or at the end."""
    open_at = max(text.rfind("<"), text.rfind("{"))
    if open_at > max(text.rfind(">"), text.rfind("}")) and open_at > 0:
        text = text[:open_at]
    for pattern in (r".*[,;:—](?=\s)", r".*\s"):
        match = re.match(pattern, text, re.DOTALL)
        if match and match.end() > len(text) // 4:
            return match.end()
    return len(text)
