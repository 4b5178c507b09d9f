"""How fast the denoiser trains: one step, forward, backward and AdamW, beside plain PyTorch.

    python benchmarks/training.py
        8 rows of 800 frames, the 20 x 256 model, float32, beside PyTorch in turn
    python benchmarks/training.py --batch 8 64 --dtype float32 bfloat16 --peer none

Columns:

    compile s   to trace and compile ours, once for each row's shape
    p50, p95    seconds of one step
    frames/s    at p50
    MB          of the program: state, batch and what it needs between them
    GFLOP       by the formula: three times the forward pass, convolutions as they are written down
    peak %      of the FLOP/s of a large matmul, measured before and after: the best. Ours
                multiplies less than the formula counts on CPUs (Winograd's convolution)
    x eager     our time over the peer's, median of rounds in turn; below 1 ours is faster
    x compiled  the peer under torch.compile
    difference  of the losses, relative, after the rounds: both sides take the same steps

Both sides get x_t, t, condition and target, start from the same weights and keep their own state;
the bound on the gradient's norm and AdamW's numbers are the same.
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
import optax

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import measure  # noqa: E402
from sampling import make_params  # noqa: E402

from diffsinger_jax.cli import runtime  # noqa: E402
from diffsinger_jax.engine.optimizers import adamw  # noqa: E402
from diffsinger_jax.modules.trunks.lynxnet2 import LYNXNet2  # noqa: E402
from diffsinger_jax.modules.trunks.wavenet import WaveNet  # noqa: E402

LEARNING_RATE, BETAS, CLIP_NORM = 1e-3, (0.9, 0.98), 1.0
PEERS = ("eager", "compiled")
STEPS = 100
"""Of the schedule, from which t is drawn."""


class Inputs(NamedTuple):
    """x_t, target [B, T, M], t i32[B] and condition [B, T, H]."""

    x_t: jax.Array
    t: jax.Array
    cond: jax.Array
    target: jax.Array


def make_inputs(rows: int, frames: int, data: int, condition: int) -> Inputs:
    """Made-up numbers of the size that real ones have."""
    x_key, t_key, cond_key, target_key = jax.random.split(jax.random.key(0), 4)
    return Inputs(
        jax.random.normal(x_key, (rows, frames, data)),
        jax.random.randint(t_key, (rows,), 0, STEPS),
        jax.random.normal(cond_key, (rows, frames, condition)),
        jax.random.normal(target_key, (rows, frames, data)),
    )


def our_step(
    net: WaveNet | LYNXNet2, optimizer: optax.GradientTransformation
) -> Callable[..., Any]:
    """((params, optimizer's state), inputs) -> (the next ones, loss); to be jitted."""

    def loss_of(params: Any, inputs: Inputs) -> jax.Array:
        mask = jnp.ones(inputs.x_t.shape[:2], bool)
        t = inputs.t.astype(jnp.float32)
        output: Any = net.apply({"params": params}, inputs.x_t, t, inputs.cond, mask)
        return jnp.abs(output - inputs.target).mean()

    def step(state: tuple[Any, Any], inputs: Inputs) -> tuple[tuple[Any, Any], jax.Array]:
        params, memory = state
        loss, gradients = jax.value_and_grad(loss_of)(params, inputs)
        updates, memory = optimizer.update(gradients, memory, params)
        return (optax.apply_updates(params, updates), memory), loss

    return step


class Trainer:
    """Ours, with its state: a call is a step."""

    def __init__(self, program: Callable, params: Any, memory: Any, inputs: Inputs):
        """Takes the compiled step, whose state is donated."""
        self.program, self.inputs = program, inputs
        self.state = jax.tree.map(jnp.copy, (params, memory))

    def __call__(self) -> float:
        """One step; the loss before it."""
        self.state, loss = self.program(self.state, self.inputs)
        jax.block_until_ready(self.state)
        return float(loss)


def peer_steps(
    options: argparse.Namespace, params: Any, inputs: Inputs, dtype: str
) -> dict[str, Callable[[], float]]:
    """The same in PyTorch, by the names of `PEERS`."""
    import torch
    from peer_torch import denoiser_from_flax, training_step

    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    x_t, cond, target = (
        torch.from_numpy(np.array(np.swapaxes(x, -1, -2))).to(device)
        for x in (inputs.x_t, inputs.cond, inputs.target)
    )
    t = torch.from_numpy(np.array(inputs.t)).to(device)

    def caller(name: str) -> Callable[[], float]:
        denoiser = denoiser_from_flax(params, cycle=options.dilation_cycle).to(device).train()
        if name == "compiled":
            denoiser = torch.compile(denoiser, dynamic=False)
        step = training_step(
            denoiser, learning_rate=LEARNING_RATE, betas=BETAS, clip_norm=CLIP_NORM
        )

        def call() -> float:
            with torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
                return float(step(x_t, t, cond, target))

        return call

    return {name: caller(name) for name in PEERS if name in options.peer}


def measure_case(
    rows: int, frames: int, dtype: str, options: argparse.Namespace, peak: Callable[[], float]
) -> dict[str, Any]:
    """One row."""
    net = WaveNet(
        options.data, options.channels, options.layers, options.dilation_cycle, jnp.dtype(dtype)
    )
    params = make_params(net, options.hidden)
    inputs = make_inputs(rows, frames, options.data, options.hidden)
    optimizer = optax.chain(
        optax.clip_by_global_norm(CLIP_NORM),
        adamw(optax.constant_schedule(LEARNING_RATE), BETAS, weight_decay=0.0),
    )
    memory = optimizer.init(params)
    program, compile_sec, size = measure.compiled(
        jax.jit(our_step(net, optimizer), donate_argnums=0), (params, memory), inputs
    )
    calls: dict[str, Callable[[], float]] = {"ours": Trainer(program, params, memory, inputs)}
    peers = peer_steps(options, params, inputs, dtype) if options.peer else {}
    calls |= peers
    peaks = [peak()]
    seconds = measure.in_turn(calls, options.repeats)
    peaks.append(peak())

    step_sec = measure.percentile(seconds["ours"], 0.5)
    per_call, once = measure.denoiser_flops(
        rows * frames,
        data=options.data,
        condition=options.hidden,
        channels=options.channels,
        layers=options.layers,
    )
    flops = 3.0 * (per_call + once)
    row = {
        "device": jax.default_backend(),
        "batch": rows,
        "frames": frames,
        "dtype": dtype,
        "compile s": compile_sec,
        "p50 s": step_sec,
        "p95 s": measure.percentile(seconds["ours"], 0.95),
        "frames/s": rows * frames / step_sec,
        "MB": size / 1e6,
        "GFLOP": flops / 1e9,
        "peak %": 100 * flops / step_sec / max(peaks),
    }
    for name in peers:
        row[f"{name} s"] = measure.percentile(seconds[name], 0.5)
        row[f"x {name}"] = measure.ratio(seconds["ours"], seconds[name])
    if peers:
        ours, theirs = calls["ours"](), next(iter(peers.values()))()
        row["difference"] = abs(ours - theirs) / abs(theirs)
    return row


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures every combination and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, nargs="+", default=[8])
    parser.add_argument("--frames", type=int, nargs="+", default=[800], help="of each row")
    parser.add_argument("--dtype", nargs="+", choices=("float32", "bfloat16"), default=["float32"])
    parser.add_argument("--layers", type=int, default=20)
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--hidden", type=int, default=256, help="width of the condition")
    parser.add_argument("--data", type=int, default=80, help="mel bins")
    parser.add_argument("--dilation_cycle", type=int, default=4)
    parser.add_argument(
        "--peer", nargs="+", choices=(*PEERS, "none"), default=["eager"], help="PyTorch"
    )
    parser.add_argument("--repeats", type=int, default=5, help="rounds that count")
    measure.add_report_flags(parser)
    options = parser.parse_args(arguments)
    options.peer = [name for name in options.peer if name != "none"]
    if options.peer:
        measure.require_torch()

    runtime.keep_freed_memory()  # as run_train.py does
    peaks = {dtype: measure.matmul_peak(dtype) for dtype in options.dtype}
    rows = []
    for batch, frames, dtype in itertools.product(options.batch, options.frames, options.dtype):
        rows.append(measure_case(batch, frames, dtype, options, peaks[dtype]))
        print(measure.line(rows[-1]), flush=True)
    model = f"{options.layers} x {options.channels}"
    measure.report(
        options,
        f"Training step of the denoiser, {model}",
        rows,
        f"{options.repeats} rounds in turn.",
    )


if __name__ == "__main__":
    runtime.run(main)
