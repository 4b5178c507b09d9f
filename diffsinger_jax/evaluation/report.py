"""Measures of several systems as JSON for programs and as a table for people."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from diffsinger_jax.atomic_write import atomic_write

Row = Mapping[str, float]
"""Measure -> number; a measure that is absent or nan is a dash in the table."""


class Column(NamedTuple):
    """How one measure is written.

    Attributes:
      heading: with its unit.
      digits: after the point.
      factor: to the unit of the heading.
    """

    heading: str
    digits: int
    factor: float = 1.0


COLUMNS: Mapping[str, Column] = {
    "mcd": Column("MCD dB", 2),
    "mcd_dtw": Column("MCD-DTW dB", 2),
    "detail_time": Column("detail time", 2),
    "detail_frequency": Column("detail freq", 2),
    "f0_rmse_cents": Column("f0 RMSE cents", 1),
    "f0_correlation": Column("f0 corr", 3),
    "f0_median_cents": Column("f0 median cents", 1),
    "f0_within_50_cents": Column("within 50 cents %", 1, 100.0),
    "vuv_error": Column("V/UV error %", 1, 100.0),
    "duration_error_ms": Column("dur error ms", 1),
    "duration_rmse_frames": Column("dur RMSE frames", 2),
    "parameters": Column("M parameters", 2, 1e-6),
    "mel_rtf": Column("mel RTF", 3),
}
"""All measures a table can show, in this order; it shows those that a row has."""


def table(rows: Mapping[str, Row], corner: str = "") -> str:
    """A markdown table with aligned columns, readable as plain text too.

    Args:
      rows: name -> measures; those not in `COLUMNS` are left out.
      corner: heading of the names.
    """
    shown = [m for m in COLUMNS if any(_is_number(row.get(m)) for row in rows.values())]
    lines = [[corner, *(COLUMNS[m].heading for m in shown)]]
    lines += [[name, *(_cell(row.get(m), COLUMNS[m]) for m in shown)] for name, row in rows.items()]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(
        "| "
        + " | ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in [lines[0], rule, *lines[1:]]
    )


def write_report(
    folder: str | os.PathLike, about: Mapping[str, Any], tables: Mapping[str, Mapping[str, Row]]
) -> None:
    """Writes `evaluation.json` and `evaluation.md`, each whole or not at all.

    Args:
      folder: that exists.
      about: what was measured and how; strings and numbers.
      tables: title -> system -> measures.
    """
    numbers = {
        title: {
            name: {m: value if _is_number(value) else None for m, value in row.items()}
            for name, row in rows.items()
        }
        for title, rows in tables.items()
    }
    _write(
        Path(folder, "evaluation.json"),
        json.dumps({"about": dict(about), "tables": numbers}, indent=1, ensure_ascii=False) + "\n",
    )
    text = [f"# {about.get('title', 'Evaluation')}", ""]
    text += [f"- {name}: {value}" for name, value in about.items() if name != "title"]
    for title, rows in tables.items():
        text += ["", f"## {title}", "", table(rows)]
    _write(Path(folder, "evaluation.md"), "\n".join(text) + "\n")


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _cell(value: float | None, column: Column) -> str:
    return f"{value * column.factor:.{column.digits}f}" if _is_number(value) else "-"


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")
