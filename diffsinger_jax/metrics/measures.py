"""Objective measures of singing: each a sum over a count, exact under any split of the songs.

A measure is a small tuple of sums that `merge` adds up and `compute` turns into a number; what
was measured on no frame computes to nan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import numpy as np
import scipy.fft
import scipy.signal
import scipy.spatial

from diffsinger_jax.pitch import cents
from diffsinger_jax.types import MelSpec

MCD_COEFFICIENTS = 13
STFT_SIZES = (512, 1024, 2048)
"""Samples of the transforms in `stft_distance`, a quarter of which is the hop."""
STFT_FLOOR = 1e-4
GROSS_CENTS = 1200 * float(np.log2(1.2))
"""A pitch that is more than 20 % off is a gross error."""
SOUNDING_DB = 40.0
"""A frame sounds when the true mel's energy is at most this far below the piece's loudest frame."""


class Ratio(NamedTuple):
    """total / n: a mean, a share, or a ratio of two sums."""

    total: float = 0.0
    n: float = 0.0

    def compute(self) -> float:
        """The mean."""
        return self.total / self.n if self.n else float("nan")


class RootMean(NamedTuple):
    """sqrt(total / n), of a total of squares."""

    total: float = 0.0
    n: float = 0.0

    def compute(self) -> float:
        """The root of the mean."""
        return float(np.sqrt(Ratio(*self).compute()))


class Correlation(NamedTuple):
    """Pearson's, from the sums of x, y, x^2, y^2, x y."""

    n: float = 0.0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    yy: float = 0.0
    xy: float = 0.0

    def compute(self) -> float:
        """In [-1, 1]; nan where x or y does not vary."""
        n, x, y, xx, yy, xy = self
        spread = np.sqrt(max(n * xx - x * x, 0.0) * max(n * yy - y * y, 0.0))
        return float((n * xy - x * y) / spread) if spread > 0 else float("nan")


class Median(NamedTuple):
    """Keeps all its values: no sums of parts give the median of the whole."""

    values: tuple[float, ...] = ()

    def compute(self) -> float:
        """The median."""
        return float(np.median(self.values)) if self.values else float("nan")


class Measure(Protocol):
    """A tuple of sums that add up to those of both parts, and the number that they mean."""

    def __iter__(self) -> Iterator[Any]:
        """Its sums."""

    def compute(self) -> float:
        """The number."""


SomeMeasure = TypeVar("SomeMeasure", bound=Measure)


def merge(first: SomeMeasure, second: SomeMeasure) -> SomeMeasure:
    """The measure over both parts."""
    kind = cast(Callable[..., SomeMeasure], type(first))
    return kind(*(a + b for a, b in zip(first, second, strict=True)))


def merge_all(parts: Iterable[Mapping[str, Measure]]) -> dict[str, Measure]:
    """Merges dicts of measures; each measure over those parts that have it."""
    merged: dict[str, Measure] = {}
    for part in parts:
        for name, measure in part.items():
            merged[name] = merge(merged[name], measure) if name in merged else measure
    return merged


# --- mel -----------------------------------------------------------------------------------------


def natural_log(mel: np.ndarray, spec: MelSpec) -> np.ndarray:
    """f64[T, M] ln of amplitude, whatever base the representation has."""
    return spec.natural_log(np.asarray(mel, np.float64))


def sounding_frames(mel: np.ndarray, spec: MelSpec) -> np.ndarray:
    """bool[T], True where the energy sum(amplitude^2) is above max - `SOUNDING_DB`."""
    energy_db = 10 * np.log10(np.sum(np.exp(2 * natural_log(mel, spec)), axis=-1))
    return energy_db > np.max(energy_db, initial=-np.inf) - SOUNDING_DB


def mel_cepstra(mel: np.ndarray, spec: MelSpec) -> np.ndarray:
    """Coefficients 1 to 13 of ln A over the mel bins, without the loudness c_0.

    c_n = (2 / M) sum_m ln A_m cos(pi n (m + 1/2) / M), so that ln A_m is c_0 / 2 plus the sum of
    c_n cos(pi n (m + 1/2) / M): the scale in which `cepstral_distance` is a distance in dB.

    Args:
      mel: [T, M] log amplitude.

    Returns:
      f64[T, 13].
    """
    coefficients = scipy.fft.dct(natural_log(mel, spec), type=2, axis=-1)  # 2 sum ln A cos
    return coefficients[:, 1 : MCD_COEFFICIENTS + 1] / spec.n_mels


