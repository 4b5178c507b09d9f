"""Checks scores: a `.ds` against the schema of docs/ds.md, others by reading them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from diffsinger_jax.errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """ "OK" or a sentence per fault for each file; returns 2 if there was any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE", help=".ds, .musicxml, .mxl, .mid")
    flags = parser.parse_args(arguments)
    code = 0
    for path in flags.files:
        faults = faults_of(path)
        print("\n".join(faults) if faults else f"{path}: OK")
        code = 2 if faults else code
    return code


def faults_of(path: str) -> list[str]:
    """A sentence per fault, each with the file's name."""
    from diffsinger_jax.score import ds
    from diffsinger_jax.score.reader import read_score

    try:
        if Path(path).suffix.lower() == ".ds":
            return [f"{path}: {fault}" for fault in ds.faults_of(path)]
        read_score(path)
    except InputError as error:
        return [str(error)]
    return []
