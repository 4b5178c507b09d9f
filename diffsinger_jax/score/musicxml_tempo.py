"""Tempo in MusicXML: numbers, words of tempo, ritardandi and fermatas."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from fractions import Fraction

from diffsinger_jax.score.options import ReadOptions
from diffsinger_jax.score.timeline import DEFAULT_TEMPO, checked_tempo

_QUARTERS: dict[str, Fraction] = {
    **dict(zip(("breve", "whole", "half", "quarter"), map(Fraction, (8, 4, 2, 1)), strict=True)),
    "eighth": Fraction(1, 2),
} | {f"{2**k}{'nd' if k == 5 else 'th'}": Fraction(4, 2**k) for k in range(4, 9)}

WORDS = {
    "larghissimo": 24, "grave": 40, "larghetto": 63, "lento assai": 44, "lento": 50, "largo": 46,
    "adagietto": 74, "adagio": 66, "andantino": 84, "andante": 76, "moderato": 108,
    "allegro moderato": 116, "allegro ma non troppo": 120, "allegretto": 112,
    "allegro assai": 148, "allegro vivace": 152, "allegro": 132, "vivacissimo": 172,
    "vivace": 160, "prestissimo": 200, "presto": 184,
    "sehr langsam": 44, "langsam": 56, "getragen": 56, "mäßig": 88, "mässig": 88, "bewegt": 112,
    "lebhaft": 132, "schnell": 152, "sehr schnell": 176, "rasch": 144, "innig": 66,
    "très lent": 44, "lent": 52, "modéré": 96, "animé": 126, "vif": 152, "vite": 160,
    "very slow": 44, "slow": 56, "moderately": 104, "moderate": 104, "fast": 144, "lively": 132,
    "quick": 144,
}  # fmt: skip
"""Quarters a minute of a word of tempo: the middle of what metronomes print beside it."""

_RELATIVE = {
    "più mosso": 1.15, "piu mosso": 1.15, "più animato": 1.15, "più vivo": 1.15, "plus vite": 1.15,
    "schneller": 1.15, "faster": 1.15, "stretto": 1.1, "meno mosso": 0.87, "più lento": 0.87,
    "piu lento": 0.87, "plus lent": 0.87, "langsamer": 0.87, "slower": 0.87,
}  # fmt: skip
"""What a word makes of the tempo before it."""
_RITARDANDO = re.compile(
    r"\b(?:rit|ritard|ritardando|rall|rallent|rallentando|ritenuto|allarg\w*)\b"
)


@dataclasses.dataclass
class TempoMarks:
    """What a measure says of tempo, positions in quarters from its bar line."""

    numbers: list[tuple[Fraction, float]] = dataclasses.field(default_factory=list)
    words: list[tuple[Fraction, str]] = dataclasses.field(default_factory=list)
    fermatas: set[tuple[Fraction, Fraction]] = dataclasses.field(default_factory=set)

    def read_direction(self, element: ET.Element, position: Fraction) -> None:
        """Takes the tempo of a <direction> or <sound>."""
        numbers = _numbers(element)
        self.numbers += [(position, bpm) for bpm in numbers]
        if not numbers:
            text = " ".join((w.text or "").strip() for w in element.iter("words"))
            text = text.casefold().strip(" .,()")
            if text:
                self.words.append((position, text))


def _numbers(element: ET.Element) -> list[float]:
    """Quarters per minute: none or one."""
    for sound in element.iter("sound"):
        if re.fullmatch(r"-?\d+(\.\d+)?", said := sound.get("tempo", "").strip()):
            return [checked_tempo(float(said))]
    for metronome in element.iter("metronome"):
        unit = _QUARTERS.get(metronome.findtext("beat-unit", ""))
        # "c. 60" and "60-66" are written too.
        number = re.search(r"\d+(\.\d+)?", metronome.findtext("per-minute", ""))
        if unit and number:
            dots = min(len(metronome.findall("beat-unit-dot")), 4)
            beats = float(unit * (2 - Fraction(1, 2**dots)))
            return [checked_tempo(float(number.group()) * beats)]
    return []


class Tempos:
    """The tempo of every measure of a score, as it is written.

    Attributes:
      remarks: what was assumed, a sentence each.
    """

    def __init__(
        self, measures: Sequence[Sequence[TempoMarks]], numbers: Sequence[str], options: ReadOptions
    ):
        """Takes the marks of all parts, by measure, and the measures' own numbers."""
        self.remarks: list[str] = []
        self._options = options
        self._marks: list[list[tuple[Fraction, float]]] = []  # (position, bpm) by measure
        self._fermatas = [set().union(*(m.fermatas for m in marks)) for marks in measures]
        self._ritardandi: list[list[Fraction]] = []
        current: float | None = None
        first: float | None = None
        for marks, number in zip(measures, numbers, strict=True):
            said, ritardandi = self._said(marks, number, current, first)
            begin = [(Fraction(0), current)] if current is not None else []
            self._marks.append(begin + said)
            self._ritardandi.append(ritardandi)
            if said:
                current = said[-1][1]
                first = said[0][1] if first is None else first
        if first is None and measures:
            self._remark(f"it gives no tempo; {DEFAULT_TEMPO:g} quarters a minute are assumed")
        if any(self._fermatas) and options.fermata == 1.0:
            self._remark("fermatas are sung in tempo; --fermata 1.5 holds them half as long again")
        if any(self._ritardandi) and options.ritardando == 1.0:
            self._remark("ritardandi are sung in tempo; --ritardando 0.8 slows down to 80 %")

    def _remark(self, sentence: str) -> None:
        if sentence not in self.remarks:
            self.remarks.append(sentence)

    def _said(
        self, marks: Sequence[TempoMarks], number: str, current: float | None, first: float | None
    ) -> tuple[list[tuple[Fraction, float]], list[Fraction]]:
        """The tempo changes of one measure, and where a ritardando starts in it."""
        said: dict[Fraction, float] = {}
        # Of two parts the first is right, within a part the last mark.
        for part in marks:
            for position, bpm in dict(part.numbers).items():
                said.setdefault(position, bpm)
        ritardandi = []
        words = {pair: None for part in marks for pair in part.words}  # each once, in order
        for position, text in words:
            if _RITARDANDO.search(text):
                ritardandi.append(position)
            elif text in ("a tempo", "tempo"):
                if current is not None:
                    said.setdefault(position, current)
            elif re.match(r"tempo (i|1|primo)\b", text):
                if first is not None:
                    said.setdefault(position, first)
            elif not said and (guess := _tempo_of_words(text, current)) is not None:
                said[position] = guess
                self._remark(
                    f"measure {number}: {text!r} is taken for {guess:.0f} quarters a minute; "
                    "--tempo sings faster or slower"
                )
        return sorted(said.items()), ritardandi

    def on_timeline(
        self, measures: Sequence[int], lengths: Sequence[Fraction]
    ) -> list[tuple[Fraction, float]]:
        """(quarters from the beginning, bpm) of the measures in the order of singing.

        Args:
          measures: indices, as sung.
          lengths: in quarters, by index.
        """
        starts, position = [], Fraction(0)
        for i in measures:
            starts.append(position)
            position += lengths[i]
        end = position
        changes: dict[Fraction, float] = {}
        for i, start in zip(measures, starts, strict=True):
            changes |= {start + at: bpm for at, bpm in self._marks[i] if at <= lengths[i]}
        if self._options.ritardando < 1.0:
            for turn, (i, start) in enumerate(zip(measures, starts, strict=True)):
                until = starts[turn + 2] if turn + 2 < len(starts) else end
                for at in self._ritardandi[i]:
                    _slow_down(changes, start + at, until, self._options.ritardando)
        if self._options.fermata > 1.0:
            held = [
                (start + first, start + last)
                for i, start in zip(measures, starts, strict=True)
                for first, last in self._fermatas[i]
            ]
            for first, last in sorted(held):
                _hold(changes, first, last, self._options.fermata)
        return sorted(changes.items())


