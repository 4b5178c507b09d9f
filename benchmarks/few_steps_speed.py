"""How fast an acoustic model of few calls is: all of it, encoder and auxiliary decoder included.

    python benchmarks/few_steps_speed.py
        10 s at 24 kHz / hop 128, batch 1, the 20 x 256 model: 51 DDPM calls, one call, none

Columns:

    calls       of the denoiser: 0 is the auxiliary mel itself
    start       the auxiliary mel at k = 51, or noise alone, for which there is no auxiliary decoder
    p50         seconds from the phonemes with their durations and f0 to the mel
    CPU s       of all threads together, the median: what else the machine does does not count
    RTF         seconds of computing, p50, for a second of singing; CPU RTF the same of CPU s
    x 51        CPU seconds over those of 51 calls in the same run
    compile s   to trace and compile
"""

from __future__ import annotations

import argparse
import functools
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import measure  # noqa: E402

from diffsinger_jax.cli import runtime  # noqa: E402
from diffsinger_jax.diffusion.sampling import STARTS, Sampling  # noqa: E402
from diffsinger_jax.features import empty_batch  # noqa: E402
from diffsinger_jax.models.acoustic import AcousticModel, acoustic_model  # noqa: E402
from diffsinger_jax.types import MEL_SPECS, Batch, CorpusInfo, Vocabulary  # noqa: E402

K_STEP = 51
PHONEMES_PER_SEC = 6


def make_acoustic(options: argparse.Namespace) -> AcousticModel:
    """The model of configs/base.py, in this size."""
    config = measure.load_config(ROOT / "configs" / "base.py", Path("made up"))
    spec = MEL_SPECS[options.mel]
    info = CorpusInfo(
        name="made up",
        mel=spec,
        vocabulary=Vocabulary(tuple("abcdefghijklmnopqrst")),
        mel_min=np.full(spec.n_mels, -6.0, np.float32),
        mel_max=np.zeros(spec.n_mels, np.float32),
    )
    model = config.model.to_dict()
    model |= {"denoiser_layers": options.layers, "denoiser_channels": options.channels}
    if options.hidden:
        model |= {"hidden": options.hidden, "predictor_hidden": options.hidden}
    return acoustic_model(model, config.schedule.to_dict(), config.process, info)


def make_batch(acoustic: AcousticModel, rows: int, seconds: float, spec: Any) -> Batch:
    """Made-up singing: notes of one phoneme each, as long as each other."""
    frames, phonemes = round(seconds * spec.frames_per_sec), round(seconds * PHONEMES_PER_SEC)
    batch = empty_batch(
        rows=rows, frames=frames, phonemes=phonemes, mel_bins=spec.n_mels, curves=()
    )
    rng = np.random.default_rng(0)
    mel2ph = 1 + np.arange(frames) * phonemes // frames
    shape = (rows, phonemes)
    return batch._replace(
        tokens=rng.integers(1, acoustic.model.phonemes + 1, shape).astype(np.int32),
        note_midi=rng.uniform(50, 70, shape).astype(np.float32),
        note_sec=np.full(shape, 1 / PHONEMES_PER_SEC, np.float32),
        onset=np.ones(shape, np.int32),
        ph_frames=np.tile(np.bincount(mel2ph)[1:], (rows, 1)).astype(np.int32),
        mel2ph=np.tile(mel2ph, (rows, 1)).astype(np.int32),
        mask=np.ones((rows, frames), bool),
        f0=rng.uniform(200, 400, (rows, frames)).astype(np.float32),
    )


def made_up_params(acoustic: AcousticModel, batch: Batch) -> Any:
    """Of the sizes that trained ones have: kernels of spread 1 / sqrt(inputs)."""
    shapes = jax.eval_shape(acoustic.model.init, jax.random.key(0), batch)["params"]
    rng = np.random.default_rng(0)

    def one(shape: Any) -> jax.Array:
        size = shape.shape
        spread = 1 / np.sqrt(np.prod(size[:-1])) if len(size) > 1 else 0.1
        return jnp.asarray(spread * rng.normal(size=size), jnp.float32)

    return jax.tree.map(one, shapes)


def make_sampling(calls: int, start: str) -> Sampling:
    """All k by DDPM, fewer by DDIM, 0 for the auxiliary mel; from noise at the schedule's end."""
    depth = 100 if start == "gaussian" else K_STEP
    method = "ddpm" if calls == K_STEP else "ddim"
    return Sampling(depth if calls else 0, max(calls, 1), method, start=start)


def timed(call: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Medians of wall and CPU seconds."""
    wall, spent = [], []
    for _ in range(repeats):
        started, before = time.perf_counter(), time.process_time()
        jax.block_until_ready(call())
        wall.append(time.perf_counter() - started)
        spent.append(time.process_time() - before)
    return statistics.median(wall), statistics.median(spent)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures each number of calls."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, nargs="+", default=[K_STEP, 1, 0])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--mel", choices=MEL_SPECS, default="24k_hop128")
    parser.add_argument("--layers", type=int, default=20, help="of the denoiser")
    parser.add_argument("--channels", type=int, default=256, help="of the denoiser")
    parser.add_argument("--hidden", type=int, help="of encoder and auxiliary decoder; 256")
    parser.add_argument("--repeats", type=int, default=3)
    measure.add_report_flags(parser)
    options = parser.parse_args(arguments)
    acoustic, spec = make_acoustic(options), MEL_SPECS[options.mel]
    batch = jax.tree.map(jnp.asarray, make_batch(acoustic, options.batch, options.seconds, spec))
    params = made_up_params(acoustic, batch)
    keys = jax.random.split(jax.random.key(0), options.batch)
    rows = []
    for calls, start in itertools.product(options.calls, STARTS):
        if start == "gaussian" and calls != 1:
            continue
        sampling = make_sampling(calls, start)
        function = jax.jit(functools.partial(acoustic.sample_mel, sampling=sampling))
        given = params, batch, keys, jnp.float32(1.0)
        program, compile_sec, _ = measure.compiled(function, *given)
        wall, spent = timed(functools.partial(program, *given), options.repeats)
        sung = options.seconds * options.batch
        row = {"calls": calls, "start": start, "p50 s": wall, "CPU s": spent, "RTF": wall / sung}
        rows.append(row | {"CPU RTF": spent / sung, "compile s": compile_sec})
        print(measure.line(rows[-1]), flush=True)
    slowest = max(rows, key=lambda row: row["calls"])
    rows = [row | {f"x {slowest['calls']}": row["CPU s"] / slowest["CPU s"]} for row in rows]
    about = (
        f"{options.seconds:g} s at {options.mel}, batch {options.batch}, denoiser "
        f"{options.layers} x {options.channels}, encoder and auxiliary decoder included."
    )
    measure.report(options, "One call beside many", rows, about)


if __name__ == "__main__":
    runtime.run(main)
