"""Chooses how a voice samples: k, number of steps and temperature, on the validation split.

The criterion has a name and is written down (`CRITERIA`), so that nobody has to trust an ear or
the test songs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from diffsinger_jax import cli
from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.errors import InputError
from diffsinger_jax.evaluation.report import Row, table
from diffsinger_jax.evaluation.systems import Singer, mels_of
from diffsinger_jax.metrics import measures as metrics
from diffsinger_jax.pipeline.mix import numbered_as
from diffsinger_jax.pipeline.prepared import Example, PreparedCorpus, open_corpus
from diffsinger_jax.voices.voice import VOICE_FILE, Voice, load_voice

MCD_RATIO = 1.2
"""Over the auxiliary mel's. A perfect sampler of independent errors would have about 1.4."""
K_STEPS = (5, 10, 25, 50)
TEMPERATURES = (0.4, 0.6, 0.8, 1.0)
MOST_STEPS = 20
"""A walk visits at most so many of its k steps."""


class SamplingSetting(NamedTuple):
    """What a voice's `sampling` holds."""

    k_step: int
    steps: int
    temperature: float


def by_detail(row: Row, auxiliary: Row) -> tuple[float, ...]:
    """Detail nearest to the recordings', in time and frequency, whichever is further off.

    Among the settings whose MCD is at most `MCD_RATIO` times the auxiliary mel's; if there is
    none, the lowest MCD.
    """
    if row["mcd"] > MCD_RATIO * auxiliary["mcd"]:
        return 1.0, row["mcd"]
    return 0.0, max(abs(math.log(row[name])) for name in ("detail_time", "detail_frequency"))


def by_mcd(row: Row, auxiliary: Row) -> tuple[float, ...]:
    """The lowest mel cepstral distortion."""
    return (row["mcd"],)


CRITERIA: Mapping[str, Callable[[Row, Row], tuple[float, ...]]] = {
    "detail": by_detail,
    "mcd": by_mcd,
}
"""(measures of a setting, of the auxiliary mel) -> what the chosen setting has the least of."""


def measure_mels(
    voice: Singer, examples: Sequence[Example], *, k_step: int, frames_per_batch: int, **how: float
) -> Row:
    """MCD and detail of a voice's mels, with true durations and f0; `how` goes to `sample_mel`."""
    mels = mels_of(voice, examples, k_step=k_step, seed=0, frames_per_batch=frames_per_batch, **how)
    parts = [
        {
            "mcd": metrics.mcd(true["mel"], mel, voice.info.mel),
            **metrics.detail(true["mel"], mel, voice.info.mel),
        }
        for true, mel in zip(examples, mels, strict=True)
    ]
    return {name: m.compute() for name, m in metrics.merge_all(parts).items()}


def search(
    voice: Voice,
    corpus: PreparedCorpus,
    *,
    split: str = "validation",
    criterion: str = "detail",
    k_steps: Sequence[int] = K_STEPS,
    temperatures: Sequence[float] = TEMPERATURES,
    frames_per_batch: int = 4096,
) -> tuple[SamplingSetting, dict[str, Row]]:
    """Measures all settings on the mels of a split, with true durations and f0.

    Args:
      corpus: numbered as the voice is.
      criterion: a name in `CRITERIA`.
      k_steps: where walks start; those beyond the voice's schedule are left out.

    Returns:
      The chosen setting, and a row of measures for each setting and for the auxiliary mel.

    Raises:
      InputError: if no k is within the schedule.
    """
    examples = list(corpus.source(split))
    longest = int(voice.schedule["steps"])
    if not (possible := [k for k in k_steps if 1 <= k <= longest]):
        raise InputError(f"k is 1 to {longest} for this voice, got {', '.join(map(str, k_steps))}")
    auxiliary = measure_mels(voice, examples, k_step=0, frames_per_batch=frames_per_batch)
    rows: dict[str, Row] = {"auxiliary mel": auxiliary}
    measured: dict[SamplingSetting, Row] = {}
    for k_step, temperature in itertools.product(possible, temperatures):
        setting = SamplingSetting(k_step, min(k_step, MOST_STEPS), temperature)
        row = measure_mels(voice, examples, frames_per_batch=frames_per_batch, **setting._asdict())
        measured[setting] = rows[f"k={k_step} temperature={temperature}"] = row
        print(
            f"{setting}: MCD {row['mcd']:.2f}, detail {row['detail_time']:.2f} in time", flush=True
        )
    least = CRITERIA[criterion]
    return min(measured, key=lambda setting: least(measured[setting], auxiliary)), rows


def write_sampling(voice: str | os.PathLike, sampling: Mapping[str, float]) -> None:
    """Replaces these fields of a voice's `sampling`; its weights are not touched.

    Args:
      voice: its folder, which `load_voice` has read.
      sampling: as {"k_step": 51, "steps": 20}.
    """
    file = Path(voice) / VOICE_FILE
    description = json.loads(file.read_text(encoding="utf-8"))
    description["sampling"] |= sampling
    with atomic_write(file) as partial:
        partial.write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Searches and writes the choice into the voice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voice", required=True, help="a voice folder; its sampling is replaced")
    parser.add_argument("--corpus", required=True, help="the prepared corpus of the voice")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--criterion", choices=CRITERIA, default="detail")
    options = parser.parse_args(arguments)
    voice = load_voice(options.voice)
    setting, rows = search(
        voice,
        numbered_as(open_corpus(options.corpus), voice.info),
        split=options.split,
        criterion=options.criterion,
    )
    print(f"\n{table(rows)}\n\nchosen: {json.dumps(setting._asdict())}")
    write_sampling(options.voice, setting._asdict())


if __name__ == "__main__":
    cli.run(main)
