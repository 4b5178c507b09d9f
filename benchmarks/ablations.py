"""Trains the paper's ablations (configs/ablations.py) at a scale, measures them, prints the table.

    python benchmarks/ablations.py --scale small --corpus prepared/pjs --workdir workdir/ablations

All differ in the denoiser only, so they share one auxiliary stage. Killed at any moment, the same
line goes on where it stood: what is trained is not trained again, what is measured is not measured
again. Further flags, as --config.denoiser.steps=1000, go to run_train.py for every ablation. The
RTF is that of the mels alone, seconds of clock per second of singing once compiled.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jax

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from diffsinger_jax.configs.ablations import ABLATIONS, SCALES  # noqa: E402

from diffsinger_jax.cli import runtime  # noqa: E402
from diffsinger_jax.evaluation.report import Row, table, write_report  # noqa: E402
from diffsinger_jax.evaluation.sampling_search import measure_mels  # noqa: E402
from diffsinger_jax.pipeline.prepared import Corpus, open_corpus  # noqa: E402
from diffsinger_jax.voices.voice import load_voice  # noqa: E402

FRAMES_PER_BATCH = 4096
RESULT_FILE = "ablation.json"


def train(name: str, stage: str, workdir: Path, options: argparse.Namespace) -> None:
    """One stage of one ablation, by the program that everyone uses; ends this one if it fails."""
    command = [
        sys.executable,
        "run_train.py",
        f"--config=configs/ablations.py:{options.scale}/{name}",
        f"--config.corpus={Path(options.corpus).absolute()}",
        f"--workdir={workdir}",
        f"--stage={stage}",
        *options.overrides,
    ]
    if code := subprocess.run(command, cwd=ROOT).returncode:
        sys.exit(code)


def share_auxiliary(source: Path, target: Path) -> None:
    """Copies the finished auxiliary stage of one workdir into another, whole or not at all."""
    folder = target / "checkpoints" / "auxiliary"
    if folder.exists():
        return
    partial = target / "auxiliary.partial"
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source / "checkpoints" / "auxiliary", partial)
    folder.parent.mkdir(parents=True, exist_ok=True)
    os.replace(partial, folder)


def measure(workdir: Path, corpus: Corpus, split: str) -> Row:
    """What the table shows of a trained ablation, from its result file once it is there."""
    file = workdir / RESULT_FILE
    if file.exists() and (known := json.loads(file.read_text()))["split"] == split:
        return known["row"]
    voice, examples = load_voice(workdir / "voice"), list(corpus.source(split))
    seconds_sung = sum(len(e["mel"]) for e in examples) / voice.info.mel.frames_per_sec
    measures = measure_mels(voice, examples, voice.sampling, frames_per_batch=FRAMES_PER_BATCH)
    started = time.perf_counter()  # now everything is compiled
    measure_mels(voice, examples, voice.sampling, frames_per_batch=FRAMES_PER_BATCH)
    row = {
        **measures,
        "mel_rtf": (time.perf_counter() - started) / seconds_sung,
        "parameters": sum(x.size for x in jax.tree.leaves(voice.params)),
    }
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps({"split": split, "row": row}, indent=1) + "\n")
    os.replace(partial, file)
    return row


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains and measures one after the other; the table is written anew after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", choices=SCALES, default="small")
    parser.add_argument("--corpus", required=True, help="a prepared corpus")
    parser.add_argument("--workdir", required=True, type=Path)
    parser.add_argument("--only", nargs="+", choices=ABLATIONS, default=list(ABLATIONS))
    parser.add_argument("--split", default="validation", help="that is measured")
    options, overrides = parser.parse_known_args(arguments)
    options.overrides = overrides

    corpus, workdir = open_corpus(options.corpus), options.workdir.absolute() / options.scale
    runtime.remember_compiled_programs()
    train("shallow", "auxiliary", workdir / "shallow", options)
    rows: dict[str, Row] = {}
    for name in options.only:
        share_auxiliary(workdir / "shallow", workdir / name)
        if not (workdir / name / RESULT_FILE).exists():
            train(name, "denoiser", workdir / name, options)
        rows[name] = measure(workdir / name, corpus, options.split)
        about = {
            "title": f"Ablations at the scale {options.scale} on {corpus.info.name}",
            "split": options.split,
            "further flags": " ".join(options.overrides) or "none",
        }
        write_report(workdir, about, {"The mel, with true durations and f0": rows})
    print(f"\n{table(rows)}\n\nwritten to {workdir}")


if __name__ == "__main__":
    runtime.run(main)