def _tempo_of_words(text: str, current: float | None) -> float | None:
    """Quarters a minute of words that mean a tempo; None for others, as "dolce"."""
    for words, factor in _RELATIVE.items():
        if words in text:
            return (current or DEFAULT_TEMPO) * factor
    found = [words for words in WORDS if re.search(rf"\b{words}\b", text)]
    return float(WORDS[max(found, key=len)]) if found else None


def _bpm_at(changes: dict[Fraction, float], position: Fraction) -> float:
    before = [p for p in changes if p <= position]
    return changes[max(before)] if before else DEFAULT_TEMPO


def _slow_down(
    changes: dict[Fraction, float], start: Fraction, until: Fraction, factor: float
) -> None:
    """From `start` ever slower, until the next mark or the end of the measure after."""
    until = min([p for p in changes if p > start] + [until])
    bpm, length = _bpm_at(changes, start), until - start
    if length <= 0:
        return
    changes.setdefault(until, bpm)
    steps = max(1, round(2 * float(length)))  # every eighth
    for k in range(steps):
        changes[start + length * k / steps] = bpm * (1 + (factor - 1) * (k + 1) / steps)


def _hold(changes: dict[Fraction, float], first: Fraction, last: Fraction, factor: float) -> None:
    """What sounds between two positions lasts `factor` times as long."""
    changes.setdefault(last, _bpm_at(changes, last))
    changes.setdefault(first, _bpm_at(changes, first))
    for position in changes:
        if first <= position < last:
            changes[position] /= factor
