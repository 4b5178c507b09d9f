"""Trains the same on several layouts of devices, and says how far the params agree.

    python tests/tasks/acoustic/layouts.py --corpus prepared/pjs --folder /tmp/layouts --steps 300

1 process x 1 device, 1 x 8, 2 x 4, and 2 x 4 up to the middle, then 1 x 2: stage 1 of
configs/tiny.py, whose losses have dropout, kinks and pitch in them. --config.* flags go through.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from torture import Training

from diffsinger_jax.pipeline.batches import pad_rows
from diffsinger_jax.pipeline.plan import BatchPlan, default_bucket_edges, host_slice, make_buckets
from diffsinger_jax.pipeline.prepared import open_corpus

STAGE = "auxiliary"
LAYOUTS = {"1x1": (1, 1), "1x8": (1, 8), "2x4": (2, 4), "2x4_then_1x2": (1, 2)}
"""Processes and devices of each; the last is where the run ends that began on 2 x 4."""


def train(corpus: Path, workdir: Path, overrides: list[str], processes: int, devices: int) -> None:
    """On so many processes with so many devices each."""
    # A long sum is shared out among the threads of a process, in an order that follows from their
    # number. XLA makes NPROC of them, or as many as there are devices if that is more.
    os.environ["NPROC"] = "8"
    os.environ["XLA_FLAGS"] = (
        f"--xla_force_host_platform_device_count={devices} --xla_cpu_multi_thread_eigen=false"
    )
    Training(corpus, workdir, [*overrides, f"--stage={STAGE}"], processes).finish()


def final_params(workdir: Path, step: int) -> dict[str, np.ndarray]:
    """Params and averages of the last checkpoint, by path."""
    import jax
    import orbax.checkpoint as ocp

    folder = workdir / "checkpoints" / STAGE / str(step) / "default"
    reader = ocp.PyTreeCheckpointer()
    tree = reader.metadata(folder).item_metadata.tree
    as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
    state = reader.restore(folder, restore_args=as_numpy)
    kept = {"params": state["params"], "ema": state["ema"]}
    flat = jax.tree_util.tree_flatten_with_path(kept)[0]
    return {jax.tree_util.keystr(path): np.asarray(value) for path, value in flat}


def example_ids(corpus: Path, steps: int, hosts: int, multiple: int) -> list[list[int]]:
    """What all hosts of a layout read together in each step, without padding."""
    lengths = open_corpus(corpus).lengths("train")
    buckets = make_buckets(
        lengths.frames,
        lengths.phonemes,
        bucket_edges=default_bucket_edges(lengths.frames, 2),
        frames_per_batch=4096,
    )
    plan = BatchPlan(lengths.frames, buckets, seed=1234)
    ids = []
    for step in range(steps):
        batch = pad_rows(plan[step], multiple)
        rows = [host_slice(batch, host, hosts).indices for host in range(hosts)]
        ids.append([int(i) for i in np.concatenate(rows) if i >= 0])
    return ids


def distance(one: dict, other: dict) -> tuple[float, float, bool]:
    """|a - b| / |b| of the worst array and of all together; whether all bits are the same."""
    squares = [(np.sum((one[n] - other[n]) ** 2.0), np.sum(other[n] ** 2.0)) for n in one]
    worst = max(np.sqrt(d / max(s, 1e-30)) for d, s in squares)
    whole = np.sqrt(sum(d for d, _ in squares) / sum(s for _, s in squares))
    return float(worst), float(whole), all(np.array_equal(one[n], other[n]) for n in one)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--microbatches", type=int, default=8)
    parser.add_argument("--layouts", nargs="+", default=list(LAYOUTS), choices=list(LAYOUTS))
    options, rest = parser.parse_known_args()
    os.environ["JAX_PLATFORMS"] = "cpu"
    options.folder.mkdir(parents=True, exist_ok=True)
    corpus, steps = options.corpus.absolute(), options.steps
    overrides = [
        f"--config.microbatches={options.microbatches}",
        "--config.songs_shown=0",
        f"--config.evaluate_every_steps={steps}",
        f"--config.save_every_steps={steps}",
        "--config.log_every_steps=10",
        f"--config.{STAGE}.learning_rate.total_steps={steps}",
        *rest,
    ]
    results = {}
    for name in dict.fromkeys(["1x1", *options.layouts]):
        processes, devices = LAYOUTS[name]
        workdir = options.folder / name
        if name == "2x4_then_1x2":
            train(corpus, workdir, [*overrides, f"--config.auxiliary.steps={steps // 2}"], 2, 4)
        train(
            corpus, workdir, [*overrides, f"--config.auxiliary.steps={steps}"], processes, devices
        )
        results[name] = final_params(workdir, steps)
        worst, whole, same = distance(results[name], results["1x1"])
        print(
            f"{name} against 1x1 after {steps} steps: worst array {worst:.2e}, all {whole:.2e}, "
            f"{'the same bits' if same else 'not the same bits'}",
            flush=True,
        )
    ids = example_ids(corpus, steps, 1, 1)
    assert all(example_ids(corpus, steps, hosts, 8) == ids for hosts in (1, 2, 4, 8))
    print(f"the examples of all {steps} steps are the same on 1, 2, 4 and 8 hosts")


if __name__ == "__main__":
    main()
