"""How fast mels are sampled: a sampler with a full-size denoiser, beside plain PyTorch in one run.

    python benchmarks/sampling.py
        10 s at 24 kHz / hop 128, k = 51, DDPM, the 20 x 256 model, beside PyTorch in turn
    python benchmarks/sampling.py --method ddpm unipc --steps 51 8 --batch 1 8 --peer none
        every combination, without PyTorch

Columns:

    steps       of the sampler; calls of the denoiser are one more for plms
    compile s   to trace and compile ours, once for each row's shape
    p50, p95    seconds of sampling once, from the condition to the mel
    frames/s    mel frames of all rows together in a second, at p50
    audio/s     seconds of singing made in a second, all rows together
    RTF         its inverse; with vocoder: the built-in vocoder after it, in turn with it
    MB          of the program: arguments, results and what it needs between them
    GFLOP       by the formula, convolutions as they are written down, condition projected once
    peak %      of the FLOP/s of a large matmul (shape 1024, on accelerators 8192), measured
                before, between and after: the best. Ours multiplies less than the formula counts on
                CPUs (Winograd's convolution), so that it may exceed 100
    x eager     our time over the peer's, median of rounds in turn; below 1 ours is faster
    x once      the same peer with the condition projected once, as ours has it
    x compiled  the peer under torch.compile
    difference  largest, of ours from the eager peer's result, of values in [-1, 1]

Both sides get condition, auxiliary mel, weights and every step's noise, and give z.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import measure  # noqa: E402

from diffsinger_jax.audio.vocoder import harmonic_plus_noise  # noqa: E402
from diffsinger_jax.cli import runtime  # noqa: E402
from diffsinger_jax.diffusion.processes import EpsProcess  # noqa: E402
from diffsinger_jax.diffusion.samplers import SAMPLERS  # noqa: E402
from diffsinger_jax.diffusion.sampling import shallow_start  # noqa: E402
from diffsinger_jax.diffusion.schedule import linear_schedule  # noqa: E402
from diffsinger_jax.errors import InputError  # noqa: E402
from diffsinger_jax.modules.trunks.lynxnet2 import LYNXNet2  # noqa: E402
from diffsinger_jax.modules.trunks.wavenet import WaveNet  # noqa: E402
from diffsinger_jax.types import MEL_SPECS, MelSpec  # noqa: E402

SCHEDULE = linear_schedule(100)
PEERS = ("eager", "once", "compiled")


class Case(NamedTuple):
    """One row of the table."""

    batch: int
    seconds: float
    method: str
    steps: int
    dtype: str


class Inputs(NamedTuple):
    """What both sides are given, f32.

    Attributes:
      cond: [B, T, H].
      start: [B, T, M], the auxiliary mel in [-1, 1].
      noise: [k + 1, B, T, M]: of step t, and that of the start last.
    """

    cond: jax.Array
    start: jax.Array
    noise: jax.Array


def make_inputs(rows: int, frames: int, data: int, condition: int, k_step: int) -> Inputs:
    """Made-up numbers of the size that real ones have; speed does not hang on them."""
    cond_key, start_key, noise_key = jax.random.split(jax.random.key(0), 3)
    return Inputs(
        jax.random.normal(cond_key, (rows, frames, condition)),
        0.3 * jax.random.normal(start_key, (rows, frames, data)),
        jax.random.normal(noise_key, (k_step + 1, rows, frames, data)),
    )


def make_params(net: WaveNet | LYNXNet2, condition: int) -> dict[str, Any]:
    """As after training: the last layer is not zero, and what it puts out has unit size."""
    x, mask = jnp.zeros((1, 8, net.data)), jnp.ones((1, 8), bool)
    cond = jnp.zeros((1, 8, condition))
    params = jax.jit(net.init)(jax.random.key(1), x, jnp.zeros(1), cond, mask)["params"]
    head = params["head"]["dense"]["kernel"]
    params["head"]["dense"]["kernel"] = 0.1 * jax.random.normal(jax.random.key(2), head.shape)
    return params


def our_sampler(net: WaveNet, case: Case, k_step: int) -> Callable[[Any, Inputs], jax.Array]:
    """(params, inputs) -> z [B, T, M], put together from the parts that a voice uses."""
    process, sampler = EpsProcess(SCHEDULE.path), SAMPLERS[case.method]

    def sample(params: Any, inputs: Inputs) -> jax.Array:
        def call(method: str, *arguments: Any) -> jax.Array:
            output: Any = net.apply({"params": params}, *arguments, method=method)
            return output

        mask = jnp.ones(inputs.start.shape[:2], bool)
        projected = call("project_condition", inputs.cond)
        embedded = call("embed_steps", jnp.arange(k_step, dtype=jnp.float32))

        def predict_x0(x_t: jax.Array, t: jax.Array) -> jax.Array:
            return process.x0(call("run", x_t, embedded[t], projected, mask), x_t, t, x_t)

        def noise_at(t: jax.Array) -> jax.Array:
            return inputs.noise[t]

        times = sampler.times(process.path, k_step, case.steps)
        first = jnp.asarray(times[0])
        x = shallow_start(process, inputs.start, first, noise_at(first + 1), "auxiliary")
        return sampler.run(process.path, predict_x0, x, noise_at, times)

    return sample


def peer_calls(
    options: argparse.Namespace, params: Any, inputs: Inputs, dtype: str
) -> dict[str, Callable[[], np.ndarray]]:
    """The same in PyTorch, by the names of `PEERS`."""
    import torch
    from peer_torch import DdpmSampler, denoiser_from_flax

    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    start, cond, noise = (
        torch.from_numpy(np.array(np.swapaxes(x, -1, -2))).to(device)
        for x in (inputs.start, inputs.cond, inputs.noise)
    )
    plain = denoiser_from_flax(params, cycle=options.dilation_cycle).to(device).eval()
    denoisers = {"eager": plain, "once": plain}
    if "compiled" in options.peer:
        denoisers["compiled"] = torch.compile(plain, dynamic=False)

    def caller(name: str) -> Callable[[], np.ndarray]:
        sampler = DdpmSampler(denoisers[name], SCHEDULE.alpha_bar, once=name == "once")

        def call() -> np.ndarray:
            with torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
                return np.swapaxes(sampler(start, cond, noise).cpu().numpy(), -1, -2)

        return call

    return {name: caller(name) for name in PEERS if name in options.peer}


def measure_case(
    case: Case, options: argparse.Namespace, params: Any, peak: Callable[[], float]
) -> dict[str, Any]:
    """One row."""
    spec: MelSpec = MEL_SPECS[options.mel]
    frames = round(case.seconds * spec.frames_per_sec)
    net = WaveNet(
        spec.n_mels, options.channels, options.layers, options.dilation_cycle, jnp.dtype(case.dtype)
    )
    inputs = make_inputs(case.batch, frames, spec.n_mels, options.hidden, options.k_step)
    sample, compile_sec, memory = measure.compiled(
        jax.jit(our_sampler(net, case, options.k_step)), params, inputs
    )
    calls: dict[str, Callable[[], Any]] = {"ours": lambda: np.asarray(sample(params, inputs))}
    comparable = case.method == "ddpm" and case.steps == options.k_step
    peers = peer_calls(options, params, inputs, case.dtype) if comparable and options.peer else {}

    if options.vocoder:
        f0 = jnp.full((case.batch, frames), 220.0)
        mel = 0.5 * inputs.start - 3.0
        sound = jax.jit(harmonic_plus_noise, static_argnums=2)
        calls["vocoder"] = lambda: np.asarray(sound(mel, f0, spec, key=jax.random.key(0)))
    peaks = [peak()]
    seconds = measure.in_turn(calls | peers, options.repeats)
    peaks.append(peak())

    sampling_sec = measure.percentile(seconds["ours"], 0.5)
    vocoder_sec = measure.percentile(seconds["vocoder"], 0.5) if options.vocoder else float("nan")
    sung_sec = case.batch * case.seconds
    per_call, once = measure.denoiser_flops(
        case.batch * frames,
        data=spec.n_mels,
        condition=options.hidden,
        channels=options.channels,
        layers=options.layers,
    )
    flops = per_call * (case.steps + SAMPLERS[case.method].extra_calls) + once
    row = {
        "device": jax.default_backend(),
        **case._asdict(),
        "compile s": compile_sec,
        "p50 s": sampling_sec,
        "p95 s": measure.percentile(seconds["ours"], 0.95),
        "frames/s": case.batch * frames / sampling_sec,
        "audio/s": sung_sec / sampling_sec,
        "RTF": sampling_sec / sung_sec,
        "RTF with vocoder": (sampling_sec + vocoder_sec) / sung_sec,
        "MB": memory / 1e6,
        "GFLOP": flops / 1e9,
        "peak %": 100 * flops / sampling_sec / max(peaks),
    }
    for name in peers:
        row[f"{name} s"] = measure.percentile(seconds[name], 0.5)
        row[f"x {name}"] = measure.ratio(seconds["ours"], seconds[name])
    if peers:
        first = next(iter(peers.values()))
        row["difference"] = float(np.abs(calls["ours"]() - first()).max())
    return row


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures every combination and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0], help="of singing")
    parser.add_argument("--method", nargs="+", choices=SAMPLERS, default=["ddpm"])
    parser.add_argument("--steps", type=int, nargs="+", help="of the sampler; all k by default")
    parser.add_argument("--dtype", nargs="+", choices=("float32", "bfloat16"), default=["float32"])
    parser.add_argument("--k_step", type=int, default=51, help="where sampling starts")
    parser.add_argument("--mel", choices=MEL_SPECS, default="24k_hop128")
    parser.add_argument("--layers", type=int, default=20)
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--hidden", type=int, default=256, help="width of the condition")
    parser.add_argument("--dilation_cycle", type=int, default=4)
    parser.add_argument(
        "--peer", nargs="+", choices=(*PEERS, "none"), default=["eager", "once"],
        help="PyTorch, for rows that are DDPM over all k steps",
    )  # fmt: skip
    parser.add_argument(
        "--vocoder", action=argparse.BooleanOptionalAction, default=True, help="time it too"
    )
    parser.add_argument("--repeats", type=int, default=5, help="rounds that count")
    measure.add_report_flags(parser)
    options = parser.parse_args(arguments)
    options.peer = [name for name in options.peer if name != "none"]
    if options.peer:
        measure.require_torch()
    if not 1 <= options.k_step <= SCHEDULE.steps:
        raise InputError(f"--k_step is 1 to {SCHEDULE.steps}, got {options.k_step}")
    steps = options.steps or [options.k_step]
    if wrong := [n for n in steps if not 1 <= n <= options.k_step]:
        raise InputError(f"--steps are 1 to --k_step, {options.k_step}, got {wrong[0]}")

    spec = MEL_SPECS[options.mel]
    net = WaveNet(spec.n_mels, options.channels, options.layers, options.dilation_cycle)
    params = make_params(net, options.hidden)
    peaks = {dtype: measure.matmul_peak(dtype) for dtype in options.dtype}
    rows = []
    for case in map(
        Case._make,
        itertools.product(options.batch, options.seconds, options.method, steps, options.dtype),
    ):
        rows.append(measure_case(case, options, params, peaks[case.dtype]))
        print(measure.line(rows[-1]), flush=True)
    model = f"{options.layers} x {options.channels}, {options.mel}, k = {options.k_step}"
    measure.report(
        options,
        f"Sampling, {model}",
        rows,
        f"The model: {model}; {options.repeats} rounds in turn.",
    )


if __name__ == "__main__":
    runtime.run(main)
