"""In which order the measures of a MusicXML part are sung: repeats, endings and jumps."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence

from diffsinger_jax.errors import InputError

MOST_MEASURES = 20_000
"""Written out; more of them are repeats that never end."""

_WORDS = (  # tried in this order
    ("to_coda", r"(?:to|al|alla)\s+coda|^coda\s+al"),
    ("fine", r"^(?:il\s+)?fine$"),
    ("coda", r"^coda$|^ø$"),
    ("segno", r"^segno$"),
)
_DA_CAPO = r"\bd\.?\s*c\.?(?![a-z])|da\s+capo"
_DAL_SEGNO = r"\bd\.?\s*s\.?(?![a-z])|dal\s+segno"


@dataclasses.dataclass
class Signs:
    """What a measure says of the order of singing.

    Attributes:
      forward: a repeat starts with it.
      backward_times: how often the repeat that ends with it is sung, 0 for no repeat.
      passes: of the ending it stands under, empty for every pass.
      segno, coda: it begins there.
      to_coda, fine: it ends there once a jump was made.
      jump: "dacapo" or "dalsegno" after it, "" for none.
    """

    forward: bool = False
    backward_times: int = 0
    passes: frozenset[int] = frozenset()
    segno: bool = False
    coda: bool = False
    to_coda: bool = False
    fine: bool = False
    jump: str = ""

    def read_direction(self, element: ET.Element) -> None:
        """Takes the signs of a <direction> or <sound>, by sound, by sign or by words."""
        for sound in element.iter("sound"):
            self.segno |= "segno" in sound.attrib
            self.coda |= "coda" in sound.attrib
            self.to_coda |= "tocoda" in sound.attrib
            self.fine |= "fine" in sound.attrib
            for jump in ("dacapo", "dalsegno"):
                if sound.get(jump, "no") != "no":
                    self.jump = jump
        kind = element.find("direction-type")
        if kind is None:
            return
        text = " ".join(
            (words.text or "").strip() for words in element.findall("direction-type/words")
        ).strip()
        self._read_words(text.casefold())
        jumps = bool(self.jump or self.to_coda)
        self.segno |= element.find("direction-type/segno") is not None
        self.coda |= element.find("direction-type/coda") is not None and not jumps

    def _read_words(self, text: str) -> None:
        text = text.strip(" .:()")
        if re.search(_DA_CAPO, text):
            self.jump = "dacapo"
        elif re.search(_DAL_SEGNO, text):
            self.jump = "dalsegno"
        else:
            for name, pattern in _WORDS:
                if re.search(pattern, text):
                    setattr(self, name, True)
                    return

    def read_barline(self, barline: ET.Element, passes: frozenset[int]) -> tuple[frozenset, bool]:
        """Takes repeats; returns the passes from here on, and whether an ending ends here."""
        repeat, ending = barline.find("repeat"), barline.find("ending")
        self.segno |= barline.find("segno") is not None
        self.coda |= barline.find("coda") is not None
        if repeat is not None and repeat.get("direction") == "forward":
            self.forward = True
        elif repeat is not None:
            self.backward_times = int(repeat.get("times", "2"))
        if ending is None:
            return passes, False
        if ending.get("type") == "start":
            numbers = re.findall(r"\d+", ending.get("number", ""))
            return frozenset(map(int, numbers)), False
        return passes, True


def order(measures: Sequence[Signs], source: str) -> Iterator[tuple[int, int]]:
    """Yields (index of the measure, which time it is sung) in the order of singing.

    After a jump (D.C., D.S.) repeats are not taken again, of endings the last one is sung, Fine
    ends the song and To Coda leads to the coda.

    Raises:
      InputError: for more measures than any song has.
    """
    i = start = sung = 0
    turn = 1
    jumped = False
    while i < len(measures):
        signs = measures[i]
        if signs.forward and start != i and not jumped:
            start, turn = i, 1
        if _is_sung(measures, i, turn, jumped):
            sung += 1
            if sung > MOST_MEASURES:
                raise InputError(
                    f"{source}: with its repeats it has more than {MOST_MEASURES} measures; check "
                    "the repeats"
                )
            yield i, turn
            last_turn = max(signs.backward_times, *(p + 1 for p in signs.passes), 0)
            if signs.backward_times and turn < last_turn and not jumped:
                i, turn = start, turn + 1
                continue
            follows = measures[i + 1].passes if i + 1 < len(measures) else frozenset()
            if signs.backward_times or (signs.passes and not follows):
                start, turn = i + 1, 1
            if jumped and signs.fine:
                return
            if jumped and signs.to_coda and (coda := _first(measures, "coda", after=i)) is not None:
                i = coda
                continue
            if signs.jump and not jumped:
                segno = _first(measures, "segno") if signs.jump == "dalsegno" else 0
                i, turn, jumped = segno or 0, 1, True
                continue
        i += 1


def _is_sung(measures: Sequence[Signs], i: int, turn: int, jumped: bool) -> bool:
    """Whether measure i belongs to this pass."""
    passes = measures[i].passes
    if not passes:
        return True
    if not jumped:
        return turn in passes
    later = next((m.passes for m in measures[i + 1 :] if m.passes != passes), frozenset())
    return not later or max(later) <= max(passes)


def _first(measures: Sequence[Signs], sign: str, after: int = -1) -> int | None:
    return next((i for i, m in enumerate(measures) if i > after and getattr(m, sign)), None)
