"""Measures a voice on a split of a prepared corpus, beside the recordings.

    diffsinger-jax evaluate --voice DIR --corpus PREPARED --split test --out DIR --html DIR \\
        --recordings RAW --k_step 10 25 51 100 --temperature 0 1
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffsinger_jax.cli.number_flags import depth
from diffsinger_jax.errors import InputError


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voice", required=True, help="a voice folder")
    parser.add_argument("--corpus", required=True, help="a prepared corpus")
    parser.add_argument("--split", default="test")
    parser.add_argument("--out", type=Path, help="folder for report and pictures")
    parser.add_argument("--html", type=Path, help="folder for a page to hear and see it all")
    parser.add_argument(
        "--recordings", type=Path, help="folder of the sound files the corpus was prepared from"
    )
    parser.add_argument(
        "--k_step", type=depth, nargs="+", help="where shallow diffusion starts, several to compare"
    )
    parser.add_argument(
        "--temperature", type=float, nargs="+", help="factors on the noise; the voice's own"
    )
    parser.add_argument(
        "--classifier_split", default="validation", help="songs the classifier of patches learns"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--frames_per_batch", type=int, default=4096, help="bounds memory, changes no number"
    )
    parser.add_argument("--mel_only", action="store_true", help="leave the sound out: much faster")
    parser.add_argument(
        "--expression",
        action="store_true",
        help="measure pitch and timing as performances are, and draw them; --split may name "
        "several, as validation,test",
    )
    parser.add_argument("--wavs", action="store_true", help="keep the sound of every piece")
    flags = parser.parse_args(arguments)
    if flags.out is None and flags.html is None:
        raise InputError("nothing would be written; give --out DIR, --html DIR, or both")
    if flags.html is not None and flags.mel_only:
        raise InputError("--html is a page to hear, --mel_only renders no sound; leave one out")
    from diffsinger_jax.evaluation.evaluate import Options, evaluate
    from diffsinger_jax.evaluation.report import make_folder
    from diffsinger_jax.pipeline.prepared import open_corpus
    from diffsinger_jax.voices.voice import load_voice

    voice, corpus = load_voice(flags.voice), open_corpus(flags.corpus)
    for folder in filter(None, (flags.out, flags.html)):
        make_folder(folder)
    if flags.expression:
        _show(_expression(flags, voice, corpus), flags.out)
        return
    options = Options(
        k_steps=flags.k_step,
        temperatures=flags.temperature,
        seed=flags.seed,
        frames_per_batch=flags.frames_per_batch,
        sound=not flags.mel_only,
        wavs=flags.wavs,
        recordings=flags.recordings,
        classifier_split=flags.classifier_split,
        page=flags.html,
    )
    tables = evaluate(voice, corpus, flags.split, flags.out, options)
    _show(tables, flags.out, flags.html)


def _expression(flags: argparse.Namespace, voice: Any, corpus: Any) -> dict[str, Any]:
    from diffsinger_jax.evaluation.expression import evaluate_expression

    if flags.html is not None:
        raise InputError("--expression renders no sound, --html is a page to hear; leave one out")
    return evaluate_expression(
        voice,
        corpus,
        flags.split.split(","),
        flags.out,
        seed=flags.seed,
        frames_per_batch=flags.frames_per_batch,
    )


def _show(tables: dict[str, Any], *folders: Path | None) -> None:
    from diffsinger_jax.evaluation.report import table

    for title, rows in tables.items():
        print(f"\n{title}\n\n{table(rows)}")
    print(f"\nwritten to {' and '.join(str(folder) for folder in folders if folder)}")
