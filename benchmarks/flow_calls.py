"""How many calls of a flow each sampler needs to be as near the exact path as 20 Euler steps are.

    python benchmarks/flow_calls.py --voice workdir/flow/voice --corpus prepared/pjs

Mels of one start and noise are compared with those of 100 Euler steps: "distance" is the root mean
square of their difference in dB, over all frames and bins. Each method takes more steps until it is
no further away than Euler with 20; methods by estimates of x_0 keep it unclipped.

Columns: calls of the denoiser; CPU s of all threads together for 10 s of mel, compiling left out.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import measure  # noqa: E402

from diffsinger_jax.cli import runtime  # noqa: E402
from diffsinger_jax.diffusion.samplers import ALL_SAMPLERS  # noqa: E402
from diffsinger_jax.errors import InputError  # noqa: E402
from diffsinger_jax.evaluation.systems import mels_of  # noqa: E402
from diffsinger_jax.pipeline.prepared import open_corpus  # noqa: E402
from diffsinger_jax.voices.sampling import resolve_sampling  # noqa: E402
from diffsinger_jax.voices.voice import load_voice  # noqa: E402

EULER, EXACT = 20, 100
METHODS = ("rk2", "rk4", "rk5", "ddim", "dpm_solver_pp_2m", "unipc")
STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20)
FRAMES_PER_BATCH = 4096

Mels = list[np.ndarray]


def distance_db(one: Mels, other: Mels, decibels: Callable[[np.ndarray], np.ndarray]) -> float:
    """Root mean square of the difference."""
    squares = [np.square(decibels(a - b)) for a, b in zip(one, other, strict=True)]
    return float(np.sqrt(np.concatenate([s.reshape(-1) for s in squares]).mean()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Finds the fewest calls of each method."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--voice", required=True, metavar="DIR", help="of a flow")
    parser.add_argument("--corpus", required=True, help="the voice's, prepared")
    parser.add_argument("--pieces", type=int, default=4, help="of the test split")
    parser.add_argument("--method", nargs="+", choices=ALL_SAMPLERS, default=METHODS)
    measure.add_report_flags(parser)
    options = parser.parse_args(arguments)
    voice = load_voice(options.voice)
    if voice.process != "velocity":
        raise InputError(f"{options.voice} is no flow but of the process {voice.process!r}")
    examples = list(open_corpus(options.corpus).source("test"))[: options.pieces]
    seconds = sum(len(e["mel"]) for e in examples) / voice.info.mel.frames_per_sec
    runtime.remember_compiled_programs()
    sing = functools.partial(mels_of, voice, examples, seed=0, frames_per_batch=FRAMES_PER_BATCH)

    def row(method: str, steps: int, exact: Mels) -> dict[str, Any]:
        sampling = dataclasses.replace(
            resolve_sampling(voice, method=method, steps=steps), clip_x0=False
        )
        mels = sing(sampling)
        started = time.process_time()
        sing(sampling)
        spent = time.process_time() - started
        return {
            "method": method,
            "steps": steps,
            "calls": steps * ALL_SAMPLERS[method].calls_per_step,
            "distance dB": distance_db(mels, exact, voice.info.mel.decibels),
            "CPU s": 10.0 * spent / seconds,
        }

    exact = sing(resolve_sampling(voice, method="euler", steps=EXACT))
    rows = [row("euler", EULER, exact)]
    for method in options.method:
        found = {}
        for steps in STEPS:
            found = row(method, steps, exact)
            print(measure.line(found), flush=True)
            if found["distance dB"] <= rows[0]["distance dB"]:
                break
        rows.append(found)
    start = 1.0 - float(voice.sampling.k_step)
    about = f"{voice.name}, {seconds:.0f} s of test pieces, from t = {start:g}."
    measure.report(options, "Fewest calls of a flow", rows, about)


if __name__ == "__main__":
    runtime.run(main)
