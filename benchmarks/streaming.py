"""Sings songs of several lengths as a stream and measures first sound, speed and memory.

    python benchmarks/streaming.py --minutes 1 3 10 --quality good

Every length is sung in a process of its own, after every shape was compiled (`--warmup`), and
prints a row:

    song     seconds of sound
    start    seconds from the start of the process to the first block, programs from the cache
    first    seconds from the call of `Synthesizer.stream` to the first block, the program's loading
             included; "again": the same once more in that process
    RTF      seconds of clock per second of song, vocoder included; "CPU": processor seconds
    peak     MiB of memory that the process ever held (VmHWM), with the score sung once

The song is the given score, again and again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import measure  # noqa: E402

from diffsinger_jax.cli import runtime  # noqa: E402
from diffsinger_jax.voices.qualities import QUALITIES  # noqa: E402


def repeated(score, minutes: float):
    """The score's pieces as often as the length needs."""
    pieces, length = [], score.duration_sec
    for turn in range(max(1, round(60 * minutes / length))):
        for piece in score.pieces:
            pieces.append(dataclasses.replace(piece, offset_sec=piece.offset_sec + turn * length))
    return dataclasses.replace(score, pieces=tuple(pieces))


def sing(flags: argparse.Namespace, minutes: float) -> dict[str, float]:
    """The numbers of one length; nothing is kept of the sound."""
    from diffsinger_jax.score.reader import read_score
    from diffsinger_jax.synthesis.synthesizer import Synthesizer
    from diffsinger_jax.voices.sampling import resolve_sampling

    runtime.remember_compiled_programs()
    synthesizer = Synthesizer.from_checkpoint(flags.voice)
    sampling = resolve_sampling(synthesizer.voice, quality=flags.quality)
    score = synthesizer.prepare(repeated(read_score(flags.score), minutes))
    started, started_cpu = time.perf_counter(), time.process_time()
    samples, first = 0, None
    for block in synthesizer.stream(score, sampling=sampling):
        if first is None:
            first = time.perf_counter() - started
            since_start = time.time() - flags.launched
        samples += len(block)
    spent, spent_cpu = time.perf_counter() - started, time.process_time() - started_cpu
    started = time.perf_counter()
    next(synthesizer.stream(score, sampling=sampling))
    song_sec = samples / synthesizer.voice.info.mel.sample_rate
    return {
        "song": song_sec,
        "start": since_start,
        "first": first,
        "again": time.perf_counter() - started,
        "RTF": spent / song_sec,
        "CPU": spent_cpu / song_sec,
        "peak": _peak_mib(),
    }


def _peak_mib() -> float:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", nargs="+", type=float, default=[1, 3, 10])
    parser.add_argument("--voice", default=ROOT / "data" / "voices" / "pjs")
    parser.add_argument("--score", default=ROOT / "data" / "songs" / "furusato.musicxml")
    parser.add_argument("--quality", choices=QUALITIES, default="good")
    measure.add_report_flags(parser)
    parser.add_argument("--launched", type=float, help=argparse.SUPPRESS)  # of a row's process
    flags = parser.parse_args()
    if flags.launched:
        print(json.dumps(sing(flags, flags.minutes[0])))
        return
    same = ["--voice", str(flags.voice), "--quality", flags.quality]
    subprocess.run([sys.executable, ROOT / "run_sample.py", "--warmup", *same], check=True)
    rows = []
    for minutes in flags.minutes:
        command = [sys.executable, __file__, "--minutes", str(minutes), "--score", str(flags.score)]
        ran = subprocess.run(
            [*command, *same, "--launched", str(time.time())],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        rows.append({"minutes": minutes} | json.loads(ran.stdout.splitlines()[-1]))
        print(measure.line(rows[-1]), flush=True)
    measure.report(
        flags,
        f"Streaming, --quality {flags.quality}",
        rows,
        f"{Path(flags.score).name}, the voice {Path(flags.voice).name}.",
    )


if __name__ == "__main__":
    runtime.run(main)
