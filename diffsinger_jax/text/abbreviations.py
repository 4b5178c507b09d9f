"""Abbreviations, titles, acronyms and Roman numerals, as words."""

from __future__ import annotations

import re

from diffsinger_jax.text.letters import letters
from diffsinger_jax.text.numbers import cardinal, ordinal, roman

TITLES = {
    "Mr": "mister", "Mrs": "missus", "Ms": "miz", "Dr": "doctor", "Drs": "doctors",
    "Prof": "professor", "Gen": "general", "Col": "colonel", "Capt": "captain", "Maj": "major",
    "Lt": "lieutenant", "Sgt": "sergeant", "Rev": "reverend", "Hon": "honorable",
    "Gov": "governor", "Sen": "senator", "Rep": "representative", "Pres": "president",
    "Messrs": "messieurs", "St": "saint", "Mt": "mount", "Ft": "fort",
}  # fmt: skip
"""Before a name, with or without a dot; a dot behind one ends no sentence."""

MONTHS = {
    "Jan": "january", "Feb": "february", "Mar": "march", "Apr": "april", "May": "may",
    "Jun": "june", "Jul": "july", "Aug": "august", "Sep": "september", "Sept": "september",
    "Oct": "october", "Nov": "november", "Dec": "december",
}  # fmt: skip

BEFORE_NUMBERS = {
    "no": "number", "nos": "numbers", "vol": "volume", "vols": "volumes", "p": "page",
    "pp": "pages", "ch": "chapter", "chap": "chapter", "fig": "figure", "figs": "figures",
    "sec": "section", "sect": "section", "art": "article", "eq": "equation", "ca": "circa",
    "approx": "approximately", "ext": "extension",
}  # fmt: skip
"""With a dot and a number behind; these end no sentence either."""

DOTTED = {
    "Jr": "junior", "Sr": "senior", "Esq": "esquire", "Ave": "avenue", "Blvd": "boulevard",
    "Rd": "road", "St": "street", "Dr": "drive", "Inc": "incorporated", "Ltd": "limited",
    "Co": "company", "Corp": "corporation", "Bros": "brothers", "Dept": "department",
    "dept": "department", "Univ": "university", "Assn": "association", "vs": "versus",
    "v": "versus", "etc": "et cetera", "approx": "approximately", "est": "established",
    "cf": "compare", "viz": "namely", "ca": "circa", "al": "al", "min": "minutes",
    "max": "maximum", "Mon": "monday", "Tue": "tuesday", "Tues": "tuesday", "Wed": "wednesday",
    "Thu": "thursday", "Thur": "thursday", "Thurs": "thursday", "Fri": "friday",
    "Sat": "saturday", "Sun": "sunday", **MONTHS,
}  # fmt: skip
"""With a dot, anywhere; where they end a text, so does its sentence."""
del DOTTED["May"]

PHRASES = {
    "e.g.": "for example",
    "i.e.": "that is",
    "w/o": "without",
    "w/": "with",
    "&c.": "et cetera",
}

SPOKEN_ACRONYMS = frozenset(
    "AIDS ASAP ASCII AWOL BASIC COVID DARPA FAQ FIFA GIF JPEG LASER LED NAFTA NASA NASDAQ NATO "
    "OPEC OSHA PIN RADAR RAM ROM SARS SCUBA SIM SONAR SWAT TED UNESCO UNICEF WASP ZIP".split()
) - {"LED", "FAQ"}
"""Acronyms that are read as words; all others letter by letter."""

_KINGS = (
    "Alexander Benedict Catherine Charles Clement Constantine Edward Elizabeth Ferdinand Francis "
    "Frederick George Gregory Henry Innocent Ivan James John Leo Louis Mary Napoleon Nicholas Otto "
    "Paul Peter Philip Pius Richard Urban Victor Wilhelm William"
).split()
_COUNTED = (
    "Act Appendix Article Book Chapter Class Episode Figure Level Part Phase Scene Section Stage "
    "Table Title Type Volume War"
).split()
_REGNAL = re.compile(rf"\b({'|'.join(_KINGS)}) ([IVX]+)\b")
_ENUMERATED = re.compile(rf"\b((?i:{'|'.join(_COUNTED)})) ([IVXLC]+)\b")
_SEQUEL = re.compile(r"\b([A-Z][a-z]+) ([IVX]{2,})\b")

_DOTTED_LETTERS = re.compile(r"\b(?:[A-Za-z]\.){2,}|\bPh\.\s?D\.?")
_TITLE = re.compile(rf"\b({'|'.join(TITLES)})(?:\.\s*|\s+)(?=[A-Z])")
_STREET = re.compile(r"\b([A-Z][a-z]+) (St|Dr)\b\.?(?=\s*(?:[,;.!?]|$|[a-z]))")
_DOTTED = re.compile(rf"(?<![\w.'])({'|'.join(sorted(DOTTED, key=len, reverse=True))})\.(?!\w)")
_BEFORE_NUMBER = re.compile(rf"(?i)\b({'|'.join(BEFORE_NUMBERS)})\.\s*(?=\d)|(?<!\w)#\s?(?=\d)")
_PHRASE = re.compile(r"(?i)(?<![\w.])(e\.\s?g\.|i\.\s?e\.|&c\.|w/o\b|w/(?=\s))")


def expand_abbreviations(text: str) -> str:
    """The text with its abbreviations and Roman numerals as words; what it does not know stays."""
    text = _PHRASE.sub(lambda m: f"{PHRASES[m[1].lower().replace(' ', '')]} ", text)
    text = _BEFORE_NUMBER.sub(
        lambda m: f"{BEFORE_NUMBERS[m[1].lower()] if m[1] else 'number'} ", text
    )
    text = _STREET.sub(lambda m: f"{m[1]} {DOTTED[m[2]]}{_full_stop(m)}", text)
    text = _TITLE.sub(lambda m: f"{TITLES[m[1]]} ", text)
    text = _DOTTED.sub(lambda m: f"{DOTTED[m[1]]}{_full_stop(m)}", text)
    text = _DOTTED_LETTERS.sub(lambda m: f"{letters(m[0])}{_full_stop(m)}", text)
    text = _REGNAL.sub(_regnal, text)
    for pattern in (_ENUMERATED, _SEQUEL):
        text = pattern.sub(_numbered, text)
    return text


def _full_stop(match: re.Match[str]) -> str:
    """A dot, where the one of the abbreviation also ended the text."""
    ends = not match.string[match.end() :].strip(" \"')")
    return "." if ends and match[0].endswith(".") else ""


def _regnal(match: re.Match[str]) -> str:
    number = roman(match[2])
    return match[0] if number is None else f"{match[1]} the {ordinal(str(number))}"


def _numbered(match: re.Match[str]) -> str:
    number = roman(match[2])
    return match[0] if number is None else f"{match[1]} {cardinal(str(number))}"
