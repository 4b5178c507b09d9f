"""Numbers in their context, as words: dates, times, money, units, ranges, telephone numbers."""

from __future__ import annotations

import re

from diffsinger_jax.text import numbers
from diffsinger_jax.text.abbreviations import MONTHS
from diffsinger_jax.text.letters import letters

NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?"

CURRENCIES = {
    # sign -> (one, many, one hundredth, many hundredths)
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "₩": ("won", "won", "jeon", "jeon"),
    "₽": ("ruble", "rubles", "kopek", "kopeks"),
}
MAGNITUDES = {
    "k": "thousand", "thousand": "thousand", "m": "million", "mn": "million", "million": "million",
    "b": "billion", "bn": "billion", "billion": "billion", "tn": "trillion",
    "trillion": "trillion", "hundred": "hundred",
}  # fmt: skip
UNITS = {
    # one; many follow from it unless given behind the bar
    "km": "kilometer", "m": "meter", "cm": "centimeter", "mm": "millimeter", "kg": "kilogram",
    "g": "gram", "mg": "milligram", "lb": "pound", "lbs": "pound", "oz": "ounce",
    "ft": "foot|feet", "in": "inch", "yd": "yard", "mi": "mile",
    "mph": "mile per hour|miles per hour", "km/h": "kilometer per hour|kilometers per hour",
    "kph": "kilometer per hour|kilometers per hour", "m/s": "meter per second|meters per second",
    "l": "liter", "L": "liter", "ml": "milliliter", "mL": "milliliter", "s": "second",
    "sec": "second", "secs": "second", "ms": "millisecond", "min": "minute", "mins": "minute",
    "h": "hour", "hr": "hour", "hrs": "hour", "Hz": "hertz|hertz", "kHz": "kilohertz|kilohertz",
    "MHz": "megahertz|megahertz", "GHz": "gigahertz|gigahertz", "KB": "kilobyte", "kB": "kilobyte",
    "MB": "megabyte", "GB": "gigabyte", "TB": "terabyte", "W": "watt", "kW": "kilowatt",
    "kWh": "kilowatt hour", "V": "volt", "dB": "decibel", "°C": "degree celsius|degrees celsius",
    "°F": "degree fahrenheit|degrees fahrenheit", "°": "degree", "%": "percent|percent",
    "sq ft": "square foot|square feet", "sq m": "square meter", "m²": "square meter",
    "km²": "square kilometer", "m³": "cubic meter", "cm³": "cubic centimeter",
}  # fmt: skip
_ONLY_ATTACHED = ("in", "s", "h", "l", "L", "W", "V")
_FRACTIONS = {"2": "half", "4": "quarter"}
_DAYS = r"(3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th)?"
_MONTH = rf"((?i:{'|'.join(dict.fromkeys(MONTHS.values()))})|{'|'.join(MONTHS)})\b\.?"


def _longest_first(names) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))


def _counted(number: str, one: str, many: str) -> str:
    """A number with the noun it counts; a number that is written as 1 takes the singular."""
    return f"{numbers.decimal(number)} {one if number.lstrip('-') == '1' else many}"


def _month_name(written: str) -> str:
    return MONTHS.get(written.title()[:3], written.lower())


def _date(month: str, day: str, year: str | None) -> str:
    words = f"{month} {numbers.ordinal(str(int(day)))}"
    return words + (f", {numbers.year(year)}" if year else "")


def _numeric_date(m: re.Match[str]) -> str:
    year, month, day = (m[1], m[2], m[3]) if m[1] else (m[6], m[4], m[5])
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return m[0]
    return _date(list(dict.fromkeys(MONTHS.values()))[int(month) - 1], day, year)


def _time(m: re.Match[str]) -> str:
    hour, minute, second, half = m[1], m[2], m[3], m[4]
    if int(hour) > 23 or int(minute or 0) > 59:
        return m[0]
    words = numbers.cardinal(str(int(hour)))
    if minute and int(minute):
        words += f" oh {numbers.cardinal(minute[1])}" if minute[0] == "0" else ""
        words += f" {numbers.cardinal(minute)}" if minute[0] != "0" else ""
    elif minute and not half and not second:
        words += " o'clock" if int(hour) in range(1, 13) else " hundred"
    if second:
        words += f" and {_counted(str(int(second)), 'second', 'seconds')}"
    if half:
        words += f" {letters(half[0] + 'm')}"
        words += "." if half.endswith(".") and not m.string[m.end() :].strip() else ""
    return words


def _money(m: re.Match[str]) -> str:
    minus, country, sign, amount, magnitude = m[1], m[2], m[3], m[4].replace(",", ""), m[5]
    one, many, cent, cents = CURRENCIES[sign]
    prefix = f"{'minus ' if minus else ''}"
    kind = f"{letters(country)} " if country else ""
    if magnitude:
        scale = MAGNITUDES[magnitude.lower()]
        return f"{prefix}{numbers.decimal(amount)} {scale} {kind}{many}"
    whole, point, fraction = amount.partition(".")
    if point and len(fraction) != 2:
        return f"{prefix}{numbers.decimal(amount)} {kind}{many}"
    parts = []
    if int(whole) or not int(fraction or 0):
        parts.append(
            _counted(str(int(whole)) if len(whole) < 16 else whole, kind + one, kind + many)
        )
    if int(fraction or 0):
        parts.append(_counted(str(int(fraction)), cent, cents))
    return prefix + " and ".join(parts)


