"""Chooses how a voice samples: k, number of steps and temperature, on the validation split.

The criterion has a name and is written down (`CRITERIA`), so that nobody has to trust an ear or
the test songs. The default ones punish noise and blur both; MCD, which no sampling can lower, is
there to compare with. Singing without diffusion (k = 0) is a candidate like any other.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
from collections.abc import Sequence
from pathlib import Path

from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.errors import InputError
from diffsinger_jax.evaluation.criteria import CRITERIA
from diffsinger_jax.evaluation.report import Row
from diffsinger_jax.evaluation.systems import Singer, Sung, mels_of, vocode
from diffsinger_jax.metrics import dnsmos
from diffsinger_jax.metrics import measures as metrics
from diffsinger_jax.metrics.modulation import modulation
from diffsinger_jax.metrics.nsim import nsim
from diffsinger_jax.pipeline.prepared import Corpus, Example
from diffsinger_jax.voices.sampling import resolve_sampling, sampling_to_dict
from diffsinger_jax.voices.voice import VOICE_FILE, Voice

K_STEPS = (0, 5, 10, 25, 50)
"""Of a diffusion: where sampling may start."""
DEPTHS = (0.0, 0.2, 0.3, 0.4, 0.6)
"""The same of a flow, 1 - t."""
TEMPERATURES = (0.0, 0.4, 0.7, 1.0)
MOST_STEPS = 20
"""Of a diffusion the sampler takes at most so many of the k steps; of a flow, the voice's own."""


def default_criterion() -> str:
    """ "dnsmos" where the extra "perceptual" is installed, else "modulation"."""
    return "dnsmos" if dnsmos.installed() else "modulation"


def measure_mels(
    voice: Singer,
    examples: Sequence[Example],
    sampling: Sampling,
    *,
    frames_per_batch: int,
    sound: bool = False,
) -> Row:
    """MCD, NSIM, detail and modulation spectrum of a voice's mels, with true durations and f0.

    Args:
      sound: also DNSMOS of their sound by the built-in vocoder.
    """
    spec = voice.info.mel
    mels = mels_of(voice, examples, sampling, seed=0, frames_per_batch=frames_per_batch)
    parts = [
        {
            "mcd": metrics.mcd(true["mel"], mel, spec),
            "nsim": nsim(true["mel"], mel, spec),
            **metrics.detail(true["mel"], mel, spec),
            **modulation(true["mel"], mel, spec),
        }
        for true, mel in zip(examples, mels, strict=True)
    ]
    if sound:
        pieces = [Sung(mel, e["f0"], e["ph_frames"]) for mel, e in zip(mels, examples, strict=True)]
        wavs = vocode(pieces, spec, seed=0, frames_per_batch=frames_per_batch)
        opinions = [dnsmos.dnsmos(wav, spec.sample_rate).ovrl for wav in wavs]
        parts += [{"dnsmos_ovrl": metrics.Ratio(opinion, 1.0)} for opinion in opinions]
    return {name: m.compute() for name, m in metrics.merge_all(parts).items()}


def search(
    voice: Voice,
    corpus: Corpus,
    *,
    split: str = "validation",
    criterion: str | None = None,
    k_steps: Sequence[float] | None = None,
    temperatures: Sequence[float] = TEMPERATURES,
    frames_per_batch: int = 4096,
) -> tuple[Sampling, dict[str, Row]]:
    """Measures all settings on the mels of a split, with true durations and f0.

    Args:
      corpus: numbered as the voice is.
      criterion: a name in `CRITERIA`; None for `default_criterion`.
      k_steps: where sampling starts, 0 for no diffusion; those beyond the voice's schedule are
        left out. None for `K_STEPS`, or the `DEPTHS` of a flow.

    Returns:
      The chosen setting, and a row of measures for each setting and for the auxiliary mel.

    Raises:
      InputError: if no k is within the schedule.
    """
    criterion = criterion or default_criterion()
    examples = list(corpus.source(split))
    longest, discrete = voice.path.depth, voice.path.discrete
    k_steps = k_steps or (K_STEPS if discrete else DEPTHS)
    if not (possible := [k for k in k_steps if 0 <= k <= longest]):
        raise InputError(f"k is 0 to {longest} for this voice, got {', '.join(map(str, k_steps))}")
    measure = functools.partial(
        measure_mels,
        voice,
        examples,
        frames_per_batch=frames_per_batch,
        sound=criterion == "dnsmos",
    )
    without = resolve_sampling(voice, k_step=0, temperature=0.0)
    auxiliary = measure(without)
    rows: dict[str, Row] = {"auxiliary mel": auxiliary}
    measured = {without: auxiliary} if 0 in possible else {}
    for k_step, temperature in itertools.product([k for k in possible if k], temperatures):
        steps = min(int(k_step), MOST_STEPS) if discrete else voice.sampling.steps
        setting = resolve_sampling(voice, k_step=k_step, steps=steps, temperature=temperature)
        row = measure(setting)
        name = f"k={k_step} temperature={temperature:g}"
        measured[setting] = rows[name] = row
        print(f"{name}: {', '.join(f'{n} {v:.2f}' for n, v in row.items())}", flush=True)
    least = CRITERIA[criterion]
    return min(measured, key=lambda setting: least(measured[setting], auxiliary)), rows


def write_sampling(voice: str | os.PathLike, sampling: Sampling) -> None:
    """Replaces how a voice samples; its weights are not touched.

    Args:
      voice: its folder, which `load_voice` has read.
      sampling: see `resolve_sampling`.
    """
    file = Path(voice) / VOICE_FILE
    description = json.loads(file.read_text(encoding="utf-8"))
    description["sampling"] = sampling_to_dict(sampling)
    with atomic_write(file) as partial:
        partial.write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
