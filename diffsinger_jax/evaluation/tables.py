"""The tables of an evaluation: of the mels, of the durations, of the sounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from diffsinger_jax.evaluation.pieces import (
    measure_mel,
    measure_opinion,
    measure_patches,
    measure_sound,
    measure_warped,
    median_frames,
    reference_of,
    train_classifier,
)
from diffsinger_jax.evaluation.systems import (
    AUXILIARY,
    PREDICTED_ALL,
    PREDICTED_F0,
    TRUE_MEL,
    Sung,
    heard_frames,
)
from diffsinger_jax.metrics import measures as metrics
from diffsinger_jax.pipeline.prepared import Example
from diffsinger_jax.types import MelSpec, Vocabulary

RECORDING = "recording"
BySystem = Mapping[str, Sequence[Sung]]
"""system -> its rendition of each piece."""
Table = dict[str, dict[str, float]]
"""system -> measure -> number."""
Measured = Mapping[str, metrics.Measure]


def measure_mels(
    examples: Sequence[Example], by_system: BySystem, spec: MelSpec
) -> dict[str, list[Measured]]:
    """system -> measures of each piece's mel, of all but the true mel."""
    return {
        system: [
            _measure_mel(example, sung, system, auxiliary.mel, spec)
            for example, sung, auxiliary in zip(examples, pieces, by_system[AUXILIARY], strict=True)
        ]
        for system, pieces in by_system.items()
        if system != TRUE_MEL
    }


def _measure_mel(
    example: Example, sung: Sung, system: str, auxiliary: np.ndarray, spec: MelSpec
) -> Measured:
    if len(sung.mel) != len(example["mel"]):  # it lasts as long as it was predicted to
        return measure_warped(example, sung.mel, sung.f0, spec)
    measures = {
        **measure_mel(example["mel"], sung.mel, spec),
        "mcd_dtw": metrics.mcd_dtw(example["mel"], sung.mel, spec),
    }
    if system in (PREDICTED_F0, PREDICTED_ALL):
        return measures | metrics.pitch(example["f0"], sung.f0)
    if system != AUXILIARY:
        measures["residual_correlation"] = metrics.residual_correlation(
            example["mel"], sung.mel, auxiliary, spec
        )
    return measures


def patch_aucs(
    examples: Sequence[Example],
    by_system: BySystem,
    others: Sequence[Example],
    others_mels: Mapping[str, Sequence[np.ndarray]],
    spec: MelSpec,
) -> dict[str, float]:
    """How well each system's patches are told from recordings, by classifiers of other songs.

    Args:
      others: pieces of songs that no example is of.
      others_mels: system -> its mels of them.
    """
    true, others_true = ([e["mel"] for e in pieces] for pieces in (examples, others))
    return {
        system: measure_patches(
            train_classifier(others_true, mels, spec),
            true,
            [sung.mel for sung in by_system[system]],
            spec,
        )
        for system, mels in others_mels.items()
    }


def duration_table(
    examples: Sequence[Example],
    by_system: BySystem,
    training: Sequence[Example],
    vocabulary: Vocabulary,
    spec: MelSpec,
    *,
    fitted: bool = True,
) -> Table:
    """The predicted durations as they are heard, beside the trivial ones.

    Those give each phoneme its median over the training songs and, as all predictions, the vowel
    what is left of its note.

    Args:
      training: pieces to take the medians of; without them that row is left out.
      fitted: whether notes begin as recorded; False for speech.
    """
    frames = {"predicted": [sung.ph_frames for sung in by_system[PREDICTED_ALL]]}
    if training:
        median = median_frames(training)
        frames["median of each phoneme"] = [
            heard_frames(
                e,
                np.array([median.get(int(t), 1.0) for t in e["tokens"]]),
                vocabulary,
                fitted=fitted,
            )
            for e in examples
        ]
    return {
        name: compute(
            [
                metrics.durations(e["ph_frames"], predicted, spec)
                for e, predicted in zip(examples, pieces, strict=True)
            ]
        )
        for name, pieces in frames.items()
    }


def sound_table(
    examples: Sequence[Example],
    sounds: Mapping[str, Sequence[np.ndarray]],
    recorded: Sequence[np.ndarray] | None,
    spec: MelSpec,
) -> Table:
    """Measures of every system's sounds, beside the recordings or else the true mels' sounds.

    Args:
      sounds: system -> f32[L] of each piece.
      recorded: f32[L] of each piece, if there are recordings.
    """
    references = [
        reference_of(example, sound, spec, recorded=recorded is not None)
        for example, sound in zip(examples, recorded or sounds[TRUE_MEL], strict=True)
    ]
    rows: Table = {}
    if recorded is not None:
        rows[RECORDING] = compute(
            [measure_opinion(*pair, spec) for pair in zip(recorded, references, strict=True)]
        )
    for system, wavs in sounds.items():
        print(f"listening to {len(examples)} pieces: {system}", flush=True)
        rows[system] = compute(
            [
                measure_sound(example, wav, reference, spec)
                for example, wav, reference in zip(examples, wavs, references, strict=True)
            ]
        )
    return rows


def compute(parts: Sequence[Measured]) -> dict[str, float]:
    """The numbers of pieces' measures together."""
    return {name: measure.compute() for name, measure in metrics.merge_all(parts).items()}
