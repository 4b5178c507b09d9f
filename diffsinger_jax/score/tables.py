"""Where the tables of the project lie, and how one is read."""

from __future__ import annotations

import re
from pathlib import Path

from diffsinger_jax import resources
from diffsinger_jax.errors import InputError

TABLES = resources.folder("data") / "dictionaries"
"""Where the tables of the project lie; users' own may lie anywhere."""

LARGEST_BYTES = 64 * 2**20

NAMES = {
    "ja": "Japanese", "zh": "Chinese", "en": "English", "de": "German", "fr": "French",
    "it": "Italian", "es": "Spanish", "la": "Latin", "pt": "Portuguese",
}  # fmt: skip
"""Languages by their tags."""


def name_of(language: str) -> str:
    """A language as one says it: "German" for "de", "xx" for "xx"."""
    return NAMES.get(language, language)


def table_path(name: str) -> Path:
    """A table of the project, which may not be there."""
    return TABLES / f"{name}.tsv"


def languages_with(pattern: str) -> list[str]:
    """The languages that the project has a table of, by its name, as "rules_{}" or "{}"."""
    return sorted(tag for tag in NAMES if table_path(pattern.format(tag)).is_file())


def read_lines(path: Path) -> list[tuple[int, str]]:
    """(number, line) of a table, without comments and empty lines.

    Raises:
      InputError: if it cannot be read as UTF-8 text.
    """
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise InputError(f"{path}: it has more than 64 MiB; is it a dictionary?")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: the dictionary cannot be read as UTF-8 text ({error}); check the path, or "
            "save it as UTF-8"
        ) from error
    numbered = enumerate(lines, 1)
    return [(n, x) for n, x in numbered if x.strip() and not x.startswith(("#", ";;;"))]


def read_table(path: Path) -> dict[str, tuple[str, ...]]:
    """Reads a dictionary: a syllable or word, a tab, phonemes separated by spaces.

    Two spaces may stand for the tab, and one in a file named .dict (CMUdict); of several columns
    (MFA) the first and the last count; of several pronunciations ("read(2)") the first.

    Raises:
      InputError: naming the line that is not of this form, or the missing file.
    """
    table: dict[str, tuple[str, ...]] = {}
    is_cmu = path.suffix.lower() == ".dict"
    for number, line in read_lines(path):
        entry, tab, rest = line.partition("\t")
        if not tab:
            parts = re.split(r"\s+" if is_cmu else r" {2,}", line.strip(), maxsplit=1)
            entry, rest = parts[0], parts[1] if len(parts) > 1 else ""
            # ARPAbet with stress: HH AH0.
            rest = re.sub(r"(?<=[A-Za-z])[012]\b", "", rest.partition("#")[0]).lower()
        phonemes = tuple(rest.rpartition("\t")[2].split())
        if not phonemes:
            raise InputError(
                f"{path}: line {number}: expected a syllable, a tab and phonemes, got {line!r}"
            )
        entry = re.sub(r"\(\d+\)$", "", entry.strip())
        table.setdefault(entry if entry in table or not is_cmu else entry.lower(), phonemes)
    return table
