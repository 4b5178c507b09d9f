"""Predicted phoneme lengths -> frames that hold the score's time grid exactly."""

from __future__ import annotations

import numpy as np

VOWEL_SHARE = 0.4
"""Of the time between two onsets, the vowel keeps at least this much; consonants share the rest."""


def fit_to_score(
    predicted_frames: np.ndarray,
    *,
    starts: np.ndarray,
    fills: np.ndarray,
    start_frames: np.ndarray,
    total_frames: int,
) -> np.ndarray:
    """Phoneme lengths in frames, each onset exactly where the score has it.

    From one start up to the next lies a stretch: a vowel, its codas, and the leading consonants
    of the next syllable. Consonants keep their predicted lengths, scaled down together where
    they would leave their vowel less than `VOWEL_SHARE` of the stretch; what fills (the vowel,
    or several by their predictions) takes the rest. Every phoneme has at least one frame unless
    a stretch has fewer frames than phonemes: then what fills and the longest go first.

    Args:
      predicted_frames: f[N], unconstrained.
      starts: bool[N], True where a phoneme begins at `start_frames`; the first one must.
      fills: bool[N], at least one in every stretch.
      start_frames: i[N], rising; read where `starts`.
      total_frames: the end of the last stretch.

    Returns:
      i32[N], >= 0, with sum `total_frames - start_frames[0]`.

    Raises:
      ValueError: if the first phoneme does not start, or a stretch has nothing that fills it.
    """
    firsts = np.flatnonzero(starts)
    if firsts.size == 0 or firsts[0] != 0:
        raise ValueError("the first phoneme of a piece must be an onset")
    wanted = np.maximum(np.nan_to_num(np.asarray(predicted_frames, np.float64)), 1.0)
    edges = np.append(np.asarray(start_frames)[firsts], total_frames)
    lasts = np.append(firsts[1:], len(wanted))
    stretches = [
        _fill_stretch(wanted[first:last], np.asarray(fills[first:last], bool), int(frames))
        for first, last, frames in zip(firsts, lasts, np.diff(edges), strict=True)
    ]
    return np.concatenate(stretches).astype(np.int32)


def _fill_stretch(wanted: np.ndarray, fills: np.ndarray, frames: int) -> np.ndarray:
    """Shares `frames` among the phonemes of one stretch -> int[n] with that sum."""
    if not fills.any():
        raise ValueError("nothing fills the stretch between two onsets")
    count = len(wanted)
    if frames <= count:
        first_served = np.lexsort((-wanted, ~fills))  # what fills, then the longest
        result = np.zeros(count, int)
        result[first_served[:frames]] = 1
        return result

    shares = wanted.copy()
    kept_for_vowel = max(VOWEL_SHARE * frames, fills.sum())
    for_consonants = max(frames - kept_for_vowel, (~fills).sum())
    if (asked := wanted[~fills].sum()) > for_consonants:
        shares[~fills] *= for_consonants / asked
    shares[fills] *= (frames - shares[~fills].sum()) / wanted[fills].sum()

    # One frame for each, the rest by share; rounding the running sum keeps the total exact.
    beyond_one = np.maximum(shares - 1.0, 0.0)
    ends = np.floor(np.cumsum(beyond_one) / beyond_one.sum() * (frames - count) + 0.5)
    return 1 + np.diff(ends, prepend=0.0).astype(int)
