"""Which times a sampler steps through: from a start of any depth to the data, on the host.

All return times of a path, i32 or f32[steps + 1] by its kind, the start first and the end, at
which the model is not called, last.
"""

from __future__ import annotations

import numpy as np

from diffsinger_jax.diffusion.path import Path

LEAST_ALPHA = 1e-5
"""At pure noise log(alpha / sigma) is taken here: it has to be finite."""


def even_times(path: Path, depth: float, steps: int) -> np.ndarray:
    """Evenly spread over depth.

    Args:
      path: to step along.
      depth: of the start, in (0, path.depth].
      steps: how many; at most `depth` if the path is discrete.

    Raises:
      ValueError: if depth or steps are out of range.
    """
    if not 0 < depth <= path.depth:
        raise ValueError(f"k_step is 1 to {path.depth} on this path, got {depth}")
    if steps < 1 or (path.discrete and steps > depth):
        raise ValueError(f"sampling from k_step={depth} takes 1 to {depth} steps, got {steps}")
    return path.at_depth(np.linspace(depth, 0, steps + 1))


def log_snr_times(path: Path, depth: float, steps: int) -> np.ndarray:
    """At even distances of log(alpha / sigma), then the data.

    Most of them lie where little noise is left, where a solver in log signal-to-noise needs
    them. On a discrete path they are rounded to whole times, none twice.

    Raises:
      ValueError: as `even_times`.
    """
    even = even_times(path, depth, steps)
    depths = np.linspace(path.resolution, path.depth, len(path.grid()))
    log_snr = log_signal_to_noise(path, path.grid())  # falling
    start = np.interp(depth, depths, log_snr)
    wanted = np.linspace(start, log_snr[0], steps, endpoint=False)
    found = np.interp(-wanted, -log_snr, depths)
    found[0] = depth
    if path.discrete:
        found = np.round(found)
        for i in range(1, steps):
            found[i] = max(min(found[i], found[i - 1] - 1), steps - i)
    return np.append(path.at_depth(found), even[-1:])


def interval_times(path: Path, depth: int, interval: int) -> np.ndarray:
    """Of a schedule's steps below `depth` the multiples of `interval`, falling to 0, then the data.

    Raises:
      ValueError: if not 1 <= interval <= depth, or the path is not discrete.
    """
    if not path.discrete:
        raise ValueError("intervals are of whole steps, and this path has none")
    if not 1 <= interval <= depth:
        raise ValueError(f"from k_step={depth} intervals are 1 to {depth}, got {interval}")
    steps = np.arange(0, depth, interval)[::-1]
    return path.at_depth(np.append(steps + 1, 0))


def log_signal_to_noise(path: Path, times: np.ndarray) -> np.ndarray:
    """log(alpha / sigma) at times of a path, f64; inf at the data."""
    alpha, sigma = path.on_host(times)
    with np.errstate(divide="ignore"):
        return np.log(np.maximum(alpha, LEAST_ALPHA) / sigma)
