"""What may stand in a text beside words: `{HH AH0 L OW1}`, and a subset of SSML.

    <break time="500ms"/>  <break strength="weak"/>
    <prosody rate="80%" pitch="+2st" volume="-6dB"> ... </prosody>
    <phoneme ph="HH AH0 L OW1"> hello </phoneme>
    <speak> <p> <s>   around parts of the text, as pauses

Whatever else looks like a tag is text. https://www.w3.org/TR/speech-synthesis11/
"""

from __future__ import annotations

import dataclasses
import html
import math
import re
from collections.abc import Iterator

from diffsinger_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Prosody:
    """How a word is spoken, against how the voice would.

    Attributes:
      rate: factor on the speed, 2 is twice as fast.
      pitch: semitones up.
      volume_db: decibels up.
    """

    rate: float = 1.0
    pitch: float = 0.0
    volume_db: float = 0.0


AS_IT_IS = Prosody()
"""As the voice would say it."""


@dataclasses.dataclass(frozen=True)
class Text:
    """Plain text."""

    text: str
    prosody: Prosody


@dataclasses.dataclass(frozen=True)
class Phones:
    """Phonemes in the place of a word.

    Attributes:
      written: what they stand for, for people.
      symbols: of them.
    """

    written: str
    symbols: tuple[str, ...]
    prosody: Prosody


@dataclasses.dataclass(frozen=True)
class Break:
    """A pause of a given length, in seconds."""

    sec: float


Span = Text | Phones | Break

LONGEST_BREAK_SEC = 20.0
RATES = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "default": 1.0, "fast": 1.25, "x-fast": 1.75}
PITCHES = {"x-low": -6.0, "low": -3.0, "medium": 0.0, "default": 0.0, "high": 3.0, "x-high": 6.0}
VOLUMES = {"silent": -math.inf, "x-soft": -12.0, "soft": -6.0, "medium": 0.0, "default": 0.0,
           "loud": 6.0, "x-loud": 9.0}  # fmt: skip
BREAKS = {"none": 0.0, "x-weak": 0.1, "weak": 0.2, "medium": 0.4, "strong": 0.7, "x-strong": 1.0}

