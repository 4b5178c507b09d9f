"""Written English to words as they are spoken, with the punctuation that is heard as pauses."""

from __future__ import annotations

import re

from diffsinger_jax.text.abbreviations import SPOKEN_ACRONYMS, expand_abbreviations
from diffsinger_jax.text.cleaning import clean
from diffsinger_jax.text.letters import MARK, letters
from diffsinger_jax.text.quantities import expand_quantities

PAUSES = ",;:.!?"
"""The marks that stay; between two words the strongest of those that were written."""

_STRENGTH = {mark: i for i, mark in enumerate(",:;.!?")}
_KEPT_APOSTROPHES = frozenset("'tis 'twas 'em 'til 'cause 'round 'bout 'twere".split())

_ADDRESS = re.compile(
    r"(?i)\b(?:https?://|ftp://)[^\s<>\"]+|\bwww\.[^\s<>\"]+|\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    r"|\b[\w-]+(?:\.[\w-]+)*\.(?:com|org|net|edu|gov|io|co\.uk)\b(?:/[^\s<>\"]*)?"
)
_ADDRESS_SIGNS = {
    ".": "dot", "/": "slash", "@": "at", "-": "dash", "_": "underscore", ":": "colon",
    "?": "question mark", "=": "equals", "&": "and", "#": "hash", "%": "percent", "+": "plus",
    "~": "tilde",
}  # fmt: skip
_SIGNS = [
    (r"(?<=\w)²", " squared "), (r"(?<=\w)³", " cubed "), (r"[²³]", " "),
    (r"&", " and "), (r"(?<=\d)\s*[x×]\s*(?=\d)", " by "), (r"×", " times "),
    (r"÷", " divided by "),
    (r"±", " plus or minus "), (r"\+", " plus "), (r"=", " equals "), (r"@", " at "),
    (r"~\s?(?=\d)", " about "), (r"#(?=\w)", " hashtag "), (r"§", " section "), (r"°", " degrees "),
    (r"%", " percent "), (r"<", " less than "), (r">", " greater than "),
    (r"(?<=\w)\s?/\s?(?=\w)", " slash "), (r"[$£€¥₹₩₽¢]", " "), (r"-{2,}|\s-+\s|–", " , "),
    (r"[()\[\]{}]", " , "), (r"\.{2,}", " . "), (r"[-_*\"|\\^~#/]", " "),
]  # fmt: skip
_BEFORE_NUMBERS = [(re.compile(p), w) for p, w in _SIGNS if "²" not in p and r"(?=\d)" in p]
_AFTER_NUMBERS = [(re.compile(p), w) for p, w in _SIGNS if r"(?=\d)" not in p]

_TOKEN = re.compile(rf"{MARK}[A-Z](?:'s)?|'?[^\W\d_]+(?:'[^\W\d_]+)*|[{PAUSES}]")
_WITH_DIGIT = re.compile(r"(?<![A-Za-z])[A-Z]{1,4}-?(?=\d)|(?<=\d)[A-Z]{1,2}(?![A-Za-z])")
_ACRONYM = re.compile(r"([A-Z]{2,})('?s)?")
_SHOUTED_WORDS, _SHOUTED_SHARE = 3, 0.6


def normalize(text: str) -> str:
    """A written text as it is spoken.

    Numbers, dates, money, units, abbreviations, addresses and signs become words; a letter that is
    read by its name is a capital, everything else is lower case. Of punctuation stay the marks in
    `PAUSES`, at most one between two words, behind the word before it.

    Args:
      text: of any length; what has no reading (emoji, other scripts) is left out.

    Returns:
      Words and marks, "" for a text that has nothing to say.

    Example:
      normalize("Dr. Smith paid $3.50 at 5 p.m.")
      # "doctor smith paid three dollars and fifty cents at five P M."
    """
    words: list[str] = []
    for token in spoken_tokens(text):
        if token not in PAUSES:
            words.append(token)
        elif words:
            words[-1] += token
    return " ".join(words).removesuffix(",")


def spoken_tokens(text: str) -> list[str]:
    """The words and marks of `normalize`, one by one, with a mark that stands before all words."""
    text = expand_abbreviations(_ADDRESS.sub(_address, clean(text)))
    for pattern, word in _BEFORE_NUMBERS:
        text = pattern.sub(word, text)
    text = expand_quantities(_WITH_DIGIT.sub(lambda m: f" {letters(m[0])} ", text))
    for pattern, word in _AFTER_NUMBERS:
        text = pattern.sub(word, text)
    return _spoken_tokens(_TOKEN.findall(text))


def words_of(normalized: str) -> list[str]:
    """The words of a normalised text, without its marks."""
    return [word for word in (w.rstrip(PAUSES) for w in normalized.split()) if word]


def _address(match: re.Match[str]) -> str:
    """An address with its signs as words; what ends the sentence stays behind it."""
    whole = match[0].rstrip(".,;:!?)'")
    rest = match[0][len(whole) :]
    bare = re.sub(r"(?i)^(?:https?|ftp)://", "", whole).rstrip("/")
    words = []
    for part in re.findall(r"[^\W\d_]+|\d+|.", bare):
        if part.lower() == "www":
            words.append(letters(part))
        elif part.isalnum():
            words.append(part if part.isdigit() else part.lower())
        elif part in _ADDRESS_SIGNS:
            words.append(_ADDRESS_SIGNS[part])
    return f" {' '.join(words)} {rest}"


def _spoken_tokens(tokens: list[str]) -> list[str]:
    """Words as they are spoken, with the strongest of the marks between each two."""
    written = [token for token in tokens if token[0].isalpha()]
    capitals = [token for token in written if token.isupper() and len(token) > 1]
    shouted = len(capitals) >= max(_SHOUTED_WORDS, _SHOUTED_SHARE * len(written))
    spoken: list[str] = []
    for token in tokens:
        if token not in PAUSES:
            spoken += _spoken(token, shouted)
        elif not spoken or spoken[-1] not in PAUSES:
            spoken.append(token)
        else:
            spoken[-1] = stronger_mark(spoken[-1], token)
    return spoken


def stronger_mark(a: str, b: str) -> str:
    """The one of two marks that is heard as the longer pause."""
    return max(a, b, key=_STRENGTH.__getitem__)


def _spoken(token: str, shouted: bool) -> list[str]:
    """The words of a token that is no mark."""
    if token[0] == MARK:
        return [token[1:]]
    if token[0] == "'" and token.lower() not in _KEPT_APOSTROPHES:
        token = token[1:]
    acronym = _ACRONYM.fullmatch(token)
    if acronym and acronym[1] not in SPOKEN_ACRONYMS and not (shouted and not acronym[2]):
        *before, last = letters(acronym[1]).replace(MARK, "").split()
        return [*before, last + ("'s" if acronym[2] else "")]
    if len(token) == 1 and token not in "aiAI":
        return [token.upper()] if token.isascii() else [token.lower()]
    return [token.lower()]
