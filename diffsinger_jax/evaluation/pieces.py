"""What is measured of one piece: of its mel, of its sound, and of its predicted durations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from diffsinger_jax.audio.f0 import extract_f0
from diffsinger_jax.audio.mel import log_mel
from diffsinger_jax.metrics import dnsmos, speaker
from diffsinger_jax.metrics import measures as metrics
from diffsinger_jax.metrics.mcep import mel_cepstrum
from diffsinger_jax.metrics.modulation import modulation
from diffsinger_jax.metrics.nsim import nsim
from diffsinger_jax.metrics.patches import PatchClassifier, patch_auc, patch_features
from diffsinger_jax.metrics.patches import train_classifier as train_patch_classifier
from diffsinger_jax.pipeline.prepared import Example
from diffsinger_jax.types import MelSpec


class Reference(NamedTuple):
    """What the sounds of a piece are compared with.

    Attributes:
      embedding: f32[256] of the speaker, or None where that encoder is not installed.
      cepstrum: f64[T, 24] of the recording, or None without recordings.
    """

    embedding: np.ndarray | None = None
    cepstrum: np.ndarray | None = None


def measure_mel(true: np.ndarray, predicted: np.ndarray, spec: MelSpec) -> dict:
    """Measures of a mel whose frames are those of the recording.

    Args:
      true, predicted: [T, M] log amplitude.
    """
    return {
        "mcd": metrics.mcd(true, predicted, spec),
        "nsim": nsim(true, predicted, spec),
        **modulation(true, predicted, spec),
        **metrics.detail(true, predicted, spec),
    }


def reference_of(
    example: Example, sound: np.ndarray, spec: MelSpec, *, recorded: bool
) -> Reference:
    """What to compare a piece's sounds with.

    Args:
      example: the piece.
      sound: f32[L], recorded, or the true mel through the vocoder.
    """
    embedding = speaker.speaker_embedding(sound, spec.sample_rate) if speaker.installed() else None
    cepstrum = mel_cepstrum(sound, example["f0"], spec) if recorded else None
    return Reference(embedding, cepstrum)


def measure_warped(example: Example, mel: np.ndarray, f0: np.ndarray, spec: MelSpec) -> dict:
    """Measures of a mel that lasts otherwise than the recording: of frames that belong together.

    Args:
      example: the piece.
      mel: [T', M] log amplitude.
      f0: [T'] Hz, 0 unvoiced.
    """
    ours, theirs = metrics.dtw_path(example["mel"], mel, spec).T
    return {
        "mcd_dtw": metrics.mcd_dtw(example["mel"], mel, spec),
        **metrics.pitch(np.asarray(example["f0"])[ours], np.asarray(f0)[theirs]),
    }


def measure_sound(example: Example, wav: np.ndarray, reference: Reference, spec: MelSpec) -> dict:
    """Measures of a sound, frame by frame if it is as long as the recording.

    Args:
      example: the piece.
      wav: f32[T * hop] at `spec.sample_rate`.
      reference: of the piece.
    """
    frames = len(example["mel"])
    if len(wav) != frames * spec.hop:
        warped = measure_warped(example, log_mel(wav, spec), extract_f0(wav, spec), spec)
        return warped | measure_opinion(wav, reference, spec)
    # T frames of sound may be T + 1 frames of mel, by the framing's contract.
    mel, f0 = log_mel(wav, spec)[:frames], extract_f0(wav, spec)[:frames]
    measures = {
        **measure_mel(example["mel"], mel, spec),
        **metrics.pitch(example["f0"], f0),
        **measure_opinion(wav, reference, spec),
    }
    if reference.cepstrum is not None:
        sounding = metrics.sounding_frames(example["mel"], spec)
        cepstrum = mel_cepstrum(wav, f0, spec)
        distance = metrics.cepstral_distance(reference.cepstrum, cepstrum)[sounding]
        measures["mcep_mcd"] = metrics.Ratio(float(distance.sum()), float(sounding.sum()))
    return measures


def measure_opinion(wav: np.ndarray, reference: Reference, spec: MelSpec) -> dict:
    """DNSMOS and the speaker's cosine, as far as they are installed; each piece counts once."""
    measures = {}
    if dnsmos.installed():
        opinion = dnsmos.dnsmos(wav, spec.sample_rate)
        measures["dnsmos_ovrl"] = metrics.Ratio(opinion.ovrl, 1.0)
    if reference.embedding is not None:
        embedding = speaker.speaker_embedding(wav, spec.sample_rate)
        cosine = speaker.speaker_cosine(reference.embedding, embedding)
        measures["speaker_cosine"] = metrics.Ratio(cosine, 1.0)
    return measures


def train_classifier(
    true: Sequence[np.ndarray], predicted: Sequence[np.ndarray], spec: MelSpec
) -> PatchClassifier:
    """A classifier of patches of these pieces' mels; it is not to be applied to the same."""
    sounding = [metrics.sounding_frames(mel, spec) for mel in true]
    recordings, samples = (
        np.concatenate(
            [patch_features(mel, s, spec) for mel, s in zip(mels, sounding, strict=True)]
        )
        for mels in (true, predicted)
    )
    return train_patch_classifier(recordings, samples)


def measure_patches(
    classifier: PatchClassifier,
    true: Sequence[np.ndarray],
    predicted: Sequence[np.ndarray],
    spec: MelSpec,
) -> float:
    """The area under the classifier's ROC curve on all patches of these pieces' mels."""
    parts = [
        {"patch_auc": patch_auc(classifier, *mels, spec)}
        for mels in zip(true, predicted, strict=True)
    ]
    return metrics.merge_all(parts)["patch_auc"].compute()


def median_frames(examples: Sequence[Example]) -> Mapping[int, float]:
    """Token -> median of its durations in frames: the trivial predictor to compare with."""
    tokens, frames = (
        np.concatenate([e[name] for e in examples]) for name in ("tokens", "ph_frames")
    )
    return {int(token): float(np.median(frames[tokens == token])) for token in np.unique(tokens)}


def mean_frames(examples: Sequence[Example]) -> Mapping[int, float]:
    """Token -> mean of its durations in frames."""
    tokens, frames = (
        np.concatenate([e[name] for e in examples]) for name in ("tokens", "ph_frames")
    )
    return {int(token): float(np.mean(frames[tokens == token])) for token in np.unique(tokens)}
