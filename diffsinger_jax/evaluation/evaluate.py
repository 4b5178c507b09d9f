"""Measures a voice on a split of a prepared corpus, beside the recordings.

    diffsinger-jax evaluate --voice DIR --corpus PREPARED --split test --out DIR

Writes evaluation.json, evaluation.md, a picture of the first piece of every song with all
systems' mels side by side, and, with --wavs, what was heard.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from diffsinger_jax import plots
from diffsinger_jax.audio.f0 import extract_f0
from diffsinger_jax.audio.mel import log_mel
from diffsinger_jax.audio.wav import write_wav
from diffsinger_jax.errors import InputError
from diffsinger_jax.evaluation.report import Row, write_report
from diffsinger_jax.evaluation.systems import (
    PREDICTED_ALL,
    PREDICTED_F0,
    TRUE_MEL,
    Singer,
    Sung,
    sing_all,
    vocode,
)
from diffsinger_jax.metrics import measures as metrics
from diffsinger_jax.pipeline.mix import numbered_as
from diffsinger_jax.pipeline.prepared import Example, PreparedCorpus, text
from diffsinger_jax.types import MelSpec

DEFAULT_K_STEPS = (10, 25, 51)
"""Beside the voice's own k and the whole length of its schedule."""
MEL_TITLE = "The mel, before any vocoder (true durations and f0 but in the last two rows)"
WAV_TITLE = "The sound, by the harmonic-plus-noise vocoder: mel and f0 extracted again"


def measure_mel(
    true: Example, sung: Sung, system: str, spec: MelSpec
) -> dict[str, metrics.Measure]:
    """Measures of one piece's mel; what the system predicted beside it too."""
    measures = {"mcd_dtw": metrics.mcd_dtw(true["mel"], sung.mel, spec)}
    if system == PREDICTED_ALL:  # its frames are not those of the recording
        return measures | metrics.durations(true["ph_frames"], sung.ph_frames, spec)
    measures["mcd"] = metrics.mcd(true["mel"], sung.mel, spec)
    measures |= metrics.detail(true["mel"], sung.mel, spec)
    return measures | (metrics.pitch(true["f0"], sung.f0) if system == PREDICTED_F0 else {})


def measure_wav(true: Example, wav: np.ndarray, spec: MelSpec) -> dict[str, metrics.Measure]:
    """Measures of one piece's sound, whose frames are those of the recording."""
    frames = len(true["mel"])
    # T frames of sound may be T + 1 frames of mel, by the framing's contract.
    mel, f0 = log_mel(wav, spec)[:frames], extract_f0(wav, spec)[:frames]
    return {
        "mcd": metrics.mcd(true["mel"], mel, spec),
        **metrics.detail(true["mel"], mel, spec),
        **metrics.pitch(true["f0"], f0),
    }


