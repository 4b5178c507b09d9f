"""Runs one of the benchmarks; without a name it lists them."""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from diffsinger_jax import resources


def main(arguments: Sequence[str] | None = None) -> int:
    """The benchmark's own exit code; all further flags are its own."""
    programs = find_programs()
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="benchmarks:\n"
        + "\n".join(f"  {name:20}{summary(file)}" for name, file in programs.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", choices=programs, metavar="NAME")
    parser.add_argument("flags", nargs=argparse.REMAINDER, help="of the benchmark; try --help")
    flags = parser.parse_args(arguments)
    if flags.name is None:
        print(parser.format_help())
        return 0
    # A process of its own, in which this package is found wherever it is.
    here = str(Path(resources.__file__).parents[1])
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, str(programs[flags.name]), *flags.flags]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}).returncode


def find_programs() -> dict[str, Path]:
    """The files of benchmarks/ that are programs, by name."""
    files = sorted(resources.folder("benchmarks").glob("*.py"))
    return {file.stem: file for file in files if "__main__" in file.read_text(encoding="utf-8")}


def summary(file: Path) -> str:
    """The first line of a program's docstring."""
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split("\n")[0]
