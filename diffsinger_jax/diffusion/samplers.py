"""Walks back from noise to data. A sampler knows only estimates of x_0, never the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.diffusion.processes import q_sample
from diffsinger_jax.diffusion.schedule import NoiseSchedule

NoiseAt = Callable[[jax.Array], jax.Array]
"""t i32[] -> the standard normal noise [B, T, D] of step t; the walk's start draws that of K."""

PredictX0 = Callable[[jax.Array, jax.Array], jax.Array]
"""(x_t [B, T, D], t i32[B]) -> estimate of x_0 [B, T, D]; condition and process closed over."""


def row_noise(keys: jax.Array, shape: tuple[int, int, int]) -> jax.Array:
    """Standard normal noise [B, T, D], each row from its own key.

    A row depends neither on the other rows nor on how far it is padded, since the generator
    counts elements from the front.

    Args:
      keys: [B] random keys.
      shape: (B, T, D).
    """
    return jax.vmap(lambda key: jax.random.normal(key, shape[1:]))(keys)


class StepWeights(NamedTuple):
    """One reverse step is x_next = x0 * estimate + x_t * x_t + noise * noise; f32[...] each."""

    x0: np.ndarray
    x_t: np.ndarray
    noise: np.ndarray


def step_weights(
    schedule: NoiseSchedule, t: np.ndarray, t_next: np.ndarray, *, eta: float = 1.0
) -> StepWeights:
    """The weights of a step x_t -> x_{t_next} (Song et al. 2021, DDIM, eq. 12 and 16).

        sigma = eta sqrt((1 - abar_next) / (1 - abar_t)) sqrt(1 - abar_t / abar_next)
        x_next = sqrt(abar_next) x_0 + sqrt(1 - abar_next - sigma^2) eps + sigma noise

    with eps written as what x_0 leaves of x_t. With eta = 1 and t_next = t - 1 this is the
    ancestral step of DDPM with the posterior variance; eta = 0 is deterministic. Worked out in
    float64, where the small differences do no harm.

    Args:
      schedule: of length S.
      t: int[...] in [0, S).
      t_next: int[...] < t; -1 is the data itself, where x_0 is returned.
      eta: share of the noise that is drawn anew, in [0, 1].
    """
    abar = schedule.alpha_bar[t]
    abar_next = np.where(t_next >= 0, schedule.alpha_bar[np.maximum(t_next, 0)], 1.0)
    sigma2 = eta**2 * (1.0 - abar_next) / (1.0 - abar) * (1.0 - abar / abar_next)
    of_x_t = np.sqrt(np.maximum(1.0 - abar_next - sigma2, 0.0) / (1.0 - abar))
    weights = np.sqrt(abar_next) - of_x_t * np.sqrt(abar), of_x_t, np.sqrt(sigma2)
    return StepWeights(*(np.asarray(weight, np.float32) for weight in weights))


def reverse_step(
    predict_x0: PredictX0,
    x_t: jax.Array,
    t: jax.Array,
    weights: StepWeights,
    noise: jax.Array,
    *,
    clip_x0: float | None = 1.0,
) -> jax.Array:
    """One step x_t -> x_{t_next}.

    Args:
      predict_x0: the model's estimate.
      x_t: [B, T, D], kept in float32 whatever the model computes in.
      t: i32[], the same step for the whole batch.
      weights: of this step, f32[] each, see `step_weights`.
      noise: [B, T, D] standard normal.
      clip_x0: bound on the predicted x_0, or None; mels scaled to [-1, 1] want 1.

    Returns:
      x_{t_next}: [B, T, D].
    """
    x0 = predict_x0(x_t, jnp.full(x_t.shape[:1], t))
    if clip_x0 is not None:
        x0 = jnp.clip(x0, -clip_x0, clip_x0)
    return weights.x0 * x0 + weights.x_t * x_t + weights.noise * noise


