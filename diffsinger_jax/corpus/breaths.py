"""Breaths in the rests of recordings: where they are, and how a singer takes them.

A breath is a swell of unvoiced noise between 1.5 and 8 kHz, where rooms are quiet: it rises out of
the rest, and falls again before the next sound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from diffsinger_jax.audio.mel import mel_centres
from diffsinger_jax.types import SILENCE, Breaths, MelSpec, Vocabulary

BAND_HZ = (1500.0, 8000.0)
LEAST_REST_SEC = 0.25
"""No breath is looked for, or sung, in a shorter rest."""
LEAST_DB = -55.0
"""Level of a breath in the band, beside the level of the singing."""
LEAST_RISE_DB = 10.0
"""By so much a breath stands out of what is before and after it."""
EDGE_DB = 12.0
"""A breath reaches as far as it is at most this far below its loudest moment."""
LENGTHS_SEC = (0.08, 0.8)
MOST_VOICED = 0.2
SMOOTHING_SEC = 0.05


def find_breath(
    mel: np.ndarray, f0: np.ndarray, rest: tuple[int, int], level_db: float, spec: MelSpec
) -> tuple[int, int] | None:
    """The breath of one rest, [first, last) frames.

    Args:
      mel: f[T, M] log amplitude.
      f0: f[T] Hz, 0 unvoiced.
      rest: [first, last) frames.
      level_db: see `singing_level`.
      spec: of the mel.

    Returns:
      None where the rest is too short, or has none.
    """
    import scipy.signal  # late: voices that breathe need none of it

    first, last = rest
    if last - first < LEAST_REST_SEC * spec.frames_per_sec:
        return None
    width = max(round(SMOOTHING_SEC * spec.frames_per_sec), 1)
    band = _band_db(mel[first:last], spec) - level_db
    band = np.convolve(np.pad(band, width // 2, mode="edge"), np.ones(width) / width, "valid")
    peaks, found = scipy.signal.find_peaks(band, height=LEAST_DB, prominence=LEAST_RISE_DB)
    for peak in peaks[np.argsort(-found["peak_heights"])]:
        near = np.flatnonzero(band < band[peak] - EDGE_DB)
        begin = int(near[near < peak].max(initial=-1)) + 1
        end = int(near[near > peak].min(initial=last - first))
        voiced = np.mean(f0[first + begin : first + end] > 0)
        seconds = (end - begin) / spec.frames_per_sec
        if voiced <= MOST_VOICED and LENGTHS_SEC[0] <= seconds <= LENGTHS_SEC[1]:
            return first + begin, first + end
    return None


def singing_level(mel: np.ndarray, f0: np.ndarray) -> float:
    """Mean power of the voiced frames in dB; that of all where none is."""
    power = np.mean(_power(mel), axis=1)
    sung = np.asarray(f0) > 0
    return float(10 * np.log10(power[sung].mean() if sung.any() else power.mean()))


def breaths_of(
    examples: Iterable[Mapping[str, Any]], vocabulary: Vocabulary, spec: MelSpec
) -> Breaths | None:
    """How the rests before singing are breathed in, over pieces of a corpus; None without any."""
    silence = vocabulary.phonemes.index(SILENCE) + 1 if SILENCE in vocabulary.phonemes else 0
    rests, lengths, gaps, mels = 0, [], [], []
    for example in examples:
        mel, f0 = _log10(example["mel"], spec), np.asarray(example["f0"])
        level = singing_level(mel, f0)
        ends = np.cumsum(example["ph_frames"])
        for token, frames, end in zip(
            example["tokens"][:-1], example["ph_frames"], ends, strict=False
        ):
            if token != silence or frames < LEAST_REST_SEC * spec.frames_per_sec:
                continue
            rests += 1
            breath = find_breath(mel, f0, (int(end - frames), int(end)), level, spec)
            if breath is not None:
                quarter = (breath[1] - breath[0]) // 4
                lengths.append(breath[1] - breath[0])
                gaps.append(end - breath[1])
                middle = np.asarray(example["mel"])[breath[0] + quarter : breath[1] - quarter]
                mels.append(middle.mean(axis=0))
    if not mels:
        return None
    return Breaths(
        share=len(mels) / rests,
        sec=float(np.median(lengths)) / spec.frames_per_sec,
        gap_sec=float(np.median(gaps)) / spec.frames_per_sec,
        mel=np.mean(mels, axis=0).astype(np.float32),
    )


def _log10(mel: np.ndarray, spec: MelSpec) -> np.ndarray:
    return np.asarray(spec.decibels(np.asarray(mel, np.float64))) / 20.0


def _power(mel: np.ndarray) -> np.ndarray:
    return np.asarray(10.0 ** (2.0 * mel))


def _band_db(mel: np.ndarray, spec: MelSpec) -> np.ndarray:
    """f[T] mean power in `BAND_HZ` of log10 amplitudes."""
    centres = mel_centres(spec)
    inside = (centres >= BAND_HZ[0]) & (centres <= BAND_HZ[1])
    return 10 * np.log10(np.mean(_power(mel[:, inside]), axis=1))
