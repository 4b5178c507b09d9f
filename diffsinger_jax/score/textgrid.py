"""Praat's TextGrids, as aligners write them: tiers of intervals by name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.errors import InputError
from diffsinger_jax.score.text_file import read_text

Tier = list[tuple[float, float, str]]
"""(start, end, text) of each interval, in seconds."""

SHORTEST_SEC = 1e-4
"""Shorter intervals are rounding errors."""

PHONE_TIERS = ("phones", "phonemes", "phoneme", "phone", "ph")
"""What the tier of phones may be called."""

# Numbers that stand alone count, and quoted texts; <exists> and names do not.
_TOKEN = re.compile(r'"((?:[^"]|"")*)"|(?<!\S)([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?!\S)|<(\w+)>')


def read_tiers(path: Path, encoding: str | None = None) -> dict[str, Tier]:
    """The interval tiers of a TextGrid, by their names in small letters.

    Raises:
      InputError: if it is none.
    """
    tokens = [(m.group(1), m.group(2)) for m in _TOKEN.finditer(read_text(path, encoding))]
    try:
        return _tiers(tokens)
    except (ValueError, IndexError, TypeError) as error:
        raise InputError(f"{path}: not a Praat TextGrid; save it as text in Praat") from error


def phone_tier(tiers: dict[str, Tier], source: str | Path) -> Tier:
    """The tier of phones, or that of one speaker ("ann - phones").

    Raises:
      InputError: if there is none.
    """
    names = (n for wanted in PHONE_TIERS for n in tiers if n == wanted or n.endswith(f" {wanted}"))
    if (name := next(names, None)) is None:
        raise InputError(
            f"{source}: it has no tier of phones (it has {', '.join(tiers) or 'none'}); align its "
            "words first"
        )
    return tiers[name]


def write_tiers(path: Path, tiers: Mapping[str, Tier], end_sec: float) -> None:
    """Writes interval tiers as a TextGrid, whole or not at all; their intervals leave no gap."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    lines += ["xmin = 0", f"xmax = {end_sec:.6f}", "tiers? <exists>", f"size = {len(tiers)}"]
    for name, rows in tiers.items():
        lines += ['class = "IntervalTier"', f'name = "{name}"', "xmin = 0", f"xmax = {end_sec:.6f}"]
        lines.append(f"intervals: size = {len(rows)}")
        for start_sec, stop_sec, text in rows:
            quoted = text.replace('"', '""')
            lines += [f"xmin = {start_sec:.6f}", f"xmax = {stop_sec:.6f}", f'text = "{quoted}"']
    with atomic_write(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _tiers(tokens: Sequence[tuple[str, str]]) -> dict[str, Tier]:
    values = [
        float(number) if number else text for text, number in tokens if number or text is not None
    ]
    if "TextGrid" not in values[:3]:
        raise ValueError("no TextGrid")
    tiers: dict[str, Tier] = {}
    i = 0
    while i < len(values):
        if values[i] not in ("IntervalTier", "TextTier"):
            i += 1
            continue
        name, count = values[i + 1], int(values[i + 4])
        width = 3 if values[i] == "IntervalTier" else 2
        items = values[i + 5 : i + 5 + width * count]
        if len(items) < width * count:
            raise ValueError("it ends early")
        if width == 3:
            rows = [
                (float(a), float(b), str(c).replace('""', '"').strip())
                for a, b, c in zip(items[0::3], items[1::3], items[2::3], strict=True)
            ]
            tiers.setdefault(str(name).lower(), [r for r in rows if r[1] - r[0] > SHORTEST_SEC])
        i += 5 + width * count
    return tiers