def _unit(m: re.Match[str]) -> str:
    number, gap, unit = m[1], m[2], m[3]
    if unit in _ONLY_ATTACHED and gap.isspace():
        return m[0]
    one, _, many = UNITS[unit].partition("|")
    return _counted(number, one, many or numbers.plural(one))


def _telephone(m: re.Match[str]) -> str:
    groups = re.findall(r"\d+", m[0])
    plus = "plus " if m[0].startswith("+") else ""
    return plus + ", ".join(map(numbers.spelled_digits, groups))


def _fraction(m: re.Match[str]) -> str:
    whole, above, below = m[1], m[2], m[3]
    if not 2 <= int(below) <= 100 or len(above) > 3:
        return m[0]
    part = _FRACTIONS.get(below) or numbers.ordinal(str(int(below)))
    if int(above) != 1:
        part = "halves" if below == "2" else numbers.plural(part)
    if whole:
        article = "a" if above == "1" else numbers.cardinal(above)
        return f"{numbers.cardinal(whole)} and {article} {part}"
    return f"{numbers.cardinal(above)} {part}"


def _decade(m: re.Match[str]) -> str:
    digits = m[1]
    if len(digits) == 4:
        return numbers.plural(numbers.year(digits))
    return numbers.plural(numbers.cardinal(digits))


def _range(m: re.Match[str]) -> str:
    return f"{_plain(m[1])} to {_plain(m[2])}"


def _plain(number: str) -> str:
    if re.fullmatch(r"1[1-9]\d\d|20\d\d", number):
        return numbers.year(number)
    return numbers.decimal(number)


def _height(m: re.Match[str]) -> str:
    return f"{_counted(m[1], 'foot', 'feet')} {_counted(m[2], 'inch', 'inches')}"


def _dotted_number(m: re.Match[str]) -> str:
    return " point ".join(numbers.cardinal(group) for group in m[0].split("."))


_SIGNS = re.escape("".join(CURRENCIES))
_RULES = [
    (r"\b(\d{4})-(\d{1,2})-(\d{1,2})\b|\b(\d{1,2})/(\d{1,2})/(\d{4})\b", _numeric_date),
    (
        rf"\b{_MONTH} {_DAYS}\b(?!:)(?:,? (\d{{4}})\b)?",
        lambda m: _date(_month_name(m[1]), m[2], m[3]),
    ),
    (
        rf"(?:\bthe )?\b{_DAYS} (?:of )?{_MONTH}(?:,? (\d{{4}})\b)?",
        lambda m: f"the {numbers.ordinal(m[1].lstrip('0'))} of {_month_name(m[2])}"
        + (f", {numbers.year(m[3])}" if m[3] else ""),
    ),
    (
        r"(?i)(?<![\d:.])(\d{1,2}):(\d{2})(?::(\d{2}))?(?![\d:])(?:\s*([ap](?:\.\s?m\.|m\b)))?",
        _time,
    ),
    (r"(?i)(?<![\d:.])\b(\d{1,2})()()\s?([ap](?:\.\s?m\.|m\b))", _time),
    (
        rf"(-?)((?:\b(?:US|AU|CA|NZ|HK|A|C))?)([{_SIGNS}])\s?({NUMBER})"
        rf"(?:\s?(?i:({_longest_first(MAGNITUDES)}))\b)?",
        _money,
    ),
    (rf"(?<![\w.])({NUMBER})\s?¢", lambda m: _counted(m[1], "cent", "cents")),
    (r"(?<!\d)\+?(?:\d{1,3}[- ])?\(?\d{3}\)?[- ]\d{3}[- ]\d{4}(?!\d)", _telephone),
    (r"(?<![\d-])\d{3}-\d{4}(?![\d-])", _telephone),
    (r"(?:(?<!\w)')?\b(1\d\d0|20\d0|[2-9]0)'?s\b", _decade),
    (r"(?<!\d)(\d)'\s?(\d{1,2})(?:\"|'')", _height),
    (rf"(?<![\w.])(-?{NUMBER})([\s-]?)({_longest_first(UNITS)})(?![\w²³])(?!'\w)", _unit),
    (r"\b(\d+)(?:st|nd|rd|th)\b", lambda m: numbers.ordinal(m[1])),
    (r"(?<![\d/.])(?:(\d{1,4}) )?(\d{1,4})/(\d{1,3})(?![\d/])", _fraction),
    (rf"(?<![\w.-])({NUMBER})\s?[-–]\s?({NUMBER})(?![\w-])", _range),
    (r"(?<![\d:])(\d+):(\d+)(?![\d:])", lambda m: f"{_plain(m[1])} to {_plain(m[2])}"),
    (r"\b\d+(?:\.\d+){2,}", _dotted_number),
    (r"(?<![\w.,])(1[1-9]\d\d|20\d\d)(?![\w%]|[.,]\d)", lambda m: numbers.year(m[1])),
    (rf"(?<!\w)([-−]?)({NUMBER}|\.\d+)(?:\s?(?i:({_longest_first(('k', 'm', 'bn'))}))\b)?",
     lambda m: numbers.decimal(m[1] + m[2]) + (f" {MAGNITUDES[m[3].lower()]}" if m[3] else "")),
    (r"\d+", lambda m: f" {numbers.cardinal(m[0])} "),
]  # fmt: skip
RULES = [(re.compile(pattern), replace) for pattern, replace in _RULES]
"""In the order of trying: what has more context comes first."""


def expand_quantities(text: str) -> str:
    """The text with its numbers in words, "of 1914" as "of nineteen fourteen"."""
    for pattern, replace in RULES:
        text = pattern.sub(replace, text)
    return text
