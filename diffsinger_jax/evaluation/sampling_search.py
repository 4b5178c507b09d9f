"""Chooses how a voice samples: k, number of steps and temperature, on the validation split.

The criterion has a name and is written down (`CRITERIA`), so that nobody has to trust an ear or
the test songs. The default ones punish noise and blur both; MCD, which no sampling can lower, is
there to compare with. Singing without diffusion (k = 0) is a candidate like any other.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from diffsinger_jax import cli
from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.errors import InputError
from diffsinger_jax.evaluation.report import Row, table
from diffsinger_jax.evaluation.systems import Singer, Sung, mels_of, vocode
from diffsinger_jax.metrics import dnsmos
from diffsinger_jax.metrics import measures as metrics
from diffsinger_jax.metrics.modulation import modulation
from diffsinger_jax.pipeline.mix import numbered_as
from diffsinger_jax.pipeline.prepared import Example, PreparedCorpus, open_corpus
from diffsinger_jax.voices.voice import VOICE_FILE, Voice, load_voice

K_STEPS = (0, 5, 10, 25, 50)
TEMPERATURES = (0.0, 0.4, 0.7, 1.0)
MOST_STEPS = 20
"""A sampler takes at most so many of the k steps."""
DNSMOS_TOLERANCE = 0.02
"""What a setting may lose to the auxiliary mel by DNSMOS: less than can be heard."""


class SamplingSetting(NamedTuple):
    """What a voice's `sampling` holds."""

    k_step: int
    steps: int
    temperature: float


def by_modulation(row: Row, auxiliary: Row) -> tuple[float, ...]:
    """The least modulation-spectrum distance: over-smoothed and noisy mels both have more."""
    return (row["modulation_distance"],)


def by_dnsmos(row: Row, auxiliary: Row) -> tuple[float, ...]:
    """The least modulation-spectrum distance among the settings that add no audible noise.

    Those are the settings whose DNSMOS is at most `DNSMOS_TOLERANCE` below the auxiliary mel's,
    which hears noise but not blur; if there is none, the highest DNSMOS.
    """
    if row["dnsmos_ovrl"] < auxiliary["dnsmos_ovrl"] - DNSMOS_TOLERANCE:
        return 1.0, -row["dnsmos_ovrl"]
    return 0.0, row["modulation_distance"]


def by_mcd(row: Row, auxiliary: Row) -> tuple[float, ...]:
    """The lowest mel cepstral distortion."""
    return (row["mcd"],)


CRITERIA: Mapping[str, Callable[[Row, Row], tuple[float, ...]]] = {
    "dnsmos": by_dnsmos,
    "modulation": by_modulation,
    "mcd": by_mcd,
}
"""(measures of a setting, of the auxiliary mel) -> what the chosen setting has the least of."""


def default_criterion() -> str:
    """ "dnsmos" where the extra "perceptual" is installed, else "modulation"."""
    return "dnsmos" if dnsmos.installed() else "modulation"


def measure_mels(
    voice: Singer,
    examples: Sequence[Example],
    *,
    k_step: int,
    frames_per_batch: int,
    sound: bool = False,
    **how: float,
) -> Row:
    """MCD, detail and modulation spectrum of a voice's mels, with true durations and f0.

    Args:
      sound: also DNSMOS of their sound by the built-in vocoder.
      how: to `sample_mel`.
    """
    spec = voice.info.mel
    mels = mels_of(voice, examples, k_step=k_step, seed=0, frames_per_batch=frames_per_batch, **how)
    parts = [
        {
            "mcd": metrics.mcd(true["mel"], mel, spec),
            **metrics.detail(true["mel"], mel, spec),
            **modulation(true["mel"], mel, spec),
        }
        for true, mel in zip(examples, mels, strict=True)
    ]
    if sound:
        pieces = [Sung(mel, e["f0"], e["ph_frames"]) for mel, e in zip(mels, examples, strict=True)]
        wavs = vocode(pieces, spec, seed=0, frames_per_batch=frames_per_batch)
        opinions = [dnsmos.dnsmos(wav, spec.sample_rate).ovrl for wav in wavs]
        parts += [{"dnsmos_ovrl": metrics.Mean(opinion, 1.0)} for opinion in opinions]
    return {name: m.compute() for name, m in metrics.merge_all(parts).items()}


def search(
    voice: Voice,
    corpus: PreparedCorpus,
    *,
    split: str = "validation",
    criterion: str | None = None,
    k_steps: Sequence[int] = K_STEPS,
    temperatures: Sequence[float] = TEMPERATURES,
    frames_per_batch: int = 4096,
) -> tuple[SamplingSetting, dict[str, Row]]:
    """Measures all settings on the mels of a split, with true durations and f0.

    Args:
      corpus: numbered as the voice is.
      criterion: a name in `CRITERIA`; None for `default_criterion`.
      k_steps: where sampling starts, 0 for no diffusion; those beyond the voice's schedule are
        left out.

    Returns:
      The chosen setting, and a row of measures for each setting and for the auxiliary mel.

    Raises:
      InputError: if no k is within the schedule.
    """
    criterion = criterion or default_criterion()
    examples = list(corpus.source(split))
    longest = int(voice.schedule["steps"])
    if not (possible := [k for k in k_steps if 0 <= k <= longest]):
        raise InputError(f"k is 0 to {longest} for this voice, got {', '.join(map(str, k_steps))}")
    measure = functools.partial(
        measure_mels,
        voice,
        examples,
        frames_per_batch=frames_per_batch,
        sound=criterion == "dnsmos",
    )
    auxiliary = measure(k_step=0)
    rows: dict[str, Row] = {"auxiliary mel": auxiliary}
    measured = {SamplingSetting(0, 1, 0.0): auxiliary} if 0 in possible else {}
    for k_step, temperature in itertools.product([k for k in possible if k], temperatures):
        setting = SamplingSetting(k_step, min(k_step, MOST_STEPS), temperature)
        row = measure(**setting._asdict())
        measured[setting] = rows[f"k={k_step} temperature={temperature:g}"] = row
        print(f"{setting}: {', '.join(f'{n} {v:.2f}' for n, v in row.items())}", flush=True)
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
    parser.add_argument(
        "--criterion", choices=CRITERIA, help="dnsmos where it is installed, else modulation"
    )
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