def step_sequence(k_step: int, steps: int) -> np.ndarray:
    """The steps that a walk from k visits: i32[steps], falling from k_step - 1, evenly spread.

    Raises:
      ValueError: if not 1 <= steps <= k_step.
    """
    if not 1 <= steps <= k_step:
        raise ValueError(f"a walk from k_step={k_step} takes 1 to {k_step} steps, got {steps}")
    spread = np.linspace(k_step, 0, steps, endpoint=False)
    return np.round(spread).astype(np.int32) - 1


def interval_sequence(k_step: int, interval: int) -> np.ndarray:
    """The multiples of `interval` below k, falling to 0: i32[ceil(k / interval)].

    Raises:
      ValueError: if not 1 <= interval <= k_step.
    """
    if not 1 <= interval <= k_step:
        raise ValueError(f"a walk from k_step={k_step} has intervals 1 to {k_step}, got {interval}")
    return np.arange(0, k_step, interval, dtype=np.int32)[::-1]


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


def walk_back(
    schedule: NoiseSchedule,
    predict_x0: PredictX0,
    x: jax.Array,
    noise_at: NoiseAt,
    walk: np.ndarray,
    *,
    eta: float = 1.0,
    clip_x0: float | None = 1.0,
) -> jax.Array:
    """`reverse_step` along `walk` i32[steps], falling; x [B, T, D] at walk[0] -> z [B, T, D]."""

    def body(x_t, step):
        t, weights = step
        return reverse_step(predict_x0, x_t, t, weights, noise_at(t), clip_x0=clip_x0), None

    weights = step_weights(schedule, walk, np.append(walk[1:], -1), eta=eta)
    return jax.lax.scan(body, x, jax.tree.map(jnp.asarray, (walk, weights)))[0]


def key_noise(keys: jax.Array, shape: tuple[int, int, int], temperature: float = 1.0) -> NoiseAt:
    """Noise of step t from `fold_in(key, t)` of each row's key."""

    def noise_at(t: jax.Array) -> jax.Array:
        row_keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, t)
        return temperature * row_noise(row_keys, shape)

    return noise_at


def shallow_sample(
    schedule: NoiseSchedule,
    predict_x0: PredictX0,
    z_start: jax.Array,
    *,
    keys: jax.Array,
    k_step: int,
    steps: int | None = None,
    eta: float = 1.0,
    temperature: float = 1.0,
    clip_x0: float | None = 1.0,
    start: str = "blurry",
) -> jax.Array:
    """Starts at step k from a blurry mel instead of at step S from noise.

    After k steps of diffusion the auxiliary decoder's mel and the real one have almost
    the same distribution (Liu et al. 2022, section 3.2), so only k reverse steps remain.
    With `k_step == S` and any `z_start` this is the naive sampler up to abar_{S-1}.
    The noise of step t comes from `fold_in(key, t)`, so a walk from k draws what the last
    k steps of a walk from further up draw.

    Args:
      schedule: of length S.
      predict_x0: the model's estimate.
      z_start: [B, T, D], the auxiliary mel scaled to [-1, 1].
      keys: [B], a random key for each row: a row does not depend on the others.
      k_step: in [1, S]; static, one compilation for each value.
      steps: how many of the k steps are visited, all of them by default; static.
      eta: 1 is DDPM, 0 is deterministic DDIM.
      temperature: factor on all noise that is drawn; below 1 is nearer to the blurry mel.
      clip_x0: see `reverse_step`.
      start: see `start_walk`.

    Returns:
      z: [B, T, D].

    Raises:
      ValueError: if k_step or steps are out of range.
    """
    noise_at = key_noise(keys, z_start.shape, temperature)
    x = start_walk(schedule, z_start, k_step, noise_at, start)
    walk = step_sequence(k_step, steps or k_step)
    return walk_back(schedule, predict_x0, x, noise_at, walk, eta=eta, clip_x0=clip_x0)
