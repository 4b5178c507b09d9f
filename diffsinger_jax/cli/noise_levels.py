"""Measures a voice's denoiser at each level of noise, beside linear estimates."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voice", required=True, help="a voice folder")
    parser.add_argument("--corpus", required=True, help="the prepared corpus of the voice")
    parser.add_argument("--split", default="validation")
    options = parser.parse_args(arguments)
    from diffsinger_jax.evaluation.noise_levels import measure_noise_levels
    from diffsinger_jax.pipeline.mix import numbered_as
    from diffsinger_jax.pipeline.prepared import open_corpus
    from diffsinger_jax.voices.voice import load_diffsinger

    voice = load_diffsinger(options.voice)
    corpus = numbered_as(open_corpus(options.corpus), voice.info)
    measured = measure_noise_levels(voice, corpus, split=options.split)
    print(f"{measured.table()}\n")
    print(f"residual variance over the voice's prior_scale: {measured.variance_ratio:.2f}")