def cepstral_distance(c: np.ndarray, c_hat: np.ndarray) -> np.ndarray:
    """(10 / ln 10) sqrt(2 sum_n (c_n - c^_n)^2) over the last axis, in dB.

    Kubichek, Mel-cepstral distance measure for objective speech quality assessment, 1993.
    """
    return 10 / np.log(10) * np.sqrt(2 * np.sum((c - c_hat) ** 2, axis=-1))


def mcd(true: np.ndarray, predicted: np.ndarray, spec: MelSpec) -> Ratio:
    """Mel cepstral distortion in dB, frame by frame, over the sounding frames of the true mel.

    Args:
      true, predicted: [T, M] log amplitude, of the same length.
    """
    distance = cepstral_distance(mel_cepstra(true, spec), mel_cepstra(predicted, spec))
    sounding = sounding_frames(true, spec)
    return Ratio(float(distance[sounding].sum()), float(sounding.sum()))


def mel_distance(true: np.ndarray, predicted: np.ndarray, spec: MelSpec) -> Ratio:
    """Mean of |ln A - ln A^| over all frames and bins.

    Args:
      true, predicted: [T, M] log amplitude, of the same length.
    """
    difference = np.abs(natural_log(true, spec) - natural_log(predicted, spec))
    return Ratio(float(difference.sum()), float(difference.size))


def dtw_path(true: np.ndarray, predicted: np.ndarray, spec: MelSpec) -> np.ndarray:
    """Frames of two mels that belong together: i64[P, 2], by dynamic time warping of cepstra.

    Args:
      true: [T, M] log amplitude.
      predicted: [T', M].
    """
    return _warped(true, predicted, spec)[0]


def _warped(
    true: np.ndarray, predicted: np.ndarray, spec: MelSpec
) -> tuple[np.ndarray, np.ndarray]:
    """The path of `dtw_path`, and the distance in dB of all pairs, f64[T, T']."""
    import librosa  # late: it takes seconds, and only this needs it

    c, c_hat = mel_cepstra(true, spec), mel_cepstra(predicted, spec)
    # As `cepstral_distance` of all pairs, without the array of all their differences.
    cost = 10 / np.log(10) * np.sqrt(2) * scipy.spatial.distance.cdist(c, c_hat)  # [T, T']
    _, path = librosa.sequence.dtw(C=cost)
    return path[::-1], cost


def mcd_dtw(true: np.ndarray, predicted: np.ndarray, spec: MelSpec) -> Ratio:
    """Mel cepstral distortion in dB along the best alignment in time.

    Dynamic time warping over all frames; the mean is over the points of the path at which the
    true mel sounds.

    Args:
      true: [T, M] log amplitude.
      predicted: [T', M].
    """
    path, cost = _warped(true, predicted, spec)
    path = path[sounding_frames(true, spec)[path[:, 0]]]
    return Ratio(float(cost[path[:, 0], path[:, 1]].sum()), float(len(path)))


def detail(true: np.ndarray, predicted: np.ndarray, spec: MelSpec) -> dict[str, Ratio]:
    """How much the mel moves, predicted over true: below 1 over-smoothed, above 1 noise.

    The ratio of sum |x_{t+1} - x_t| ("detail_time", both frames sounding) and of
    sum |x_{m+1} - x_m| ("detail_frequency"), x the log amplitude on the true mel's sounding frames.

    Args:
      true, predicted: [T, M] log amplitude, of the same length.
    """
    sounding = sounding_frames(true, spec)
    pairs = sounding[1:] & sounding[:-1]
    in_time, in_frequency = (
        [float(np.abs(difference).sum()) for difference in differences]
        for differences in (
            [np.diff(natural_log(mel, spec), axis=0)[pairs] for mel in (predicted, true)],
            [np.diff(natural_log(mel, spec), axis=1)[sounding] for mel in (predicted, true)],
        )
    )
    return {"detail_time": Ratio(*in_time), "detail_frequency": Ratio(*in_frequency)}


def residual_correlation(
    true: np.ndarray, predicted: np.ndarray, auxiliary: np.ndarray, spec: MelSpec
) -> Correlation:
    """Of what a sample adds to the auxiliary mel with what the auxiliary mel lacks. A diagnosis.

    Pearson's correlation of (predicted - auxiliary) with (true - auxiliary) over the sounding
    frames: 0 for noise. Like every comparison with the one recording it punishes sampling, also
    a perfect one, and does not decide alone.

    Args:
      true, predicted, auxiliary: [T, M] log amplitude, of the same length.
    """
    sounding = sounding_frames(true, spec)
    x, y = (
        (natural_log(mel, spec) - natural_log(auxiliary, spec))[sounding].ravel()
        for mel in (predicted, true)
    )
    return Correlation(float(x.size), *(float(v.sum()) for v in (x, y, x * x, y * y, x * y)))


