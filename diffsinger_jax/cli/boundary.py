"""The boundary step k of a run, found in all three published ways.

diffsinger-jax boundary --workdir WORKDIR [--write learned]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from diffsinger_jax.cli import runtime
from diffsinger_jax.errors import InputError
from diffsinger_jax.evaluation.criteria import CRITERIA, WAYS


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True, help="of run_train.py, a folder")
    parser.add_argument("--corpus", help="the run's prepared corpus, if it has moved")
    parser.add_argument("--out", type=Path, help="folder of the report; the workdir by default")
    parser.add_argument("--criterion", choices=CRITERIA, default="modulation", help="of the grid")
    parser.add_argument("--k_step", type=int, nargs="+", help="of the grid")
    parser.add_argument("--temperature", type=float, help="of the grid; the voice's by default")
    parser.add_argument(
        "--mels", type=int, help="sample so many training mels for the learned way, not all"
    )
    parser.add_argument("--write", choices=WAYS, help="put this k into WORKDIR/voice")
    options = parser.parse_args(arguments)
    if "://" in options.workdir:
        raise InputError(
            f"--workdir {options.workdir} is in a bucket; copy it to a folder (gcloud storage cp "
            "-r) and give that"
        )
    options.workdir = Path(options.workdir)
    from diffsinger_jax.atomic_write import atomic_write
    from diffsinger_jax.evaluation.boundary import (
        PICTURE_FILE,
        REPORT_FILE,
        as_json,
        draw,
        find_boundary,
        sentences,
        write_choice,
    )
    from diffsinger_jax.evaluation.report import table
    from diffsinger_jax.voices.voice import load_diffsinger

    if options.write:
        # Says what is wrong before the work, not after it.
        load_diffsinger(options.workdir / "voice")
    runtime.remember_compiled_programs()
    boundary = find_boundary(
        options.workdir,
        corpus=options.corpus,
        criterion=options.criterion,
        k_steps=options.k_step,
        temperature=options.temperature,
        most_mels=options.mels,
    )
    out = options.out or options.workdir
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {out} cannot be made ({error.strerror})") from error
    draw(out / PICTURE_FILE, boundary, f"{options.workdir.name}: where the boundary is")
    with atomic_write(out / REPORT_FILE) as partial:
        partial.write_text(json.dumps(as_json(boundary, options.criterion), indent=1) + "\n")
    if boundary.rows:
        print(f"\n{table(boundary.rows)}\n")
    print("\n".join(sentences(boundary, options.criterion)))
    print(f"written to {out / REPORT_FILE} and {out / PICTURE_FILE}")
    if options.write:
        print(f"k = {write_choice(options.workdir / 'voice', boundary, options.write)} written")