_MARKUP = re.compile(
    r"<(?P<close>/?)(?P<tag>speak|break|prosody|phoneme|p|s)\b(?P<rest>[^<>]*)>|\{(?P<own>[^{}]*)\}"
)
_ATTRIBUTE = re.compile(r"""([\w:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_NUMBER = r"([-+]?\d+(?:\.\d+)?)"


class MarkupReader:
    """Reads a text sentence by sentence; what is open at the end of one is open in the next.

    Example:
      list(MarkupReader().spans("Say {HH AY1} now."))
      # [Text("Say ", Prosody()), Phones("", ("HH", "AY1"), Prosody()), Text(" now.", Prosody())]
    """

    def __init__(self) -> None:
        """Nothing is open."""
        self._open: list[tuple[str, Prosody]] = []
        self._phones: tuple[str, ...] | None = None

    @property
    def prosody(self) -> Prosody:
        """Of what comes next."""
        return self._open[-1][1] if self._open else Prosody()

    def spans(self, sentence: str) -> Iterator[Span]:
        """The parts of a sentence.

        Raises:
          InputError: for a tag that is closed and not open, or an attribute that cannot be.
        """
        place = 0
        for match in _MARKUP.finditer(sentence):
            yield from self._text(sentence[place : match.start()])
            place = match.end()
            if match["own"] is not None:
                yield Phones("", _symbols(match["own"], match[0]), self.prosody)
            elif match["close"]:
                yield from self._closed(match["tag"])
            else:
                yield from self._opened(match["tag"], match["rest"], match[0])
        yield from self._text(sentence[place:])

    def finish(self) -> None:
        """Raises InputError if something is still open at the end of the text."""
        if self._open:
            raise InputError(f"<{self._open[-1][0]}> is opened and not closed; close it")

    def _text(self, text: str) -> Iterator[Span]:
        text = html.unescape(text)
        if self._phones is not None:
            if text.strip() and self._phones:
                yield Phones(text.strip(), self._phones, self.prosody)
                self._phones = ()
        elif text:
            yield Text(text, self.prosody)

    def _opened(self, tag: str, rest: str, where: str) -> Iterator[Span]:
        given = {name: double or single for name, double, single in _ATTRIBUTE.findall(rest)}
        prosody, alone = self.prosody, rest.rstrip().endswith("/")
        if tag == "break":
            yield Break(_break_sec(given, where))
            return
        if tag == "prosody":
            prosody = changed_prosody(given, where, prosody)
        elif tag == "phoneme":
            if given.get("alphabet", "arpabet") not in ("arpabet", "x-arpabet"):
                raise InputError(f'{where}: expected alphabet="arpabet", as HH AH0 L OW1')
            symbols = _symbols(given.get("ph", ""), where)
            if alone:
                yield Phones("", symbols, prosody)
                return
            self._phones = symbols
        elif tag in ("p", "s"):
            yield Text(".", prosody)
        if not alone:
            self._open.append((tag, prosody))

    def _closed(self, tag: str) -> Iterator[Span]:
        if not self._open or self._open[-1][0] != tag:
            what = f"<{self._open[-1][0]}> is" if self._open else "nothing is"
            raise InputError(f"</{tag}> closes what is not open, {what}; nest the tags")
        _, prosody = self._open.pop()
        if tag == "phoneme":
            if self._phones:  # nothing was written between the tags
                yield Phones("", self._phones, prosody)
            self._phones = None
        elif tag in ("p", "s"):
            yield Text(".", prosody)


def _symbols(text: str, where: str) -> tuple[str, ...]:
    symbols = tuple(text.split())
    if not symbols:
        raise InputError(f"{where}: there is no phoneme in it; write some, as {{HH AH0 L OW1}}")
    return symbols


def _break_sec(given: dict[str, str], where: str) -> float:
    if "time" not in given:
        strength = given.get("strength", "medium")
        if strength not in BREAKS:
            raise InputError(f"{where}: strength is one of {', '.join(BREAKS)}; choose one")
        return BREAKS[strength]
    match = re.fullmatch(r"\+?(\d+(?:\.\d+)?|\.\d+)(ms|s)", given["time"].strip())
    sec = float(match[1]) / (1000 if match[2] == "ms" else 1) if match else math.inf
    if not sec <= LONGEST_BREAK_SEC:
        raise InputError(f'{where}: expected a time up to {LONGEST_BREAK_SEC:g} s, as time="500ms"')
    return sec


def changed_prosody(given: dict[str, str], where: str, around: Prosody = AS_IT_IS) -> Prosody:
    """What the attributes of a `<prosody>` say, on top of what is around it.

    Args:
      given: of "rate", "pitch" and "volume", as SSML writes them.
      where: the tag, for the message.

    Raises:
      InputError: for another attribute, or a value that cannot be.
    """
    known = {"rate": _rate, "pitch": _pitch, "volume": _volume}
    if unknown := sorted(set(given) - set(known)):
        raise InputError(f"{where}: {unknown[0]} is not read; expected rate, pitch or volume")
    values = {}
    for name, text in given.items():
        value = known[name](text.strip())
        if value is None:
            raise InputError(f"{where}: {name} is {text!r}; expected a name as {_EXPECTED[name]}")
        values[name] = value
    return Prosody(
        around.rate * values.get("rate", 1.0),
        around.pitch + values.get("pitch", 0.0),
        around.volume_db + values.get("volume", 0.0),
    )


_EXPECTED = {
    "rate": "slow, or from 25% to 400%",
    "pitch": "high, or semitones from -24st to +24st, or a percentage",
    "volume": "soft, or decibels from -60dB to +20dB",
}


def _rate(text: str) -> float | None:
    if text in RATES:
        return RATES[text]
    match = re.fullmatch(rf"{_NUMBER}(%?)", text)
    if not match:
        return None
    value = float(match[1]) / (100.0 if match[2] else 1.0)
    value += 1.0 if match[1][0] in "+-" else 0.0  # +10% is a change, 110% the rate
    return value if 0.25 <= value <= 4.0 else None


def _pitch(text: str) -> float | None:
    if text in PITCHES:
        return PITCHES[text]
    if match := re.fullmatch(rf"{_NUMBER}st", text):
        value = float(match[1])
    elif (match := re.fullmatch(rf"{_NUMBER}%", text)) and float(match[1]) > -99.0:
        factor = float(match[1]) / 100.0 + (1.0 if match[1][0] in "+-" else 0.0)
        value = 12.0 * math.log2(factor) if factor > 0 else math.inf
    else:
        return None
    return value if abs(value) <= 24.0 else None


def _volume(text: str) -> float | None:
    if text in VOLUMES:
        return VOLUMES[text]
    match = re.fullmatch(rf"{_NUMBER}dB", text)
    value = float(match[1]) if match else math.inf
    return value if -60.0 <= value <= 20.0 else None