# --- sound ---------------------------------------------------------------------------------------


def stft_distance(true: np.ndarray, sound: np.ndarray) -> Ratio:
    """Multi-resolution STFT distance: the mean over `STFT_SIZES` of the two parts' sum.

    Spectral convergence |X - Y| / |X| (Frobenius norms of amplitudes) and the mean of
    |ln X - ln Y|, amplitudes held above `STFT_FLOOR` of a sine of full scale. Yamamoto, Song, Kim
    2020 (Parallel WaveGAN), eq. 3 to 6. Counted by the samples.

    Args:
      true, sound: f32[L].
    """
    distances = []
    for n_fft in STFT_SIZES:
        window = scipy.signal.get_window("hann", n_fft)
        x, y = (
            np.abs(scipy.signal.stft(wav, window=window, nperseg=n_fft, noverlap=n_fft * 3 // 4)[2])
            for wav in (np.asarray(true, np.float64), np.asarray(sound, np.float64))
        )
        floor = STFT_FLOOR / 2  # a sine of full scale has a peak of 1 / 2
        convergence = float(np.linalg.norm(x - y)) / max(float(np.linalg.norm(x)), floor)
        logs = np.abs(np.log(np.maximum(x, floor)) - np.log(np.maximum(y, floor)))
        distances.append(convergence + logs.mean())
    return Ratio(float(np.mean(distances) * len(true)), float(len(true)))


# --- pitch and time ------------------------------------------------------------------------------


def pitch(true: np.ndarray, predicted: np.ndarray) -> dict[str, Measure]:
    """How near one f0 curve is to another; pitch on frames voiced in both.

    Args:
      true, predicted: [T] Hz, 0 unvoiced, of the same length.

    Returns:
      f0_median_cents (of |error|), f0_within_50_cents and f0_gross_error (shares of the frames
      voiced in both; an error above `GROSS_CENTS` is gross, mostly an octave that a tracker
      mistook), f0_fine_rmse_cents and f0_correlation (of the cents of the other frames),
      vuv_error (share of all frames whose voicing differs).
    """
    true, predicted = np.asarray(true, np.float64), np.asarray(predicted, np.float64)
    both = (true > 0) & (predicted > 0)
    x, y = cents(true[both]), cents(predicted[both])
    error, n = np.abs(x - y), float(both.sum())
    fine = error <= GROSS_CENTS
    gross, x, y = n - float(fine.sum()), x[fine], y[fine]
    return {
        "f0_gross_error": Ratio(gross, n),
        "f0_fine_rmse_cents": RootMean(float((error[fine] ** 2).sum()), n - gross),
        "f0_correlation": Correlation(
            n - gross, *(float(v.sum()) for v in (x, y, x * x, y * y, x * y))
        ),
        "f0_median_cents": Median(tuple(error.tolist())),
        "f0_within_50_cents": Ratio(float((error <= 50).sum()), n),
        "vuv_error": Ratio(float(((true > 0) != (predicted > 0)).sum()), float(len(true))),
    }


def durations(true: np.ndarray, predicted: np.ndarray, spec: MelSpec) -> dict[str, Measure]:
    """How near predicted durations are, phoneme by phoneme.

    Args:
      true, predicted: [N] frames.

    Returns:
      duration_error_ms (mean |error|), duration_rmse_frames.
    """
    error = np.abs(np.asarray(predicted, np.float64) - true)
    n = float(len(error))
    return {
        "duration_error_ms": Ratio(float(error.sum()) * 1000 / spec.frames_per_sec, n),
        "duration_rmse_frames": RootMean(float((error**2).sum()), n),
    }


def timing(
    true: np.ndarray,
    predicted: np.ndarray,
    is_vowel: np.ndarray,
    is_rest: np.ndarray,
    spec: MelSpec,
) -> dict[str, Measure]:
    """How near vowels begin, and consonants last.

    Args:
      true, predicted: [N] frames, of the same sum.
      is_vowel, is_rest: bool[N] of the phonemes; what is neither is a consonant.

    Returns:
      vowel_onset_ms (median |error| of where vowels begin), consonant_error_ms (mean |error| of
      the consonants' lengths).
    """
    true, predicted = np.asarray(true, np.float64), np.asarray(predicted, np.float64)
    ms = 1000 / spec.frames_per_sec
    begins = np.abs(np.cumsum(predicted) - predicted - (np.cumsum(true) - true))
    consonants = np.abs(predicted - true)[~is_vowel & ~is_rest]
    return {
        "vowel_onset_ms": Median(tuple((begins[is_vowel] * ms).tolist())),
        "consonant_error_ms": Ratio(float(consonants.sum()) * ms, float(len(consonants))),
    }
