"""How fast batches are read: the pace at which a training can be fed.

    python benchmarks/reading.py --corpus prepared/pjs --config configs/pjs.py

A row for each stage and number of hosts: one host's share of the batches, read as in training while
nothing else is done. A step that takes longer than "read s" does not wait. Columns:

    rows, frames  of the batch's longest shape, over all hosts, with padding
    read s        from one batch to the next, the mean over --batches after as many to warm up
    frames/s      real frames of all hosts together, at that pace
    MB            of one host's arrays, the mean
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import measure  # noqa: E402
from ml_collections import ConfigDict  # noqa: E402

from diffsinger_jax.cli import runtime  # noqa: E402


def measure_reading(config: ConfigDict, stage: str, hosts: int, batches: int) -> dict[str, Any]:
    """One row of the table."""
    import jax

    from diffsinger_jax.engine.typed_config import as_dict
    from diffsinger_jax.engine.workdir import Workdir
    from diffsinger_jax.pipeline.batches import train_batches
    from diffsinger_jax.pipeline.plan import PADDING_ROW
    from diffsinger_jax.tasks.acoustic.config import acoustic_config
    from diffsinger_jax.tasks.acoustic.task import open_run
    from diffsinger_jax.tasks.shards import make_plan

    run = open_run(acoustic_config(as_dict(config)), Workdir(Path(tempfile.gettempdir())))
    plan, buckets = make_plan(run.config, run.corpus, config[stage].frames_per_batch)
    read = train_batches(
        run.corpus,
        "train",
        plan,
        host_count=hosts,
        rows_multiple=hosts,
        read_threads=config.read_threads,
    )
    list(itertools.islice(read, batches))
    started = time.perf_counter()
    sizes = [
        sum(x.nbytes for x in jax.tree.leaves(batch)) for batch in itertools.islice(read, batches)
    ]
    read_sec = (time.perf_counter() - started) / batches
    lengths = run.corpus.lengths("train").frames
    frames = [
        lengths[plan[step].indices[plan[step].indices != PADDING_ROW]].sum()
        for step in range(batches, 2 * batches)
    ]
    return {
        "stage": stage,
        "hosts": hosts,
        "rows": buckets[-1].rows,
        "frames": buckets[-1].frames,
        "read s": read_sec,
        "frames/s": float(sum(frames)) / batches / read_sec,
        "MB": sum(sizes) / batches / 1e6,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures both stages on every number of hosts and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True, help="prepared")
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "pjs.py")
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--batches", type=int, default=100)
    measure.add_report_flags(parser)
    options = parser.parse_args(arguments)
    config = measure.load_config(options.config, options.corpus)
    rows = []
    for stage, hosts in itertools.product(("auxiliary", "denoiser"), options.hosts):
        rows.append(measure_reading(config, stage, hosts, options.batches))
        print(measure.line(rows[-1]), flush=True)
    measure.report(
        options,
        f"Reading, {options.config.name}",
        rows,
        f"{options.config.name}, {config.read_threads} threads.",
    )


if __name__ == "__main__":
    runtime.run(main)
