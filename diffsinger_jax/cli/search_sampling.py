"""Chooses how a voice samples on its validation split, and writes the choice into the voice."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from diffsinger_jax.evaluation.criteria import CRITERIA


def main(arguments: Sequence[str] | None = None) -> None:
    """Searches and writes the choice into the voice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voice", required=True, help="a voice folder; its sampling is replaced")
    parser.add_argument("--corpus", required=True, help="the prepared corpus of the voice")
    parser.add_argument("--split", default="validation")
    parser.add_argument(
        "--criterion", choices=CRITERIA, help="dnsmos where it is installed, else modulation"
    )
    options = parser.parse_args(arguments)
    from diffsinger_jax.evaluation.report import table
    from diffsinger_jax.evaluation.sampling_search import search, write_sampling
    from diffsinger_jax.pipeline.mix import numbered_as
    from diffsinger_jax.pipeline.prepared import open_corpus
    from diffsinger_jax.voices.sampling import sampling_to_dict
    from diffsinger_jax.voices.voice import load_diffsinger

    voice = load_diffsinger(options.voice)
    setting, rows = search(
        voice,
        numbered_as(open_corpus(options.corpus), voice.info),
        split=options.split,
        criterion=options.criterion,
    )
    print(f"\n{table(rows)}\n\nchosen: {json.dumps(sampling_to_dict(setting))}")
    write_sampling(options.voice, setting)
