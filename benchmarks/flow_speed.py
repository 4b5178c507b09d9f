"""How fast a flow's LYNXNet2 samples and trains, beside plain PyTorch in one run.

    python benchmarks/flow_speed.py
        10 s at 44.1 kHz / hop 512 in 20 Euler steps, the 1024 x 6 model of openvpi_acoustic;
        then its training step, 4 rows of 400 frames
    python benchmarks/flow_speed.py --batch 1 32 --dtype bfloat16 --peer none

Columns:

    what        sampling from the condition to the mel, or a step: forward, backward and AdamW
    p50, p95    seconds
    RTF         of sampling: seconds of computing for a second of singing
    GFLOP       by the formula: the matmuls, and the depthwise convolutions as they are written down
    peak %      of the FLOP/s of a large matmul (shape 1024, on accelerators 8192), measured before
                and after: the best
    x eager     our time over the peer's, median of rounds in turn; below 1 ours is faster
    difference  largest, of ours from the peer's z; of a step, of the losses, relative
    load        runs that waited for the machine's cores besides, at the start, by its own count
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import measure  # noqa: E402
import training  # noqa: E402
from sampling import make_params  # noqa: E402

from diffsinger_jax.cli import runtime  # noqa: E402
from diffsinger_jax.diffusion.processes import PROCESSES, Process  # noqa: E402
from diffsinger_jax.diffusion.sampling import Sampling, shallow_start  # noqa: E402
from diffsinger_jax.engine.optimizers import adamw  # noqa: E402
from diffsinger_jax.modules.trunks.lynxnet2 import LYNXNet2  # noqa: E402
from diffsinger_jax.types import MEL_SPECS  # noqa: E402

STRAIGHT = {"name": "straight", "time_scale": 1000.0}


class Inputs(NamedTuple):
    """Condition [B, T, H], auxiliary mel in [-1, 1] and noise [B, T, M]."""

    cond: jax.Array
    start: jax.Array
    noise: jax.Array


def make_inputs(rows: int, frames: int, data: int, condition: int) -> Inputs:
    """Made-up numbers of the size that real ones have; speed does not hang on them."""
    keys = jax.random.split(jax.random.key(0), 3)
    return Inputs(
        jax.random.normal(keys[0], (rows, frames, condition)),
        0.3 * jax.random.normal(keys[1], (rows, frames, data)),
        jax.random.normal(keys[2], (rows, frames, data)),
    )


def flow_process() -> Process:
    """The rectified flow's, which is told 1000 t."""
    kind = PROCESSES["velocity"]
    return kind.make(kind.path(STRAIGHT), STRAIGHT, {})


def our_sampler(net: LYNXNet2, sampling: Sampling) -> Callable[[Any, Inputs], jax.Array]:
    """(params, inputs) -> z [B, T, M], put together from the parts that a voice uses."""
    process = flow_process()
    path = process.path
    known = jnp.asarray(sampling.model_times(path))

    def sample(params: Any, inputs: Inputs) -> jax.Array:
        def call(method: str, *arguments: Any) -> Any:
            return net.apply({"params": params}, *arguments, method=method)

        mask = jnp.ones(inputs.start.shape[:2], bool)
        projected = call("project_condition", inputs.cond)
        embedded = call("embed_steps", process.trunk_time(known))

        def velocity(x_t: jax.Array, t: jax.Array) -> jax.Array:
            return call("run", x_t, embedded[jnp.searchsorted(known, t)], projected, mask)

        first = jnp.asarray(path.at_depth(sampling.k_step))
        x = shallow_start(process, inputs.start, first, inputs.noise, "auxiliary")
        return sampling.sampler.run(path, velocity, x, lambda t: inputs.noise, sampling.times(path))

    return sample


def call_flops(frames: int, options: argparse.Namespace) -> tuple[float, float]:
    """FLOPs of one call, and of projecting the condition once."""
    c, data = options.channels, options.data
    layer = c * 2 * c + c * 2 * c + c * c + options.kernel_size * c
    call = 2.0 * frames * (data * c + options.layers * layer + c * data)
    return call, 2.0 * frames * options.hidden * c


def sampling_row(
    rows: int, dtype: str, options: argparse.Namespace, params: Any, peak: Callable[[], float]
) -> dict[str, Any]:
    """One row of sampling."""
    frames = round(options.seconds * MEL_SPECS[options.mel].frames_per_sec)
    net, inputs = make_net(options, dtype), make_inputs(rows, frames, options.data, options.hidden)
    sampling = Sampling(0.6, options.steps, "euler")
    program, compile_sec, memory = measure.compiled(
        jax.jit(our_sampler(net, sampling)), params, inputs
    )
    calls: dict[str, Callable[[], Any]] = {"ours": lambda: np.asarray(program(params, inputs))}
    if options.peer != "none":
        calls["eager"] = peer_sampling(params, inputs, options.steps, dtype)
    call, once = call_flops(rows * frames, options)
    flops = options.steps * call + once
    row = timed("sampling", rows, dtype, calls, flops, peak, options.repeats)
    row |= {"RTF": row["p50 s"] / options.seconds / rows, "compile s": compile_sec}
    if "eager" in calls:
        row["difference"] = float(np.abs(calls["ours"]() - calls["eager"]()).max())
    return row | {"MB": memory / 1e6}


