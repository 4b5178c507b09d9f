"""What it adds to a training step that it is one step over many devices.

    python benchmarks/scaling.py --corpus prepared/pjs --config configs/pjs.py
        1, 2, 4 and 8 devices, the same rows on each; on a CPU they are made up, as in the tests

Weak scaling: with the devices the batch grows, so on devices of their own a step would take as long
on eight as on one. Made-up devices share the cores, so what is measured is the same work twice, in
turns: one step over all devices, and a step on each by itself at the same time, with no exchange.
Their ratio is what the exchange and the waiting for each other add. Columns:

    frames      of one device and step, with padding
    apart s     all devices at once, each a step of its own
    together s  one step over all devices
    adds %      together over apart, median of rounds in turn, less 1
    MB          gradients and losses that each device gives away and gets, as in a ring
    waits       apart over the same on one device: the devices over the cores, where they are shared
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import jax  # noqa: E402
import measure  # noqa: E402
from ml_collections import ConfigDict  # noqa: E402

from diffsinger_jax.cli import runtime  # noqa: E402

CHILD = "DIFFSINGER_SCALING_DEVICES"
"""Set in the processes that measure: a backend has one number of devices from its start."""


class Stepper:
    """Updates of stage 2 on some devices; a call starts a step and does not wait for it."""

    def __init__(self, config: ConfigDict, devices: list[jax.Device], rows: int):
        """Compiles for `rows` of the corpus's longest shape on each device."""
        from diffsinger_jax.engine.microbatches import microbatching
        from diffsinger_jax.engine.optimizers import make_optimizer
        from diffsinger_jax.engine.sharding import (
            batch_sharded,
            data_mesh,
            global_batch,
            replicated,
            shard,
        )
        from diffsinger_jax.engine.state import create_state, split_params
        from diffsinger_jax.engine.supervised import train_step
        from diffsinger_jax.engine.typed_config import as_dict
        from diffsinger_jax.engine.workdir import Workdir
        from diffsinger_jax.pipeline.collate import collate
        from diffsinger_jax.tasks.acoustic.config import acoustic_config
        from diffsinger_jax.tasks.acoustic.stages import denoiser_stage
        from diffsinger_jax.tasks.acoustic.task import initial_params, open_run
        from diffsinger_jax.tasks.shards import make_plan

        mesh = data_mesh(devices)
        workdir = Workdir(Path(tempfile.gettempdir()))
        run = open_run(acoustic_config(as_dict(config)), workdir)._replace(mesh=mesh)
        stage = denoiser_stage(run)
        optimizer = make_optimizer(run.config.denoiser)
        trained, frozen = split_params(initial_params(run), stage.trained)
        self.state = shard(create_state(trained, optimizer), replicated(mesh))
        self.frozen = shard(frozen, replicated(mesh))
        bucket = make_plan(run.config, run.corpus, 1)[1][-1]._replace(rows=rows * len(devices))
        fitting = run.corpus.lengths("train").frames <= bucket.frames
        source = run.corpus.source("train")
        examples = [source[int(i)] for i in fitting.nonzero()[0][: bucket.rows]]
        examples = [examples[i % len(examples)] for i in range(bucket.rows)]
        self.batch = global_batch(
            mesh,
            collate(examples, bucket, run.corpus.info.mel.n_mels, curves=run.corpus.curves),
        )
        self.frames = rows * bucket.frames
        self.numbers = sum(x.size for x in jax.tree.leaves(trained))

        def update(state: Any, frozen: Any, batch: Any) -> tuple[Any, dict]:
            return train_step(
                state,
                frozen,
                batch,
                jax.random.key(0),
                loss_fn=stage.loss_fn,
                optimizer=optimizer,
                ema_decay=0.999,
                microbatching=microbatching(mesh, 1),
            )

        jitted = jax.jit(
            update,
            in_shardings=(replicated(mesh), replicated(mesh), batch_sharded(mesh)),
            out_shardings=replicated(mesh),
            donate_argnums=0,
        )
        self._program = jitted.lower(self.state, self.frozen, self.batch).compile()

    def __call__(self) -> jax.Array:
        """The loss, on its way."""
        self.state, metrics = self._program(self.state, self.frozen, self.batch)
        return metrics["loss"]


def measure_devices(options: argparse.Namespace) -> dict[str, Any]:
    """One row of the table, on all devices of this process."""
    config, devices = measure.load_config(options.config, options.corpus), jax.devices()
    config.model.dtype = options.dtype
    steppers = [Stepper(config, [device], options.rows) for device in devices]
    calls: dict[str, Callable[[], Any]] = {
        "alone": lambda: jax.block_until_ready(steppers[0]()),
        "apart": lambda: jax.block_until_ready([stepper() for stepper in steppers]),
    }
    if len(devices) > 1:
        together = Stepper(config, devices, options.rows)
        calls["together"] = lambda: jax.block_until_ready(together())
    seconds = measure.in_turn(calls, options.repeats)
    row = {
        "devices": len(devices),
        "frames": steppers[0].frames,
        "apart s": measure.percentile(seconds["apart"], 0.5),
    }
    if len(devices) > 1:
        row["together s"] = measure.percentile(seconds["together"], 0.5)
        row["adds %"] = 100 * (measure.ratio(seconds["together"], seconds["apart"]) - 1)
        sent = 2 * (len(devices) - 1) / len(devices) * 4 * steppers[0].numbers
        row["MB"] = sent / 1e6
    return row | {"waits": measure.ratio(seconds["apart"], seconds["alone"])}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures every number of devices in a process of its own and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True, help="prepared")
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "pjs.py")
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--rows", type=int, default=2, help="of the longest shape, on each device")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--repeats", type=int, default=5, help="rounds that count")
    measure.add_report_flags(parser)
    options = parser.parse_args(arguments)
    runtime.keep_freed_memory()  # as run_train.py does
    if CHILD in os.environ:
        print(json.dumps(measure_devices(options)))
        return
    rows = []
    for devices in options.devices:
        flags = f"--xla_force_host_platform_device_count={devices}"
        environment = os.environ | {CHILD: str(devices), "XLA_FLAGS": flags}
        done = subprocess.run(
            [sys.executable, *sys.argv], env=environment, stdout=subprocess.PIPE, text=True
        )
        if done.returncode:
            sys.exit(done.returncode)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(measure.line(rows[-1]), flush=True)
    measure.report(options, "Weak scaling", rows, f"{options.repeats} rounds in turn.")


if __name__ == "__main__":
    runtime.run(main)
