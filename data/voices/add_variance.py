"""Packs a trained variance model into a voice, measures it, and says so on the voice's card.

    python data/voices/add_variance.py --variance runs/variance/variance \\
        --corpus prepared/pjs --voice data/voices/pjs

The weights are stored in bfloat16, and what is measured is what is stored. The model is given the
least pitch correction by which its notes are in tune as often as the singer's on validation songs.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import jax  # noqa: E402

from diffsinger_jax.cli import runtime  # noqa: E402
from diffsinger_jax.evaluation.expression import evaluate_expression, least_correction  # noqa: E402
from diffsinger_jax.evaluation.report import table  # noqa: E402
from diffsinger_jax.pipeline.mix import numbered_as  # noqa: E402
from diffsinger_jax.pipeline.prepared import open_corpus  # noqa: E402
from diffsinger_jax.voices.sampling import sampling_to_dict  # noqa: E402
from diffsinger_jax.voices.variance import FOLDER, load_variance, save_variance  # noqa: E402
from diffsinger_jax.voices.voice import load_voice  # noqa: E402

HEADING = "## Durations and pitch"
SECTION = """\
{heading}

Of the variance model in `{folder}`: {parameters:,} parameters, stored in bfloat16; it samples with
{sampling}, and {correction:.0%} of each note's distance from the score is taken back: the least by
which notes are in tune as often as the singer's on validation songs. Without it (`sing --variance
off`) the voice sings by its own regression. Measured on {splits}; docs/expression.md says what each
column is.

{tables}
"""


def main() -> None:
    """Packs, measures, writes the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variance", required=True, help="folder that training wrote")
    parser.add_argument("--corpus", required=True, help="a prepared corpus")
    parser.add_argument("--voice", required=True, type=Path, help="voice folder to change")
    parser.add_argument("--splits", nargs="+", default=["validation", "test"])
    options = parser.parse_args()
    runtime.remember_compiled_programs()
    save_variance(options.voice / FOLDER, load_variance(options.variance), dtype="bfloat16")
    voice = load_voice(options.voice)
    assert voice.variance is not None
    corpus = open_corpus(options.corpus)
    validation = list(numbered_as(corpus, voice.info).source("validation"))
    own = dataclasses.replace(voice.variance, correction=least_correction(voice, validation))
    save_variance(options.voice / FOLDER, own, dtype="bfloat16")
    voice = dataclasses.replace(voice, variance=own)
    tables = evaluate_expression(voice, corpus, options.splits, None)
    section = SECTION.format(
        heading=HEADING,
        folder=FOLDER,
        parameters=sum(x.size for x in jax.tree.leaves(own.params)),
        sampling=", ".join(f"{k} {v}" for k, v in sampling_to_dict(own.sampling).items()),
        correction=own.correction,
        splits=" and ".join(options.splits),
        tables="\n\n".join(f"### {title}\n\n{table(rows)}" for title, rows in tables.items()),
    )
    card = options.voice / "CARD.md"
    before, _, _ = card.read_text(encoding="utf-8").partition(HEADING)
    card.write_text(f"{before.rstrip()}\n\n{section}", encoding="utf-8")
    print(section)


if __name__ == "__main__":
    runtime.run(main)
