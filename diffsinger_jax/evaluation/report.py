"""Measures of several systems as JSON for programs and as a table for people."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.errors import InputError

Row = Mapping[str, float]
"""Measure -> number; a measure that is absent or nan is a dash in the table."""


class Column(NamedTuple):
    """How one measure is written.

    Attributes:
      heading: with its unit.
      digits: after the point.
      meaning: what it hears, and which way is better.
      factor: to the unit of the heading.
    """

    heading: str
    digits: int
    meaning: str = ""
    factor: float = 1.0


COLUMNS: Mapping[str, Column] = {
    "dnsmos_ovrl": Column("DNSMOS OVRL", 2, "opinion score 1 to 5; hears noise, not blur"),
    "speaker_cosine": Column("speaker cosine", 3, "same singer, 1 is the recording; hears blur"),
    "nsim": Column("NSIM", 3, "pattern of the log-mel, 1 is the recording; hears blur"),
    "modulation_distance": Column(
        "modulation dB", 2, "distance of the modulation spectrum, 0 is right; hears noise and blur"
    ),
    "modulation_excess": Column(
        "12-25 Hz dB", 2, "of it the fastest band: below 0 over-smoothed, above 0 noise"
    ),
    "patch_auc": Column(
        "patch AUC", 3, "how well a small classifier tells samples from recordings; 0.5 not at all"
    ),
    "mcd": Column("mel MCD dB", 2, "mel cepstral distortion, 13 coefficients of the log-mel"),
    "mcd_dtw": Column("mel MCD-DTW dB", 2, "the same along the best alignment in time"),
    "mcep_mcd": Column("MCEP-24 MCD dB", 2, "of 24 mel cepstra of WORLD's spectral envelope"),
    "detail_time": Column(
        "detail time", 2, "how much the mel moves over the recording's; noise too"
    ),
    "detail_frequency": Column("detail freq", 2, "the same from bin to bin"),
    "residual_correlation": Column(
        "corr with residual", 2, "of what is added to the auxiliary mel with what it lacks"
    ),
    "f0_median_cents": Column("f0 median cents", 1, "median error of the pitch"),
    "f0_within_50_cents": Column("within 50 cents %", 1, "of the voiced frames", 100.0),
    "f0_fine_rmse_cents": Column("f0 fine RMSE cents", 1, "without errors above 20 %"),
    "f0_gross_error": Column("f0 gross %", 1, "frames whose error is above 20 %", 100.0),
    "f0_correlation": Column("f0 corr", 3, "without errors above 20 %"),
    "vuv_error": Column("V/UV error %", 1, "frames whose voicing differs", 100.0),
    "duration_error_ms": Column("dur error ms", 1, "mean error of a phoneme's length"),
    "duration_rmse_frames": Column("dur RMSE frames", 2, "root mean square error of it"),
    "vowel_onset_ms": Column("vowel onset ms", 1, "median error of where vowels begin"),
    "consonant_error_ms": Column("consonant ms", 1, "mean error of a consonant's length"),
    "movement_cents": Column("3-8 Hz cents", 1, "movement within long notes, root mean square"),
    "vibrato_share": Column("vibrato %", 0, "of the long notes", 100.0),
    "vibrato_rate": Column("rate Hz", 2, "median of the notes with vibrato"),
    "preparation_cents": Column("preparation cents", 1, "the other way before a note change"),
    "overshoot_cents": Column("overshoot cents", 1, "beyond the new note after it"),
    "distance_cents": Column(
        "distance cents", 1, "Wasserstein, of the deviations from the notes, to the singer's"
    ),
    "notes_within_50_cents": Column("notes in tune %", 0, "median within 50 cents", 100.0),
    "take_spread_cents": Column("between takes cents", 1, "standard deviation of a frame"),
    "parameters": Column("M parameters", 2, "size of the model", 1e-6),
    "mel_rtf": Column("mel RTF", 3, "seconds of computing for a second of singing"),
}
"""All measures a table can show, in this order; it shows those that a row has."""


def shown_columns(rows: Mapping[str, Row]) -> list[str]:
    """The measures that at least one row has, in the order of `COLUMNS`."""
    return [m for m in COLUMNS if any(_is_number(row.get(m)) for row in rows.values())]


def table(rows: Mapping[str, Row], corner: str = "") -> str:
    """A markdown table with aligned columns, readable as plain text too.

    Args:
      rows: name -> measures; those not in `COLUMNS` are left out.
      corner: heading of the names.
    """
    shown = shown_columns(rows)
    lines = [[corner, *(COLUMNS[m].heading for m in shown)]]
    lines += [[name, *(cell(row.get(m), COLUMNS[m]) for m in shown)] for name, row in rows.items()]
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


def _is_number(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def cell(value: float | None, column: Column) -> str:
    """A number as its column writes it; a dash for none."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value * column.factor:.{column.digits}f}"


def make_folder(folder: Path) -> None:
    """Makes it and those above it.

    Raises:
      InputError: if it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the folder {folder} cannot be made ({error.strerror}); give one you may write to"
        ) from error


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")
