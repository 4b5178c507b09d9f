"""Phones in time from recordings and their phones alone: hidden Markov models trained on the spot.

Every phone is a few states from left to right, each a Gaussian over cepstra. They start from
recordings cut evenly, and are then fitted and aligned in turn (Viterbi training; Rabiner 1989).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.fft import dct

from diffsinger_jax.score.phonology import is_rest
from diffsinger_jax.text.phones import without_stress
from diffsinger_jax.types import MelSpec

ALIGNMENT_MEL = MelSpec(
    sample_rate=16_000, hop=160, n_fft=512, win=400, n_mels=40, fmin=60.0, fmax=7600.0
)
"""What is aligned by: a frame every 10 ms."""
CEPSTRA = 13
STATES = 3
"""Of a phone; a rest has one, and may be left out where nobody pauses."""
ITERATIONS = 20
_SMALLEST_VARIANCE = 0.05
"""Of a state, as a share of the variance of everything."""
_NEVER = -1e30


@dataclasses.dataclass(frozen=True)
class States:
    """The states of one recording, in order.

    Attributes:
      kind: i32[S] which Gaussian each is.
      phone: i32[S] which phone of the recording each belongs to.
      rest: bool[S] whether it is the state of a rest, which may be left out.
    """

    kind: np.ndarray
    phone: np.ndarray
    rest: np.ndarray


def cepstra(mel: np.ndarray) -> np.ndarray:
    """f32[T, M] log mel to f64[T, 2 CEPSTRA]: cepstra without their mean, and their slopes."""
    values = dct(np.asarray(mel, np.float64), axis=1, norm="ortho")[:, :CEPSTRA]
    values -= values.mean(axis=0)
    padded = np.pad(values, ((2, 2), (0, 0)), mode="edge")
    slope = (2 * (padded[4:] - padded[:-4]) + padded[3:-1] - padded[1:-3]) / 10.0
    return np.concatenate([values, slope], axis=1)


def align_phones(
    mels: Sequence[np.ndarray], phones: Sequence[Sequence[str]], iterations: int = ITERATIONS
) -> list[np.ndarray]:
    """Frames of each phone of each recording.

    Args:
      mels: f32[T, M] log mel of each, of `ALIGNMENT_MEL`.
      phones: of each, rests where there may be a pause; stress is not looked at.
      iterations: of fitting and aligning.

    Returns:
      i32[N] for each, with sum T; a rest has 0 where there is none. A recording with fewer frames
      than states is cut evenly.
    """
    frames = [cepstra(mel) for mel in mels]
    names = sorted({without_stress(phone) for row in phones for phone in row})
    number = {name: i * STATES for i, name in enumerate(names)}
    rows = [_states(row, number) for row in phones]
    whole = np.concatenate(frames)
    floor = _SMALLEST_VARIANCE * whole.var(axis=0) + 1e-9  # all may be silent
    paths = [_evenly(len(f), len(row.kind)) for f, row in zip(frames, rows, strict=True)]
    for _ in range(iterations):
        mean, variance = _fitted(frames, rows, paths, len(names) * STATES, floor)
        paths = [
            _viterbi(_log_likelihood(f, mean[row.kind], variance[row.kind]), row.rest)
            for f, row in zip(frames, rows, strict=True)
        ]
    return [
        np.bincount(row.phone[path], minlength=len(symbols)).astype(np.int32)
        for row, path, symbols in zip(rows, paths, phones, strict=True)
    ]


def _states(phones: Sequence[str], number: dict[str, int]) -> States:
    counts = [1 if is_rest(phone) else STATES for phone in phones]
    phone = np.repeat(np.arange(len(phones)), counts)
    within = np.concatenate([np.arange(count) for count in counts])
    kind = np.array([number[without_stress(p)] for p in phones])[phone] + within
    rest = np.array([is_rest(p) for p in phones])[phone]
    return States(kind, phone, rest)


def _evenly(frames: int, states: int) -> np.ndarray:
    """i64[T] the state of each frame, all about equally long."""
    return np.minimum(np.arange(frames) * states // max(frames, 1), states - 1)


def _fitted(
    frames: Sequence[np.ndarray],
    rows: Sequence[States],
    paths: Sequence[np.ndarray],
    kinds: int,
    floor: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each kind of state, f64[K, D]; those of all where it has no frame."""
    values = np.concatenate(frames)
    kind = np.concatenate([row.kind[path] for row, path in zip(rows, paths, strict=True)])
    count = np.bincount(kind, minlength=kinds)[:, None]
    sums, squares = np.zeros((2, kinds, values.shape[1]))
    np.add.at(sums, kind, values)
    np.add.at(squares, kind, values**2)
    # As if each had been seen once as everything is.
    mean = (sums + values.mean(axis=0)) / (count + 1)
    square = (squares + (values**2).mean(axis=0)) / (count + 1)
    return mean, np.maximum(square - mean**2, floor)


def _log_likelihood(frames: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """f64[T, S] of each frame in each state, but for a constant."""
    constant = (np.log(variance) + mean**2 / variance).sum(axis=1)
    return -0.5 * (frames**2 @ (1 / variance).T - 2 * frames @ (mean / variance).T + constant)


def _viterbi(log_likelihood: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """i64[T] the most likely path through the states, one forward or over a rest at a time."""
    length, count = log_likelihood.shape
    if length < count:
        return _evenly(length, count)
    reached = np.full(count, _NEVER)
    reached[: 2 if count > 1 and rest[0] else 1] = 0.0
    reached += log_likelihood[0]
    back = np.zeros((length, count), np.int8)
    ways = np.full((3, count), _NEVER)
    over = np.where(rest[1:-1], 0.0, _NEVER)
    for t in range(1, length):
        ways[0] = reached
        ways[1, 1:] = reached[:-1]
        ways[2, 2:] = reached[:-2] + over
        back[t] = ways.argmax(axis=0)
        reached = ways.max(axis=0) + log_likelihood[t]
    at = count - 2 if count > 1 and rest[-1] and reached[-2] > reached[-1] else count - 1
    path = np.empty(length, int)
    for t in range(length - 1, -1, -1):
        path[t] = at
        at -= int(back[t, at])
    return path
