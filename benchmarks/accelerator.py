"""One prepared run on an accelerator: what it can do, then a voice trained by the clock.

    python benchmarks/accelerator.py --corpus pjs.npz --workdir DIR --out OUT --minutes 9

It needs jax, flax, optax and orbax; torch for the peer. `benchmarks/pack_corpus.py` makes the
corpus on a machine that has everything. The same command goes on from where a run was cut off, on
a fresh machine with what came back of the one before: --resume OUT.

First it measures, for at most --measure_minutes: a large matmul; sampling at k = 51 and with 8
calls, and a training step, of the paper's denoiser (20 x 256), in float32 and bfloat16, for 1, 8
and 64 rows, beside the PyTorch peer. OUT/measured.jsonl has a line for each part once it is done;
see benchmarks/sampling.py and training.py for the columns. MFU goes by the device's data sheet.

Then it trains until --train_minutes of training are spent, over all starts, or until --minutes are
over, and leaves the averaged weights (bfloat16) and what training needs to go on in files of at
most 15 MB: OUT/weights_N.npz and OUT/resume_N.npz. Back home --parts voice makes a voice of them:

    python benchmarks/accelerator.py --corpus pjs.npz --workdir DIR --resume OUT --parts voice
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

PARTS = ("measure", "train", "voice")
MEASURED_FILE = "measured.jsonl"
SAVING_SEC = 45.0
"""Before the end, so that what is trained can be saved."""
PART_SEC = 90.0
"""At most, for each part that is measured; PyTorch compiles long."""
FEW_CALLS = ("unipc", 8)
"""Sampler and calls beside DDPM over all k."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the parts one after the other, each in a process of its own that the clock can end."""
    flags = parse(arguments)
    if flags.inside:
        return inside(flags)
    started = time.monotonic()
    whole = started + 60 * flags.minutes
    for part in flags.parts:
        end = whole
        if part == "measure":
            end = min(whole, started + 60 * flags.measure_minutes)
        code = run_until(part, flags, end)
        print(f"{part}: exit code {code}, {time.monotonic() - started:.0f} s so far", flush=True)
        if code and part != "measure":
            return code
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, help="packed, with its config")
    parser.add_argument("--workdir", type=Path, default=Path("workdir/accelerator"))
    parser.add_argument("--out", type=Path, default=Path("accelerator"), help="what comes back")
    parser.add_argument("--resume", type=Path, help="--out of a run on another machine")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["measure", "train"])
    parser.add_argument("--minutes", type=float, default=12.0, help="in all")
    parser.add_argument("--measure_minutes", type=float, default=5.0)
    parser.add_argument("--train_minutes", type=float, help="over all starts; the config's if not")
    parser.add_argument("--wheels", type=Path, default=Path(".whl"), help="folder of pure ones")
    parser.add_argument("--layers", type=int, default=20)
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=10.0, help="of singing that is sampled")
    parser.add_argument("--frames", type=int, default=800, help="of each row to train on")
    parser.add_argument("--k_step", type=int, default=51)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no_peer", action="store_true", help="leave PyTorch out")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def run_until(part: str, flags: argparse.Namespace, end: float) -> int:
    """A part in a process of its own: asked to stop and save before the end, ended at it."""
    words = [f"--{name}={value}" for name, value in vars(flags).items() if _is_plain(value)]
    words += ["--batch", *map(str, flags.batch), *(["--no_peer"] if flags.no_peer else [])]
    # PyTorch needs some of the memory too.
    shared = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"} if part == "measure" else {}
    command = [sys.executable, __file__, *words, "--inside", "--parts", part]
    process = subprocess.Popen(command, env={**os.environ, **shared})
    saving = 0.0 if part == "measure" else SAVING_SEC
    try:
        return process.wait(max(end - saving - time.monotonic(), 0.0))
    except subprocess.TimeoutExpired:
        process.terminate()
    try:
        return process.wait(max(end - time.monotonic(), 5.0))
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float | str | Path) and not isinstance(value, bool)


def inside(flags: argparse.Namespace) -> int:
    """One part, in its process."""
    sys.path += [str(wheel) for wheel in sorted(flags.wheels.glob("*.whl"))]  # pure: read zipped
    flags.out.mkdir(parents=True, exist_ok=True)
    if flags.parts == ["measure"]:
        measure_parts(flags)
        return 0
    # Where the engine does not listen yet, or no longer: what is saved comes back all the same.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    import accelerator_training

    make = {"train": accelerator_training.train, "voice": accelerator_training.make_voice_of}
    make[flags.parts[0]](flags)
    return 0


