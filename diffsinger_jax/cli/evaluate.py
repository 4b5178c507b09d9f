"""Measures a voice on a split of a prepared corpus, beside the recordings.

    diffsinger-jax evaluate --voice DIR --corpus PREPARED --split test --out DIR \\
        [--k_step 10 25 51 100] [--temperature 0 1]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from diffsinger_jax.errors import InputError


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voice", required=True, help="a voice folder")
    parser.add_argument("--corpus", required=True, help="a prepared corpus")
    parser.add_argument("--split", default="test")
    parser.add_argument("--out", required=True, type=Path, help="folder for report and pictures")
    parser.add_argument(
        "--k_step", type=int, nargs="+", help="where shallow diffusion starts, several to compare"
    )
    parser.add_argument(
        "--temperature", type=float, nargs="+", help="factors on the noise; the voice's own"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--frames_per_batch", type=int, default=4096, help="bounds memory, changes no number"
    )
    parser.add_argument("--mel_only", action="store_true", help="leave the sound out: much faster")
    parser.add_argument("--wavs", action="store_true", help="keep the sound of every piece")
    options = parser.parse_args(arguments)
    from diffsinger_jax.evaluation.evaluate import evaluate
    from diffsinger_jax.evaluation.report import table
    from diffsinger_jax.pipeline.prepared import open_corpus
    from diffsinger_jax.voices.voice import load_voice

    voice, corpus = load_voice(options.voice), open_corpus(options.corpus)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the folder {options.out} cannot be made ({error.strerror}); give one you may write to"
        ) from error
    tables = evaluate(
        voice,
        corpus,
        options.split,
        options.out,
        k_steps=options.k_step,
        temperatures=options.temperature,
        seed=options.seed,
        frames_per_batch=options.frames_per_batch,
        sound=not options.mel_only,
        wavs=options.wavs,
    )
    for title, rows in tables.items():
        print(f"\n{title}\n\n{table(rows)}")
    print(f"\nwritten to {options.out}")
