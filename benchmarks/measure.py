"""What the benchmark programs share: timing in turn, the machine's own peak, tables, RESULTS.md."""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import os
import platform
import runpy
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from diffsinger_jax.errors import InputError

if TYPE_CHECKING:
    from ml_collections import ConfigDict

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"
RESULTS_HEAD = """\
# Results

Every section was printed by the command at its head, on the machine and date it names, and is
written here by that command's `--record`, which replaces the section of the same title. What the
columns mean stands in `--help`.
"""
PEAK_SIZE = {"cpu": 1024}
"""Side of the square matrices whose product is the peak; others take `ACCELERATOR_PEAK_SIZE`."""
ACCELERATOR_PEAK_SIZE = 8192


def in_turn(
    calls: Mapping[str, Callable[[], Any]], repeats: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Seconds of each call, one round after the other, every second round backwards.

    In turn, so that whatever else the machine does falls on all of them alike; what is compared
    are calls of the same round.

    Args:
      calls: by name; each ends when its result is there.
      repeats: rounds that count.
      warm_up: rounds before them that do not.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(warm_up + repeats):
        for name in list(calls)[:: -1 if number % 2 else 1]:
            started = time.perf_counter()
            calls[name]()
            if number >= warm_up:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def percentile(seconds: Sequence[float], share: float) -> float:
    """The smallest of the measured values that `share` of them do not exceed."""
    ordered = sorted(seconds)
    return ordered[max(0, -(-int(share * 100) * len(ordered) // 100) - 1)]


def matmul_peak(dtype: str, repeats: int = 10) -> Callable[[], float]:
    """A call that gives the FLOP/s of a large matmul, the best of some."""
    size = PEAK_SIZE.get(jax.default_backend(), ACCELERATOR_PEAK_SIZE)
    matrix = jax.random.normal(jax.random.key(0), (size, size), jnp.dtype(dtype))
    product = jax.jit(lambda a: a @ a)
    jax.block_until_ready(product(matrix))

    def measure() -> float:
        seconds = in_turn({"": lambda: jax.block_until_ready(product(matrix))}, repeats)[""]
        return 2 * size**3 / min(seconds)

    return measure


def compiled(function: Any, *arguments: Any) -> tuple[Callable, float, float]:
    """The program of a jitted function for these arguments.

    Returns:
      It; the seconds it took to compile; its memory in bytes: arguments, results and what it needs
      between them, as the compiler planned it.
    """
    started = time.perf_counter()
    program = function.lower(*arguments).compile()
    seconds = time.perf_counter() - started
    plan = program.memory_analysis()
    memory = (
        plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes
        if plan is not None
        else float("nan")
    )
    return program, seconds, memory


def denoiser_flops(
    frames: int, *, data: int, condition: int, channels: int, layers: int
) -> tuple[float, float]:
    """FLOPs of one denoiser call and of projecting the condition once, by the formula.

    Two for each product and sum of the convolutions as they are written down, however they are
    computed; the rest is less than a hundredth.
    """
    layer = 3 * channels * 2 * channels + channels * 2 * channels
    call = 2.0 * frames * (data * channels + layers * layer + channels * channels + channels * data)
    return call, 2.0 * frames * condition * layers * 2 * channels


def load_config(file: Path, corpus: Path) -> ConfigDict:
    """The config of a file, with this corpus in the place of its own."""
    config = runpy.run_path(str(file))["get_config"]()
    config.corpus = str(corpus.absolute())
    return config


def machine() -> str:
    """The processor, its cores, and what they run."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        name = next((s.split(":")[1].strip() for s in lines if s.startswith("model name")), name)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    devices = "" if jax.default_backend() == "cpu" else f", {jax.devices()[0].device_kind}"
    versions = f"Python {platform.python_version()}, JAX {jax.__version__}"
    if "torch" in sys.modules:
        versions += f", PyTorch {sys.modules['torch'].__version__}"
    return f"{name}, {cores} cores{devices}, {versions}"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown with aligned columns, readable as plain text; a missing value is a dash."""
    heads = list(dict.fromkeys(name for row in rows for name in row))
    lines = [heads, *([_cell(row.get(head)) for head in heads] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    numeric = [any(isinstance(row.get(head), int | float) for row in rows) for head in heads]
    lines.insert(1, ["-" * (w - n) + ":" * n for w, n in zip(widths, numeric, strict=True)])
    return "\n".join(
        "| "
        + " | ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, numeric, strict=True)
        )
        + " |"
        for line in lines
    )


def line(row: Mapping[str, Any]) -> str:
    """A row on one line, to be read while the next one is measured."""
    return ", ".join(f"{name} {_cell(value)}" for name, value in row.items())


def _cell(value: Any) -> str:
    if value is None or value != value:
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def require_torch() -> None:
    """Says at once that PyTorch is missing, before anything is measured.

    Raises:
      InputError: if it is.
    """
    if importlib.util.find_spec("torch") is None:
        raise InputError(
            "the comparison needs PyTorch; install it with pip install torch, or leave it out with "
            "--peer none"
        )


def add_report_flags(parser: argparse.ArgumentParser) -> None:
    """Adds what `report` goes by."""
    parser.add_argument("--out", type=Path, help="file for the numbers, as JSON")
    parser.add_argument("--record", metavar="TITLE", help="write the section into RESULTS.md")


def report(
    flags: argparse.Namespace, title: str, rows: Sequence[Mapping[str, Any]], about: str
) -> None:
    """Prints a result; writes it as JSON and into RESULTS.md if the flags say so.

    Args:
      flags: of `add_report_flags`; --record's title replaces the section that has it.
      title: of the section unless --record gives one.
      rows: of its table, in a form that JSON has.
      about: what belongs under the table.
    """
    command = " ".join([Path(sys.executable).name, *(_quoted(word) for word in sys.argv)])
    date, title = datetime.date.today().isoformat(), flags.record or title
    section = f"## {title}\n\n    {command}\n\n{date}, {machine()}.\n\n{table(rows)}\n\n{about}\n"
    print(f"\n{section}")
    if flags.out is not None:
        described = {"title": title, "command": command, "date": date, "machine": machine()}
        _write(flags.out, json.dumps(described | {"numbers": rows}, indent=1) + "\n")
    if flags.record is not None:
        old = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else RESULTS_HEAD
        head, *sections = old.split("\n## ")
        named = {part.split("\n")[0]: part for part in sections}
        named[title] = section.removeprefix("## ")
        parts = [head.strip(), *(f"## {part.strip()}" for part in named.values())]
        _write(RESULTS, "\n\n".join(parts) + "\n")


def _quoted(word: str) -> str:
    return f'"{word}"' if " " in word else word


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
