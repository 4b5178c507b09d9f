"""PLMS, the linear multistep walk of PNDM (Liu et al. 2022, pseudo numerical methods)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.diffusion.samplers import PredictX0
from diffsinger_jax.diffusion.schedule import NoiseSchedule

ADAMS_BASHFORTH = np.array(
    [
        [1.0, 0.0, 0.0, 0.0],
        [3 / 2, -1 / 2, 0.0, 0.0],
        [23 / 12, -16 / 12, 5 / 12, 0.0],
        [55 / 24, -59 / 24, 37 / 24, -9 / 24],
    ],
    np.float32,
)
"""Weights of the newest estimate of eps and of those before it, by how many there are."""


def transfer_weights(
    schedule: NoiseSchedule, t: np.ndarray, t_next: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The step x_next = a x_t - b eps of eq. 11, in float64 until the end.

        a = sqrt(abar_next / abar_t)
        b = (abar_next - abar_t) / (sqrt(abar_t) (sqrt((1 - abar_next) abar_t)
                                                  + sqrt((1 - abar_t) abar_next)))

    Args:
      schedule: of length S.
      t, t_next: int[...] with t_next < t; -1 is the data itself.

    Returns:
      a, b: f32[...].
    """
    abar = schedule.alpha_bar[t]
    abar_next = np.where(t_next >= 0, schedule.alpha_bar[np.maximum(t_next, 0)], 1.0)
    of_x = np.sqrt(abar_next / abar)
    between = np.sqrt((1.0 - abar_next) * abar) + np.sqrt((1.0 - abar) * abar_next)
    of_eps = (abar_next - abar) / (np.sqrt(abar) * between)
    return np.asarray(of_x, np.float32), np.asarray(of_eps, np.float32)


def plms_walk(
    schedule: NoiseSchedule, predict_x0: PredictX0, x: jax.Array, walk: np.ndarray
) -> jax.Array:
    """Deterministic; the model is called once a step and once more in the first one.

    The first step averages eps at both of its ends (Heun's method), the next three use two,
    three and four estimates of eps, and so on with four. Any batch size.

    Args:
      schedule: of length S.
      predict_x0: the model's estimate, not clipped here.
      x: [B, T, D] at step walk[0].
      walk: i32[steps], evenly spaced and falling, see `interval_sequence`.

    Returns:
      z: [B, T, D].
    """
    after = np.append(walk[1:], -1)
    of_x, of_eps = transfer_weights(schedule, walk, after)

    def predict_eps(x_t: jax.Array, t: jax.Array) -> jax.Array:
        rows = jnp.full(x_t.shape[:1], t)
        signal, noise = schedule.signal_and_noise(rows)
        return (x_t - signal * predict_x0(x_t, rows)) / noise

    eps = predict_eps(x, jnp.asarray(walk[0]))
    guess = of_x[0] * x - of_eps[0] * eps
    eps_there = predict_eps(guess, jnp.asarray(max(int(after[0]), 0)))
    x = of_x[0] * x - of_eps[0] * (eps + eps_there) / 2.0
    history = jnp.stack([eps, jnp.zeros_like(eps), jnp.zeros_like(eps)])  # newest first

    def body(carry, step):
        x_t, history = carry
        t, a, b, weights = step
        eps = predict_eps(x_t, t)
        known = jnp.concatenate([eps[None], history])  # [4, B, T, D]
        mixed = jnp.einsum("n,nbtd->btd", weights, known)
        return (a * x_t - b * mixed, known[:3]), None

    counts = np.minimum(np.arange(1, len(walk)), 3)  # estimates from before
    steps = (walk[1:], of_x[1:], of_eps[1:], ADAMS_BASHFORTH[counts])
    (x, _), _ = jax.lax.scan(body, (x, history), jax.tree.map(jnp.asarray, steps))
    return x
