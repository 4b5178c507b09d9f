"""How far our numbers are from recorded ones, by what they are allowed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

BOUND, SAMPLED_BOUND, FEATURE_BOUND = 2e-5, 1e-4, 1e-4
"""Of a difference in units of the array's range: one call, whole sampling, sound -> features."""

Found = dict[str, tuple[float, float]]
"""By the name of what was recorded: the largest difference, and its bound."""


def relative(ours: Any, theirs: Any) -> float:
    """The largest difference, in units of the range of theirs; infinite for another shape."""
    if np.shape(ours) != np.shape(theirs):
        return float("inf")
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    extent = float(np.ptp(theirs)) or float(np.abs(theirs).max()) or 1.0
    return float(np.abs(ours - theirs).max()) / extent


def missing(cases: Mapping[str, Any], found: Found, left: Iterable[str] = ()) -> Found:
    """What was recorded as `out_*` or `times_*` and is in `found` by neither name, as too far.

    Args:
      cases: the recorded arrays.
      found: what was compared.
      left: beginnings of names, without `out_`, that are not compared.
    """
    left = tuple(left)
    recorded = [name for name in cases if name.startswith(("out_", "times_"))]
    return {
        short: (float("inf"), 0.0)
        for name in recorded
        if (short := name.removeprefix("out_")) not in found and not short.startswith(left)
    }