def training_row(
    rows: int, dtype: str, options: argparse.Namespace, params: Any, peak: Callable[[], float]
) -> dict[str, Any]:
    """One row of a training step."""
    net = make_net(options, dtype)
    inputs = training.make_inputs(rows, options.frames, options.data, options.hidden)
    optimizer = optax.chain(
        optax.clip_by_global_norm(training.CLIP_NORM),
        adamw(optax.constant_schedule(training.LEARNING_RATE), training.BETAS, weight_decay=0.0),
    )
    memory = optimizer.init(params)
    step = jax.jit(training.our_step(net, optimizer), donate_argnums=0)
    program, compile_sec, size = measure.compiled(step, (params, memory), inputs)
    trainer = training.Trainer(program, params, memory, inputs)
    calls: dict[str, Callable[[], Any]] = {"ours": trainer}
    if options.peer != "none":
        calls["eager"] = peer_step(params, inputs, dtype)
    flops = 3.0 * sum(call_flops(rows * options.frames, options))
    row = timed("training step", rows, dtype, calls, flops, peak, options.repeats)
    row["compile s"] = compile_sec
    if "eager" in calls:
        ours, theirs = calls["ours"](), calls["eager"]()
        row["difference"] = abs(ours - theirs) / abs(theirs)
    return row | {"MB": size / 1e6}


def timed(
    what: str,
    rows: int,
    dtype: str,
    calls: dict[str, Callable[[], Any]],
    flops: float,
    peak: Callable[[], float],
    repeats: int,
) -> dict[str, Any]:
    """A row with the times of ours and of the peer, in turn."""
    load = os.getloadavg()[0]
    peaks = [peak()]
    seconds = measure.in_turn(calls, repeats)
    peaks.append(peak())
    middle = measure.percentile(seconds["ours"], 0.5)
    row: dict[str, Any] = {
        "what": what,
        "device": jax.default_backend(),
        "batch": rows,
        "dtype": dtype,
        "p50 s": middle,
        "p95 s": measure.percentile(seconds["ours"], 0.95),
        "GFLOP": flops / 1e9,
        "peak %": 100 * flops / middle / max(peaks),
        "load": load,
    }
    if "eager" in calls:
        row["eager s"] = measure.percentile(seconds["eager"], 0.5)
        row["x eager"] = measure.ratio(seconds["ours"], seconds["eager"])
        row["eager peak %"] = 100 * flops / row["eager s"] / max(peaks)
    return row


def _tensors(*arrays: jax.Array) -> list[Any]:
    import torch

    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    return [torch.from_numpy(np.array(x)).to(device) for x in arrays]


def peer_sampling(params: Any, inputs: Inputs, steps: int, dtype: str) -> Callable[[], np.ndarray]:
    """The same in PyTorch."""
    import torch
    from peer_torch_flow import EulerSampler, lynxnet2_from_flax

    cond, start, noise = _tensors(*inputs)
    sampler = EulerSampler(lynxnet2_from_flax(params).to(cond.device).eval(), 0.4, steps)

    def call() -> np.ndarray:
        with torch.autocast(cond.device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
            return sampler(start, cond, noise).cpu().numpy()

    return call


def peer_step(params: Any, inputs: training.Inputs, dtype: str) -> Callable[[], float]:
    """The same in PyTorch."""
    import torch
    from peer_torch import training_step
    from peer_torch_flow import lynxnet2_from_flax

    x_t, t, cond, target = _tensors(*inputs)
    denoiser = lynxnet2_from_flax(params).to(cond.device).train()
    step = training_step(
        denoiser,
        learning_rate=training.LEARNING_RATE,
        betas=training.BETAS,
        clip_norm=training.CLIP_NORM,
    )

    def call() -> float:
        with torch.autocast(cond.device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
            return float(step(x_t, t, cond, target))

    return call


def make_net(options: argparse.Namespace, dtype: str) -> LYNXNet2:
    """The network of the flags."""
    return LYNXNet2(
        options.data,
        options.channels,
        options.layers,
        kernel_size=options.kernel_size,
        dtype=jnp.dtype(dtype),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures every combination and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, nargs="+", default=[1], help="rows that are sampled")
    parser.add_argument("--seconds", type=float, default=10.0, help="of singing in a row")
    parser.add_argument("--steps", type=int, default=20, help="of Euler's method")
    parser.add_argument("--train_batch", type=int, nargs="*", default=[4])
    parser.add_argument("--frames", type=int, default=400, help="of a row that is trained on")
    parser.add_argument("--dtype", nargs="+", choices=("float32", "bfloat16"), default=["float32"])
    parser.add_argument("--mel", choices=MEL_SPECS, default="44k_hop512")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--channels", type=int, default=1024)
    parser.add_argument("--hidden", type=int, default=384, help="width of the condition")
    parser.add_argument("--kernel_size", type=int, default=31)
    parser.add_argument("--peer", choices=("eager", "none"), default="eager", help="PyTorch")
    parser.add_argument("--repeats", type=int, default=5, help="rounds that count")
    measure.add_report_flags(parser)
    options = parser.parse_args(arguments)
    if options.peer != "none":
        measure.require_torch()
    options.data = MEL_SPECS[options.mel].n_mels
    runtime.keep_freed_memory()
    params = make_params(make_net(options, "float32"), options.hidden)
    peaks = {dtype: measure.matmul_peak(dtype) for dtype in options.dtype}
    rows = []
    for row_of, sizes in ((sampling_row, options.batch), (training_row, options.train_batch)):
        for size, dtype in itertools.product(sizes, options.dtype):
            rows.append(row_of(size, dtype, options, params, peaks[dtype]))
            print(measure.line(rows[-1]), flush=True)
    model = f"{options.channels} x {options.layers}"
    about = (
        f"{options.seconds:g} s of {options.mel} in {options.steps} Euler steps from t = 0.4, and "
        f"training on rows of {options.frames} frames; {options.repeats} rounds in turn."
    )
    measure.report(options, f"LYNXNet2, {model}", rows, about)


if __name__ == "__main__":
    runtime.run(main)
