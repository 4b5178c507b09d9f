"""Chooses how a voice samples: k, number of steps and temperature, on the validation split.

The criterion is written down, so that nobody has to trust an ear or the test songs: among the
settings whose MCD is at most `MCD_RATIO` times the auxiliary mel's, the one whose detail is
nearest to the recordings', in time and in frequency, whichever is further off.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
from collections.abc import Sequence
from typing import NamedTuple

from diffsinger_jax import cli
from diffsinger_jax.evaluation import metrics
from diffsinger_jax.evaluation.report import Row, table
from diffsinger_jax.evaluation.systems import mels_of
from diffsinger_jax.pipeline.prepared import PreparedCorpus, open_corpus
from diffsinger_jax.synthesis.voice import Voice, load_voice, save_voice

MCD_RATIO = 1.2
"""Over the auxiliary mel's. A perfect sampler of independent errors would have about 1.4."""
K_STEPS = (5, 10, 25, 50)
TEMPERATURES = (0.4, 0.6, 0.8, 1.0)
MOST_STEPS = 20
"""A walk visits at most so many of its k steps."""


class Setting(NamedTuple):
    """What a voice's `sampling` holds."""

    k_step: int
    steps: int
    temperature: float


def search(
    voice: Voice,
    corpus: PreparedCorpus,
    *,
    split: str = "validation",
    k_steps: Sequence[int] = K_STEPS,
    temperatures: Sequence[float] = TEMPERATURES,
    frames_per_batch: int = 4096,
) -> tuple[Setting, dict[str, Row]]:
    """Measures all settings on the mels of a split, with true durations and f0.

    Returns:
      The chosen setting, and a row of measures for each setting and for the auxiliary mel. If no
      setting keeps the MCD, the one with the lowest MCD is chosen.
    """
    examples = list(corpus.source(split))
    longest = int(voice.schedule["steps"])

    def measure(k_step: int, **how) -> Row:
        mels = mels_of(
            voice, examples, k_step=k_step, seed=0, frames_per_batch=frames_per_batch, **how
        )
        parts = [
            {
                "mcd": metrics.mcd(true["mel"], mel, voice.info.mel),
                **metrics.detail(true["mel"], mel, voice.info.mel),
            }
            for true, mel in zip(examples, mels, strict=True)
        ]
        return {name: m.compute() for name, m in metrics.merge_all(parts).items()}

    auxiliary = measure(0)
    rows: dict[str, Row] = {"auxiliary mel": auxiliary}
    measured: dict[Setting, Row] = {}
    for k_step, temperature in itertools.product(k_steps, temperatures):
        if k_step > longest:
            continue
        setting = Setting(k_step, min(k_step, MOST_STEPS), temperature)
        row = measure(k_step, steps=setting.steps, temperature=temperature)
        measured[setting] = rows[f"k={k_step} temperature={temperature}"] = row
        print(
            f"{setting}: MCD {row['mcd']:.2f}, detail {row['detail_time']:.2f} in time", flush=True
        )

    def distance_from_one(setting: Setting) -> float:
        row = measured[setting]
        return max(abs(math.log(row[name])) for name in ("detail_time", "detail_frequency"))

    near = [s for s, row in measured.items() if row["mcd"] <= MCD_RATIO * auxiliary["mcd"]]
    if not near:
        return min(measured, key=lambda s: measured[s]["mcd"]), rows
    return min(near, key=distance_from_one), rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Searches and writes the choice into the voice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voice", required=True, help="a voice folder; its sampling is replaced")
    parser.add_argument("--corpus", required=True, help="the prepared corpus of the voice")
    parser.add_argument("--split", default="validation")
    options = parser.parse_args(arguments)
    voice = load_voice(options.voice)
    setting, rows = search(voice, open_corpus(options.corpus), split=options.split)
    print(f"\n{table(rows)}\n\nchosen: {json.dumps(setting._asdict())}")
    save_voice(options.voice, dataclasses.replace(voice, sampling=setting._asdict()))


if __name__ == "__main__":
    cli.run(main)
