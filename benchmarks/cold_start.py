"""From the start of run_sample.py to the file: the first time on a machine, and the next.

    python benchmarks/cold_start.py --quality good

A row for the first start, which finds no compiled program, and for the next ones, each in a process
of its own:

    total    seconds of clock from the start of the process to its end, the file written
    compile  seconds in XLA's compiler, or in fetching what it made from the cache
    trace    seconds in which JAX writes the programs down for it, which no cache saves
    programs how many were compiled or fetched; small ones are done while others run
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import measure  # noqa: E402

from diffsinger_jax.cli import runtime  # noqa: E402
from diffsinger_jax.voices.qualities import QUALITIES  # noqa: E402

COMPILE = "/jax/core/compile/backend_compile_duration"
TRACE = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
)
"""As JAX reports them."""


def sing(arguments: Sequence[str]) -> dict[str, float]:
    """What run_sample.py does in this process, and what of it was compiling."""
    import jax

    from diffsinger_jax.cli import sing

    compiles: list[float] = []
    traces: list[float] = []

    def note(event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event == COMPILE:
            compiles.append(duration_secs)
        elif event in TRACE:
            traces.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(note)
    with contextlib.redirect_stdout(sys.stderr):
        sing.main(arguments)
    return {"compile": sum(compiles), "trace": sum(traces), "programs": len(compiles)}


def main() -> None:
    """Starts the processes and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--score", default=ROOT / "data" / "songs" / "furusato.musicxml")
    parser.add_argument("--quality", choices=QUALITIES, default="good")
    parser.add_argument("--starts", type=int, default=3, help="after the first one")
    measure.add_report_flags(parser)
    parser.add_argument("--sing_into", help=argparse.SUPPRESS)  # in a row's process
    flags = parser.parse_args()
    same = ["--score", str(flags.score), "--quality", flags.quality]
    if flags.sing_into:
        print(json.dumps(sing([*same, "--out", flags.sing_into])))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for start in range(1 + flags.starts):
            started = time.perf_counter()
            ran = subprocess.run(
                [sys.executable, __file__, *same, "--sing_into", f"{folder}/out"],
                env=os.environ | {"XDG_CACHE_HOME": f"{folder}/cache"},
                stdout=subprocess.PIPE,
                check=True,
                text=True,
            )
            total = time.perf_counter() - started
            name = "next" if start else "first"
            rows.append({"start": name, "total": total} | json.loads(ran.stdout.splitlines()[-1]))
            print(measure.line(rows[-1]), flush=True)
    measure.report(
        flags,
        f"Cold start, --quality {flags.quality}",
        rows,
        f"{Path(flags.score).name}, the voice that ships.",
    )


if __name__ == "__main__":
    runtime.run(main)