def measure_parts(flags: argparse.Namespace) -> None:
    """Everything that was not measured yet, the most telling first, a line for each."""
    import measure

    file = flags.out / MEASURED_FILE
    done = {json.dumps(line["part"]) for line in read_lines(file)}
    peaks: dict[str, Any] = {}
    for part in plan_parts(flags):
        if json.dumps(part) in done:
            continue
        started = time.monotonic()
        line: dict[str, Any] = {"part": part, "machine": measure.machine()}
        try:
            with at_most(PART_SEC):
                if part["dtype"] not in peaks:
                    peaks[part["dtype"]] = measure.matmul_peak(part["dtype"])
                line |= measure_part(part, flags, peaks[part["dtype"]])
        except Exception as error:  # out of memory, no compiler, too slow: the next one may do
            line["failed"] = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        append_line(file, line | {"wall s": time.monotonic() - started})
        print(measure.line(line), flush=True)


def plan_parts(flags: argparse.Namespace) -> list[dict[str, Any]]:
    """What is measured, in this order; a cut run has the first ones."""
    dtypes = ("bfloat16", "float32")
    parts: list[dict[str, Any]] = [{"what": "matmul", "dtype": dtype} for dtype in dtypes]
    peers = [[], ["compiled"]] if flags.no_peer else [["eager"], ["eager", "compiled"]]
    for peer in peers[: 1 if flags.no_peer else 2]:  # compiling takes PyTorch long: last
        for dtype in dtypes:
            for batch in sorted(flags.batch, key=lambda rows: abs(rows - 8)):
                about = {"dtype": dtype, "batch": batch, "peer": peer}
                parts.append({"what": "sampling", "method": "ddpm", "steps": flags.k_step} | about)
                parts.append({"what": "training"} | about)
                if "compiled" not in peer:
                    method, calls = FEW_CALLS
                    few = {"method": method, "steps": min(calls, flags.k_step)}
                    parts.append({"what": "sampling"} | few | about | {"peer": []})
    return parts


def measure_part(part: dict[str, Any], flags: argparse.Namespace, peak: Any) -> dict[str, Any]:
    """Its numbers."""
    import jax
    import sampling
    import training

    from diffsinger_jax.engine.compile import peak_flops
    from diffsinger_jax.modules.trunks.wavenet import WaveNet
    from diffsinger_jax.types import MEL_SPECS

    sheet = peak_flops(jax.devices()[0].device_kind)
    if part["what"] == "matmul":
        measured = peak()
        return {
            "TFLOP/s": measured / 1e12,
            "of the data sheet's bfloat16 %": _share(measured, sheet),
        }
    mel = "24k_hop128"
    options = argparse.Namespace(
        mel=mel, layers=flags.layers, channels=flags.channels, hidden=256, dilation_cycle=4,
        data=MEL_SPECS[mel].n_mels, k_step=flags.k_step, peer=part["peer"], vocoder=False,
        repeats=flags.repeats,
    )  # fmt: skip
    memory = _peer_memory(part["peer"])
    if part["what"] == "training":
        row = training.measure_case(part["batch"], flags.frames, part["dtype"], options, peak)
    else:
        names = ("batch", "method", "steps", "dtype")
        case = sampling.Case(seconds=flags.seconds, **{name: part[name] for name in names})
        net = WaveNet(options.data, flags.channels, flags.layers, options.dilation_cycle)
        row = sampling.measure_case(case, options, sampling.make_params(net, options.hidden), peak)
    row["MFU %"] = _share(1e9 * row["GFLOP"] / row["p50 s"], sheet)
    if memory:
        row["peers MB"] = memory() / 1e6
    return {name: value for name, value in row.items() if value == value}


def _share(flops: float, sheet: float) -> float:
    return 100 * flops / sheet if sheet else float("nan")


def _peer_memory(peer: Sequence[str]) -> Any:
    """A call that says what PyTorch has taken at most of the device from now on.

    Its float32 is made TensorFloat-32 where the device has it, as JAX's is.
    """
    if not peer:
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    torch.set_float32_matmul_precision("high")
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.max_memory_allocated


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raises `TimeoutError` inside once the seconds are over, between two calls of Python."""

    def over(number: int, frame: Any) -> None:
        raise TimeoutError(f"took more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def append_line(file: Path, line: dict[str, Any]) -> None:
    """One more line, on the disk when this returns; NaN, which JSON has not, is null."""
    clean = {name: None if value != value else value for name, value in line.items()}
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps(clean) + "\n")
        out.flush()
        os.fsync(out.fileno())


def read_lines(file: Path) -> list[dict[str, Any]]:
    """All whole lines; half a one, of a run that was cut off, is taken off the file."""
    if not file.exists():
        return []
    whole = file.read_text(encoding="utf-8").rpartition("\n")[0]
    lines = whole.splitlines()
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    os.replace(partial, file)
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    from diffsinger_jax.cli import runtime

    runtime.run(main)
