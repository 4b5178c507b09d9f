"""Few calls and one: every way to make a voice sing in few calls of its denoiser, side by side.

    python benchmarks/few_steps.py --corpus prepared/pjs --folder workdir/few_steps --minutes 30
        trains every system for as many minutes, then measures a row for each number of calls
    python benchmarks/few_steps.py --corpus prepared/pjs --folder workdir/few_steps --only fft gan

Encoder and auxiliary decoder are those of the first system, `fft`, in all but `gan` and `flow`,
which train their own of the same size; trunks are equal. A training ends with its config's steps
or its minutes, whichever come first. A system is trained by the command that is printed, in a
folder of its name: what was cut off goes on there, and what is finished is not trained again. A
row that is measured is kept in rows.json beside them.

Columns:

    MCD         mel cepstral distortion in dB to the recordings, the singer's durations and f0 given
    detail      how much the mel moves, from frame to frame and from bin to bin, over how much the
                recording's does: 1 is right, below is blurred, above is noise
    CPU s       of all threads together for 10 s of mel, encoder included, compiling left out
"""

from __future__ import annotations

import argparse
import functools
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import measure  # noqa: E402
import quality  # noqa: E402

from diffsinger_jax.atomic_write import atomic_write  # noqa: E402
from diffsinger_jax.cli import runtime  # noqa: E402
from diffsinger_jax.diffusion.sampling import Sampling  # noqa: E402
from diffsinger_jax.evaluation.systems import mels_of  # noqa: E402
from diffsinger_jax.pipeline.prepared import Example, open_corpus  # noqa: E402
from diffsinger_jax.voices.sampling import resolve_sampling  # noqa: E402
from diffsinger_jax.voices.voice import Voice, load_voice  # noqa: E402

FRAMES_PER_BATCH = 4096
Asked = Mapping[str, Any]
"""What a row asks of `resolve_sampling`; {} is the voice's own."""


class System(NamedTuple):
    """One voice, and how it is asked to sing.

    Attributes:
      config: that it is trained by.
      rows: by the calls in the table, what is asked.
      section: of the config that trains.
      base: the system that it starts from, "" for none.
      flags: of the training besides.
      voice: its folder in the workdir.
    """

    config: str
    rows: Mapping[int, Asked]
    section: str
    base: str = ""
    flags: tuple[str, ...] = ()
    voice: str = "voice"


OWN: Mapping[int, Asked] = {1: {}}
NO_FIRST_STAGE = ("--config.auxiliary.steps=0",)
DIFFUSION_ROWS: Mapping[int, Asked] = {
    100: {"k_step": 100, "steps": 100, "method": "ddpm"},
    51: {"k_step": 51, "steps": 51, "method": "ddpm"},
    8: {"k_step": 51, "steps": 8, "method": "dpm_solver_pp_2m"},
    1: {"k_step": 51, "steps": 1, "method": "ddim"},
}
DEEP = ("--config.sampling.k_step=51", "--config.sampling.steps=51")


def flow_rows(calls: Sequence[int]) -> dict[int, Asked]:
    """Euler's of a flow."""
    return {n: {"steps": n, "method": "euler"} for n in calls}


def diffgan(*flags: str) -> System:
    """A DiffGAN with so many calls, its own."""
    steps = next((int(f.rpartition("=")[2]) for f in flags if f.startswith(_K_STEP)), 4)
    return System("diffgan_pjs_small", {steps: {}}, "diffgan", "fft", flags)


def student(base: str, method: str, calls: int) -> System:
    """A distilled voice with so many calls."""
    flags = (f"--config.distill.method={method}", f"--config.distill.calls={calls}")
    return System("distill_pjs_small", {calls: {}}, "distill", base, flags)


