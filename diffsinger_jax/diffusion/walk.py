"""What all samplers share: where a walk starts, which steps it visits, where its noise is from."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.diffusion.processes import q_sample
from diffsinger_jax.diffusion.schedule import NoiseSchedule

NoiseAt = Callable[[jax.Array], jax.Array]
"""t i32[] -> the standard normal noise [B, T, D] of step t; the walk's start draws that of K."""

PredictX0 = Callable[[jax.Array, jax.Array], jax.Array]
"""(x_t [B, T, D], t i32[B]) -> estimate of x_0 [B, T, D]; condition and process closed over."""

X0_BOUND = 1.0
"""Estimates of x_0 are clipped to [-1, 1], the range that mels are scaled to."""


def row_noise(keys: jax.Array, shape: tuple[int, int, int]) -> jax.Array:
    """Standard normal noise [B, T, D], each row from its own key.

    A row depends neither on the other rows nor on how far it is padded, since the generator
    counts elements from the front.

    Args:
      keys: [B] random keys.
      shape: (B, T, D).
    """
    return jax.vmap(lambda key: jax.random.normal(key, shape[1:]))(keys)


def key_noise(keys: jax.Array, shape: tuple[int, int, int], temperature: float = 1.0) -> NoiseAt:
    """Noise of step t from `fold_in(key, t)` of each row's key."""

    def noise_at(t: jax.Array) -> jax.Array:
        row_keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, t)
        return temperature * row_noise(row_keys, shape)

    return noise_at


def start_walk(
    schedule: NoiseSchedule, z_start: jax.Array, k_step: int, noise_at: NoiseAt, start: str
) -> jax.Array:
    """x_{k-1} [B, T, D], from which a walk of k steps goes back.

    Args:
      schedule: of length S.
      z_start: [B, T, D] the blurry mel.
      k_step: in [1, S].
      noise_at: that of k is used.
      start: "blurry", the blurry mel diffused to step k - 1, or "gaussian", noise alone.

    Raises:
      ValueError: for another start or a k_step out of range.
    """
    if not 1 <= k_step <= schedule.steps:
        raise ValueError(f"k_step is 1 to {schedule.steps} for this schedule, got {k_step}")
    noise = noise_at(jnp.asarray(k_step))
    if start == "gaussian":
        return noise
    if start != "blurry":
        raise ValueError(f'a walk starts "blurry" or "gaussian", not {start!r}')
    return q_sample(schedule, z_start, jnp.full(z_start.shape[:1], k_step - 1), noise)


def step_sequence(k_step: int, steps: int) -> np.ndarray:
    """The steps that a walk from k visits: i32[steps], falling from k_step - 1, evenly spread.

    Raises:
      ValueError: if not 1 <= steps <= k_step.
    """
    if not 1 <= steps <= k_step:
        raise ValueError(f"a walk from k_step={k_step} takes 1 to {k_step} steps, got {steps}")
    spread = np.linspace(k_step, 0, steps, endpoint=False)
    return np.round(spread).astype(np.int32) - 1


def log_snr_sequence(schedule: NoiseSchedule, k_step: int, steps: int) -> np.ndarray:
    """Steps from k - 1 on, i32[steps], falling, at even distances of log(signal / noise).

    The next one would be step 0; most of them lie where little noise is left, where a solver in
    log signal-to-noise needs them. Rounded to whole steps, none twice.

    Raises:
      ValueError: if not 1 <= steps <= k_step.
    """
    even = step_sequence(k_step, steps)  # and its bounds
    log_snr = 0.5 * np.log(schedule.alpha_bar / (1.0 - schedule.alpha_bar))
    wanted = np.linspace(log_snr[k_step - 1], log_snr[0], steps, endpoint=False)
    visits = np.round(np.interp(-wanted, -log_snr, np.arange(schedule.steps))).astype(np.int32)
    visits[0] = even[0]
    for i in range(1, steps):
        visits[i] = max(min(visits[i], visits[i - 1] - 1), steps - 1 - i)
    return visits


def interval_sequence(k_step: int, interval: int) -> np.ndarray:
    """The multiples of `interval` below k, falling to 0: i32[ceil(k / interval)].

    Raises:
      ValueError: if not 1 <= interval <= k_step.
    """
    if not 1 <= interval <= k_step:
        raise ValueError(f"a walk from k_step={k_step} has intervals 1 to {k_step}, got {interval}")
    return np.arange(0, k_step, interval, dtype=np.int32)[::-1]


def clipped_x0(predict_x0: PredictX0, x_t: jax.Array, t: jax.Array) -> jax.Array:
    """The estimate of x_0 at one step t i32[] for the whole batch, within `X0_BOUND`."""
    return jnp.clip(predict_x0(x_t, jnp.full(x_t.shape[:1], t)), -X0_BOUND, X0_BOUND)
