"""Packs a prepared corpus and a config into one file, to train from on a bare machine.

    python benchmarks/pack_corpus.py --corpus prepared/pjs --config pjs_gpu --out pjs.npz

`benchmarks/accelerator.py` trains from it where neither TensorFlow Datasets nor a config file can
be read; `--config.corpus=pjs.npz` takes it in any training, too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import measure  # noqa: E402

from diffsinger_jax import resources  # noqa: E402
from diffsinger_jax.cli import runtime  # noqa: E402
from diffsinger_jax.errors import InputError  # noqa: E402
from diffsinger_jax.pipeline.packed import SUFFIX, write_packed  # noqa: E402
from diffsinger_jax.pipeline.prepared import open_corpus  # noqa: E402

MOST_MB = 40.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Packs, and says how large the file is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True, help="folder of a prepared corpus")
    parser.add_argument("--config", default="pjs_gpu", help="a file, or a name of one that ships")
    parser.add_argument("--out", type=Path, required=True, help=f"file, ending in {SUFFIX}")
    parser.add_argument("--most_mb", type=float, default=MOST_MB, help="refuse what is larger")
    flags = parser.parse_args(arguments)
    if flags.out.suffix != SUFFIX:
        raise InputError(f"--out is {flags.out}, expected a name that ends in {SUFFIX}")

    config = measure.load_config(Path(resources.find_config(flags.config)), flags.corpus).to_dict()
    corpus = open_corpus(flags.corpus, config["model"].get("curves", ()))
    write_packed(flags.out, corpus, config)
    megabytes = flags.out.stat().st_size / 1e6
    if megabytes > flags.most_mb:
        flags.out.unlink()
        raise InputError(
            f"the packed corpus takes {megabytes:.1f} MB, more than --most_mb {flags.most_mb:g}; "
            "prepare one with fewer songs or a longer hop, or raise --most_mb"
        )
    frames = int(corpus.lengths("train").frames.sum())
    minutes = corpus.info.mel.seconds(frames) / 60
    print(f"{flags.out}: {megabytes:.1f} MB, {minutes:.1f} minutes to train on")


if __name__ == "__main__":
    runtime.run(main)
