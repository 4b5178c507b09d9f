"""Arithmetic of pitch: Hz, MIDI numbers, cents, and f0 across unvoiced stretches.

Every function takes arrays of numpy or of JAX, and gives back the same kind.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from diffsinger_jax.types import Array

A4_HZ, A4_MIDI = 440.0, 69.0
CENTS_PER_OCTAVE, SEMITONES_PER_OCTAVE = 1200.0, 12.0


def midi_to_hz(midi: Array) -> Array:
    """440 * 2^((midi - 69) / 12), any shape; fractions of a semitone are cents."""
    return A4_HZ * 2.0 ** ((midi - A4_MIDI) / SEMITONES_PER_OCTAVE)


def hz_to_midi(hz: Array) -> Array:
    """69 + 12 log2(hz / 440), any shape; values below 1 Hz, the unvoiced 0 too, read as 1 Hz."""
    xp = _namespace(hz)
    return A4_MIDI + SEMITONES_PER_OCTAVE * xp.log2(xp.maximum(hz, 1.0) / A4_HZ)


def cents(hz: Array, reference_hz: Array | float = A4_HZ) -> Array:
    """1200 log2(hz / reference), for hz > 0."""
    return CENTS_PER_OCTAVE * _namespace(hz).log2(hz / reference_hz)


def semitones_to_ratio(semitones: Array | float) -> Array:
    """2^(semitones / 12), what frequencies are multiplied by."""
    return 2.0 ** (semitones / SEMITONES_PER_OCTAVE)


def fill_unvoiced(f0: Array) -> Array:
    """f0 with lines in log2 Hz across unvoiced stretches, the nearest value held at the ends.

    Args:
      f0: f[..., T] Hz, 0 unvoiced.

    Returns:
      f[..., T]; a row that is all unvoiced stays 0.
    """
    xp = _namespace(f0)
    frames = f0.shape[-1]
    voiced, place = f0 > 0, xp.broadcast_to(xp.arange(frames), f0.shape)
    before = _running_maximum(xp.where(voiced, place, -1))  # -1 where there is none
    after = -_running_maximum(xp.where(voiced, -place, -frames)[..., ::-1])[..., ::-1]
    left = xp.where(before < 0, after, before)
    right = xp.where(after >= frames, before, after)
    exact = f0.astype(np.float64) if xp is np else f0  # devices have float32 only
    log_f0 = xp.log2(xp.maximum(exact, 1.0))
    low, high = (
        xp.take_along_axis(log_f0, xp.clip(side, 0, frames - 1), axis=-1) for side in (left, right)
    )
    weight = (place - left) / xp.maximum(right - left, 1)
    filled = (2.0 ** (low + weight * (high - low))).astype(f0.dtype)
    return xp.where(voiced | ~voiced.any(axis=-1, keepdims=True), f0, filled)


def _running_maximum(x: Array) -> Array:
    """The largest value up to each place of the last axis, by doubling of what is looked back."""
    xp, step = _namespace(x), 1
    while step < x.shape[-1]:
        seen = xp.maximum(x[..., step:], x[..., :-step])
        x = xp.concatenate([x[..., :step], seen], axis=-1)
        step *= 2
    return x


def _namespace(x: Array) -> Any:
    """The module that computes with an array; numpy for plain numbers."""
    return x.__array_namespace__() if hasattr(x, "__array_namespace__") else np


def f0_at(f0: np.ndarray, places: np.ndarray) -> np.ndarray:
    """f32[n] of an f0 curve between its values: linear in log f0, the last value held.

    Between a voiced and an unvoiced value (0) the nearer one decides, so that no pitch between
    0 and the voice's is ever made up.

    Args:
      f0: [T] Hz.
      places: [n] from 0 on, in units of its values.
    """
    values = np.asarray(f0, np.float64)
    places = np.minimum(places, len(values) - 1)
    before = np.floor(places).astype(int)
    after = np.minimum(before + 1, len(values) - 1)
    weight = places - before
    nearest = np.where(weight < 0.5, values[before], values[after])
    log_f0 = np.log(np.maximum(values, 1e-3))
    between = np.exp((1.0 - weight) * log_f0[before] + weight * log_f0[after])
    voiced = (values[before] > 0) & (values[after] > 0)
    return np.where(voiced, between, nearest).astype(np.float32)