_K_STEP = "--config.diffgan.k_step"
SYSTEMS: Mapping[str, System] = {
    "fft": System(
        "pjs_small",
        {0: {}},
        "auxiliary",
        flags=(
            "--stage=auxiliary",
            "--config.sampling.k_step=0",
            "--config.sampling.steps=1",
            "--config.denoiser.steps=0",
        ),
        voice="voice_auxiliary",
    ),
    "gan": System("gan_singer_pjs_small", {0: {}}, "auxiliary"),
    "diffusion": System("pjs_small", DIFFUSION_ROWS, "denoiser", "fft", (*NO_FIRST_STAGE, *DEEP)),
    # A flow has another process than `fft`, which a voice to start from would bring.
    "flow": System("flow_pjs_small", flow_rows((20, 4, 1)), "denoiser"),
    "diffgan_4": diffgan(),
    "diffgan_2": diffgan("--config.diffgan.timesteps=2", f"{_K_STEP}=2"),
    "diffgan_1": diffgan("--config.diffgan.timesteps=1", f"{_K_STEP}=1"),
    "diffgan_two_stage": diffgan(f"{_K_STEP}=1", "--config.diffgan.sees_base=True"),
    "consistency_1": student("diffusion", "consistency", 1),
    "consistency_2": student("diffusion", "consistency", 2),
    "progressive_2": student("diffusion", "progressive", 2),
    "progressive_1": student("progressive_2", "progressive", 1),
    "reflow_1": student("flow", "reflow", 1),
}
"""By the names of the rows, in the order in which they can be trained."""


def command(name: str, options: argparse.Namespace) -> list[str]:
    """That trains a system, from prepared shards and the systems before it."""
    system = SYSTEMS[name]
    flags = [
        f"--config={system.config}",
        f"--workdir={options.folder / name}",
        f"--config.corpus={options.corpus}",
        "--config.songs_shown=0",
        *system.flags,
    ]
    if system.base:
        start = options.folder / system.base / SYSTEMS[system.base].voice
        flags.append(f"--config.start_from={start}")
    if options.minutes:
        flags.append(f"--config.stop_after_minutes={options.minutes:g}")
    if options.steps:
        flags.append(f"--config.{system.section}.steps={options.steps}")
    return [sys.executable, str(ROOT / "run_train.py"), *flags]


def train(name: str, options: argparse.Namespace) -> Voice:
    """The voice of a system, trained if it is not there yet."""
    folder = options.folder / name / SYSTEMS[name].voice
    if not (folder / "voice.json").is_file():
        print(shlex.join(command(name, options)), flush=True)
        subprocess.run(command(name, options), check=True)
    return load_voice(folder)


def asked_sampling(voice: Voice, asked: Asked) -> Sampling:
    """How a row is sampled."""
    return resolve_sampling(voice, **asked)


def rows_of(
    name: str, options: argparse.Namespace, examples: Sequence[Example], known: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """A row for each number of calls, those that are known as they are."""
    system, voice = SYSTEMS[name], None
    for calls, asked in system.rows.items():
        if f"{name}/{calls}" in known:
            yield known[f"{name}/{calls}"]
            continue
        voice = voice or train(name, options)
        sampling = asked_sampling(voice, asked)
        sing = functools.partial(
            mels_of, voice, examples, sampling, seed=0, frames_per_batch=FRAMES_PER_BATCH
        )
        mels = sing()
        started = time.process_time()
        sing()
        spent = time.process_time() - started
        seconds = sum(len(e["mel"]) for e in examples) / voice.info.mel.frames_per_sec
        found = quality.measured(voice, examples, mels, None)
        yield {"system": name, "calls": calls, **found, "CPU s": 10.0 * spent / seconds}


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains what is not trained yet, and measures what is not measured yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", required=True, type=Path, help="prepared, 24k_hop256")
    parser.add_argument("--folder", required=True, type=Path, help="for all that is trained")
    parser.add_argument("--minutes", type=float, default=0.0, help="of training for each system")
    parser.add_argument("--steps", type=int, help="of each training; the configs' own")
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--split", default="test")
    parser.add_argument("--pieces", type=int, help="only the first so many")
    measure.add_report_flags(parser)
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    file = options.folder / "rows.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    examples = list(open_corpus(options.corpus).source(options.split))[: options.pieces]
    runtime.remember_compiled_programs()
    rows = []
    for name in options.only:
        for row in rows_of(name, options, examples, known):
            known[f"{name}/{row['calls']}"] = row
            with atomic_write(file) as partial:
                partial.write_text(json.dumps(known, indent=1) + "\n")
            rows.append(row)
            print(measure.line(row), flush=True)
    commands = "\n".join(
        f"    {name}: {shlex.join(command(name, options))}" for name in options.only
    )
    about = f"{len(examples)} pieces of {options.split}. Trained by\n\n{commands}"
    measure.report(options, "Few calls side by side", rows, about)


if __name__ == "__main__":
    runtime.run(main)
