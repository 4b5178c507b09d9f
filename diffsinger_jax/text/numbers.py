"""Numbers as English says them: cardinals, ordinals, years, decimals, digit by digit."""

from __future__ import annotations

import re

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
_TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
_SCALES = ("", "thousand", "million", "billion", "trillion")
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth",
    "nine": "ninth", "twelve": "twelfth",
}  # fmt: skip
_ROMAN = re.compile(r"M{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})")
_ROMAN_DIGITS = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}

MOST_DIGITS = 15
"""Longer numbers are read digit by digit."""


def cardinal(digits: str) -> str:
    """A whole number in words, as "one hundred twenty three".

    Args:
      digits: "0" to "9" only; with more than `MOST_DIGITS`, or zeros in front, each is read alone.
    """
    if len(digits) > MOST_DIGITS or (len(digits) > 1 and digits[0] == "0"):
        return spelled_digits(digits)
    number = int(digits)
    if number == 0:
        return _ONES[0]
    groups = []
    for scale in _SCALES:
        number, group = divmod(number, 1000)
        if group:
            groups.append(f"{_below_thousand(group)} {scale}".strip())
    return " ".join(reversed(groups))


def _below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    words = [_ONES[hundreds], "hundred"] if hundreds else []
    if rest >= 20:
        words.append(_TENS[rest // 10])
        rest %= 10
    if rest:
        words.append(_ONES[rest])
    return " ".join(words)


def ordinal(digits: str) -> str:
    """The ordinal of a whole number, as "twenty first"."""
    return as_ordinal(cardinal(digits))


def as_ordinal(words: str) -> str:
    """The ordinal of a cardinal in words: "twenty one" becomes "twenty first"."""
    before, space, last = words.rpartition(" ")
    if last in _ORDINALS:
        last = _ORDINALS[last]
    elif last.endswith("y"):
        last = f"{last[:-1]}ieth"
    else:
        last = f"{last}th"
    return before + space + last


def plural(words: str) -> str:
    """The plural of its last word: "eighties", "sixes", "cents"."""
    if words.endswith("y") and words[-2:-1] not in "aeiou":
        return f"{words[:-1]}ies"
    return words + ("es" if words.endswith(("x", "s", "ch", "sh")) else "s")


def spelled_digits(digits: str) -> str:
    """Digit by digit: "zero zero seven"."""
    return " ".join(_ONES[int(digit)] for digit in digits)


def year(digits: str) -> str:
    """A year of four digits: "nineteen oh five", "two thousand nine", "twenty twenty six"."""
    century, rest = int(digits[:2]), int(digits[2:])
    if rest == 0:
        return cardinal(digits) if century % 10 == 0 else f"{cardinal(digits[:2])} hundred"
    if century % 10 == 0 and rest < 10:
        return cardinal(digits)
    return f"{cardinal(digits[:2])} {f'oh {_ONES[rest]}' if rest < 10 else cardinal(digits[2:])}"


def decimal(text: str) -> str:
    """A number with or without a fraction, commas and a sign: "minus three point one four".

    Args:
      text: as "1,234.50", "-3", ".5".
    """
    sign = "minus " if text[:1] in "-−" else ""
    whole, point, fraction = text.lstrip("-−+").replace(",", "").partition(".")
    words = cardinal(whole or "0")
    return sign + words + (f" point {spelled_digits(fraction)}" if point and fraction else "")


def roman(letters: str) -> int | None:
    """The value of a Roman numeral in capitals; None if it is none."""
    if not letters or not _ROMAN.fullmatch(letters):
        return None
    values = [_ROMAN_DIGITS[letter] for letter in letters]
    following = [*values[1:], 0]
    return sum(-a if a < b else a for a, b in zip(values, following, strict=True))
