"""The modulation spectrum: how much each mel bin moves at which rate, against the recordings'.

Over-smoothed mels fall short at high rates, noisy ones overshoot. It compares distributions and
not frames, so that a sample is not punished for being another one than the recording. Takamichi,
Toda, Neubig, Sakti, Nakamura, A postfilter to modify the modulation spectrum in HMM-based speech
synthesis, 2014.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from diffsinger_jax.metrics.measures import natural_log, sounding_frames
from diffsinger_jax.types import MelSpec

SEGMENT_SEC = 0.64
BAND_EDGES_HZ = (1.0, 3.0, 6.0, 12.0, 25.0)
"""Octaves, about: the syllables, the phonemes, the transitions, what is heard as roughness."""
FLOOR_DB = 0.1
"""A movement of this size (RMS of a band, in dB) is the least that counts."""


class ModulationDistance(NamedTuple):
    """Sums of the log powers of segments, of the true and the predicted mels.

    Attributes:
      true, predicted: f64[M, bands] sums of 10 log10 of the power of a bin's movement in a band.
      n: of segments.
    """

    true: np.ndarray = np.zeros(())
    predicted: np.ndarray = np.zeros(())
    n: float = 0.0

    def excess_db(self) -> np.ndarray:
        """f64[M, bands] mean of predicted minus true; negative is over-smoothed."""
        return (self.predicted - self.true) / self.n

    def compute(self) -> float:
        """Root mean square of `excess_db` over bins and bands, in dB; nan of no segment."""
        return float(np.sqrt(np.mean(self.excess_db() ** 2))) if self.n else float("nan")


class ModulationExcess(NamedTuple):
    """As `ModulationDistance`, but computes to the mean excess of the fastest band."""

    true: np.ndarray = np.zeros(())
    predicted: np.ndarray = np.zeros(())
    n: float = 0.0

    def compute(self) -> float:
        """In dB, at 12 to 25 Hz: below 0 over-smoothed, above 0 noise; nan of no segment."""
        excess = ModulationDistance(*self).excess_db() if self.n else np.array([[np.nan]])
        return float(excess[:, -1].mean())


def modulation(
    true: np.ndarray, predicted: np.ndarray, spec: MelSpec
) -> dict[str, ModulationDistance | ModulationExcess]:
    """Modulation spectra of two mels over the stretches where the true one sounds.

    Segments of `SEGMENT_SEC`, half overlapping, under a Hann window without their mean; those
    count of which half the frames sound.

    Args:
      true, predicted: [T, M] log amplitude, of the same length.

    Returns:
      modulation_distance, in dB, and modulation_excess, in dB at the fastest band.
    """
    frames = max(round(SEGMENT_SEC * spec.frames_per_sec), 2)
    sounding = sounding_frames(true, spec)
    firsts = [
        first
        for first in range(0, len(true) - frames + 1, max(frames // 2, 1))
        if sounding[first : first + frames].mean() >= 0.5
    ]
    if not firsts:
        return {
            "modulation_distance": ModulationDistance(),
            "modulation_excess": ModulationExcess(),
        }
    true_sum, predicted_sum = (
        np.sum([band_powers_db(mel[first : first + frames], spec) for first in firsts], axis=0)
        for mel in (true, predicted)
    )
    sums = true_sum, predicted_sum, float(len(firsts))
    return {
        "modulation_distance": ModulationDistance(*sums),
        "modulation_excess": ModulationExcess(*sums),
    }


def band_powers_db(segment: np.ndarray, spec: MelSpec) -> np.ndarray:
    """f64[M, bands] 10 log10 of the variance of each bin's dB in each band of rates.

    Args:
      segment: [T, M] log amplitude.
    """
    decibels = natural_log(segment, spec) * (20 / np.log(10.0))
    window = np.hanning(len(segment) + 2)[1:-1]
    spectrum = np.fft.rfft((decibels - decibels.mean(axis=0)) * window[:, None], axis=0)
    # One-sided, so that the sum over all rates is the windowed variance.
    power = 2 * np.abs(spectrum) ** 2 / (len(segment) * np.sum(window**2))  # [F, M]
    rates = np.fft.rfftfreq(len(segment), 1 / spec.frames_per_sec)
    band = np.searchsorted(BAND_EDGES_HZ, rates, side="right") - 1  # -1 and the last are outside
    powers = [power[band == b].sum(axis=0) for b in range(len(BAND_EDGES_HZ) - 1)]
    return 10 * np.log10(np.stack(powers, axis=1) + FLOOR_DB**2)