def evaluate(
    voice: Singer,
    corpus: PreparedCorpus,
    split: str,
    out: Path | None,
    *,
    k_steps: Sequence[int] | None = None,
    temperatures: Sequence[float] | None = None,
    seed: int = 0,
    frames_per_batch: int = 4096,
    sound: bool = True,
    wavs: bool = False,
) -> dict[str, dict[str, Row]]:
    """Sings and measures every piece of a split.

    Args:
      voice: its mel must be the corpus's.
      out: for the report, pictures and wavs; None writes nothing.
      k_steps: None for `DEFAULT_K_STEPS`, the voice's own, and the whole schedule.
      temperatures: factors on the noise; None for the voice's own.
      sound: also render and measure the sound, which takes longest.
      wavs: keep what was rendered.

    Returns:
      title -> system -> measures, as the report has them.

    Raises:
      InputError: if voice and corpus do not belong together, or the split is empty.
    """
    spec = voice.info.mel
    if differences := spec.differences(corpus.info.mel):
        raise InputError(
            f"the voice's mel is not the corpus's ({'; '.join(differences)}); prepare the corpus "
            "again with the voice's --mel"
        )
    corpus = numbered_as(corpus, voice.info)
    whole = int(voice.schedule["steps"])
    if k_steps is None:
        k_steps = [k for k in (*DEFAULT_K_STEPS, voice.k_step) if 0 < k < whole] + [whole]
    k_steps = sorted(set(k_steps))
    if wrong := [k for k in k_steps if not 0 < k <= whole]:
        raise InputError(f"--k_step takes numbers from 1 to {whole} for this voice, got {wrong[0]}")
    temperatures = temperatures or [float(voice.sampling["temperature"])]

    examples = list(corpus.source(split))
    names = [text(example["name"]) for example in examples]
    started = time.monotonic()
    by_system = sing_all(
        voice,
        examples,
        k_steps,
        temperatures=temperatures,
        seed=seed,
        frames_per_batch=frames_per_batch,
        on_system=lambda name: print(f"singing {len(examples)} pieces: {name}", flush=True),
    )
    tables: dict[str, dict[str, Row]] = {MEL_TITLE: {}}
    per_song: dict[str, dict[str, Row]] = {}
    for system, pieces in by_system.items():
        if system != TRUE_MEL:
            measured = [
                measure_mel(true, sung, system, spec)
                for true, sung in zip(examples, pieces, strict=True)
            ]
            tables[MEL_TITLE][system] = _compute(measured)
            for song in sorted(set(map(_song, names))):
                parts = [m for m, name in zip(measured, names, strict=True) if _song(name) == song]
                per_song.setdefault(song, {})[system] = _compute(parts)
    if sound:
        tables[WAV_TITLE] = {}
        for system, pieces in by_system.items():
            if system == PREDICTED_ALL:
                continue  # no frame of it belongs to a frame of the recording
            print(f"listening to {len(examples)} pieces: {system}", flush=True)
            rendered = vocode(pieces, spec, seed=seed, frames_per_batch=frames_per_batch)
            tables[WAV_TITLE][system] = _compute(
                [measure_wav(true, wav, spec) for true, wav in zip(examples, rendered, strict=True)]
            )
            if out is not None and wavs:
                _write_wavs(out, system, names, rendered, voice)
    if out is not None:
        _draw(out, names, by_system, spec)
        seconds = sum(len(example["mel"]) for example in examples) / spec.frames_per_sec
        about = {
            "title": f"{getattr(voice, 'name', 'A voice')} on {corpus.info.name}, {split}",
            "songs": ", ".join(sorted(set(map(_song, names)))),
            "pieces": len(examples),
            "seconds of singing": round(seconds, 1),
            "the voice's own k": voice.k_step,
            "seed": seed,
            "measured in seconds": round(time.monotonic() - started, 1),
        }
        songs = {f"Mel of {song}": rows for song, rows in per_song.items()}
        write_report(out, about, tables | songs)
    return tables


def _compute(parts: Sequence[Mapping[str, metrics.Measure]]) -> dict[str, float]:
    return {name: measure.compute() for name, measure in metrics.merge_all(list(parts)).items()}


def _song(name: str) -> str:
    """The song of a piece named "song#number"."""
    return name.split("#")[0]


def _write_wavs(
    out: Path, system: str, names: Sequence[str], wavs: Sequence[np.ndarray], voice: Singer
) -> None:
    folder = out / "wavs"
    folder.mkdir(exist_ok=True)
    for name, wav in zip(names, wavs, strict=True):
        tags = {"software": "diffsinger_jax", "comment": f"synthetic singing: {system}"}
        file = (
            f"{name}_{system}.wav".replace("#", "_")
            .replace(" ", "_")
            .replace("=", "")
            .replace(",", "")
        )
        write_wav(folder / file, wav, voice.info.mel.sample_rate, tags=tags)


def _draw(
    out: Path, names: Sequence[str], by_system: Mapping[str, Sequence[Sung]], spec: MelSpec
) -> None:
    """One picture for each song, of its first piece."""
    first = {_song(names[i]): i for i in sorted(range(len(names)), key=names.__getitem__)[::-1]}
    for song, i in sorted(first.items()):
        mels = {system: pieces[i].mel for system, pieces in by_system.items()}
        plots.mel_panels(out / f"{song}.png", mels, spec, title=names[i])
