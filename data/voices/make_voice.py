"""Trains, measures and packs a voice: all that stands in data/voices comes out of this.

    python data/voices/make_voice.py --config configs/pjs_small.py --corpus prepared/pjs \\
        --workdir workdir/pjs --out data/voices/pjs

Goes on from what is in the workdir: a finished training is only measured and packed. Further
flags, as --config.denoiser.steps=1000, go to run_train.py. The weights are stored in bfloat16, and
what is measured is what is stored.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import jax  # noqa: E402

from diffsinger_jax.cli import runtime  # noqa: E402
from diffsinger_jax.evaluation import evaluate  # noqa: E402
from diffsinger_jax.evaluation.criteria import CRITERIA  # noqa: E402
from diffsinger_jax.evaluation.report import table  # noqa: E402
from diffsinger_jax.evaluation.sampling_search import default_criterion, search  # noqa: E402
from diffsinger_jax.pipeline.mix import numbered_as  # noqa: E402
from diffsinger_jax.pipeline.prepared import open_corpus  # noqa: E402
from diffsinger_jax.voices.sampling import sampling_to_dict  # noqa: E402
from diffsinger_jax.voices.voice import Voice, load_voice, save_voice  # noqa: E402

CARD = """\
# {name}

A singing voice for diffsinger_jax. What it sings is synthetic; every file says so in its metadata.

- **Data and credit**: {licence}. {songs} songs and {minutes:.1f} minutes of it were trained on.
- **Licence of this voice**: as its data (share alike).
- **Config**: `{config}`; {parameters:,} parameters, stored in bfloat16.
- **Training**: {training}, on {hardware}.
- **Sampling**: {sampling}, chosen on the validation songs, singing without diffusion (k_step 0)
  being a candidate too. Criterion: {criterion}

## Measured on the test songs

With the singer's own durations and pitch, but where a row says predicted; docs/evaluation.md says
what each column hears.

{tables}
"""


def main() -> None:
    """Trains (or finds it done), searches the sampling, packs, measures, writes the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True, help="a file of configs/")
    parser.add_argument("--corpus", required=True, help="a prepared corpus")
    parser.add_argument("--workdir", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path, help="voice folder to replace")
    parser.add_argument(
        "--recordings", type=Path, help="the corpus's sound files, for measures that need them"
    )
    parser.add_argument("--hardware", default=_hardware(), help="as the card shall say it")
    options, overrides = parser.parse_known_args()

    command = [
        sys.executable,
        "run_train.py",
        f"--config={options.config}",
        f"--config.corpus={options.corpus}",
        f"--workdir={options.workdir.absolute()}",
        *overrides,
    ]
    if code := subprocess.run(command, cwd=ROOT).returncode:
        sys.exit(code)

    runtime.remember_compiled_programs()
    corpus = open_corpus(options.corpus)
    packed = options.workdir / "packed"
    save_voice(packed, load_voice(options.workdir / "voice"), dtype="bfloat16")
    voice = load_voice(packed)
    options.criterion = default_criterion()
    setting, rows = search(voice, numbered_as(corpus, voice.info), criterion=options.criterion)
    print(f"\n{table(rows)}\n\nsampling: {setting}")
    voice = dataclasses.replace(voice, sampling=setting)
    save_voice(packed, voice, dtype="bfloat16")

    options.config = " ".join([Path(options.config).name, *overrides])
    report = options.workdir / "evaluation"
    report.mkdir(exist_ok=True)
    tables = evaluate.evaluate(
        voice, corpus, "test", report, evaluate.Options(wavs=True, recordings=options.recordings)
    )
    (packed / "CARD.md").write_text(_card(options, voice, corpus, tables), encoding="utf-8")

    partial = options.out.with_name(options.out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(packed, partial)
    shutil.rmtree(options.out, ignore_errors=True)
    os.replace(partial, options.out)
    print(f"the voice is in {options.out}, its report and sounds in {report}")


def _card(options: argparse.Namespace, voice: Voice, corpus, tables: Mapping) -> str:
    lengths = corpus.lengths("train")
    lines = (options.workdir / "metrics.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    training = []
    for stage in ("auxiliary", "denoiser"):
        of_stage = [x for x in entries if x["stage"] == stage and "seconds" in x]
        hours = sum(x["seconds"] for x in of_stage) / 3600
        training.append(f"{of_stage[-1]['step']:,} steps of the {stage} stage in {hours:.2f} h")
    return CARD.format(
        name=voice.name,
        licence=voice.info.licence,
        songs=len({name.split("#")[0] for name in lengths.names}),
        minutes=lengths.frames.sum() / voice.info.mel.frames_per_sec / 60,
        config=options.config,
        parameters=sum(x.size for x in jax.tree.leaves(voice.params)),
        training=", ".join(training),
        hardware=options.hardware,
        sampling=", ".join(f"{k} {v}" for k, v in sampling_to_dict(voice.sampling).items()),
        criterion=(CRITERIA[options.criterion].__doc__ or "").splitlines()[0],
        tables="\n\n".join(f"### {title}\n\n{table(rows)}" for title, rows in tables.items()),
    )


def _hardware() -> str:
    device = jax.devices()[0]
    return (
        f"{os.cpu_count()} CPU cores ({platform.machine()})"
        if device.platform == "cpu"
        else f"{jax.device_count()} x {device.device_kind}"
    )


if __name__ == "__main__":
    runtime.run(main)
