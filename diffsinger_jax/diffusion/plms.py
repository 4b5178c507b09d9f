"""PLMS, the linear multistep walk of PNDM (Liu et al. 2022, pseudo numerical methods)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.diffusion.schedule import NoiseSchedule
from diffsinger_jax.diffusion.walk import NoiseAt, PredictX0

ORDER = 4
"""Estimates of eps that a step mixes, once there are so many."""


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


def adams_bashforth(visits: np.ndarray) -> np.ndarray:
    """Weights of the newest estimates of eps at each step, for steps of any widths.

    The mean over a step of the polynomial in t through the newest estimates. At even steps these
    are the weights of eq. 12: 3/2, -1/2; then 23/12, -16/12, 5/12; then 55/24, -59/24, 37/24,
    -9/24. The last step counts as wide as the one before it, as in the published program.

    Args:
      visits: i32[steps], falling.

    Returns:
      f32[steps, ORDER], newest first, zero for those that are not there yet.
    """
    visits = np.asarray(visits, np.float64)
    weights = np.zeros((len(visits), ORDER))
    for i, t in enumerate(visits):
        nodes = visits[max(i - ORDER + 1, 0) : i + 1][::-1]
        width = visits[i + 1] - t if i + 1 < len(visits) else (t - visits[i - 1] if i else -1.0)
        powers = np.arange(len(nodes))
        matrix = ((nodes - t) / width) ** powers[:, None]  # place of each node, in widths
        weights[i, : len(nodes)] = np.linalg.solve(matrix, 1.0 / (powers + 1.0))
    return weights.astype(np.float32)


def plms_walk(
    schedule: NoiseSchedule,
    predict_x0: PredictX0,
    x: jax.Array,
    noise_at: NoiseAt,
    visits: np.ndarray,
) -> jax.Array:
    """Deterministic; the model is called once a step and once more in the first one.

    The first step averages eps at both of its ends (Heun's method), the next three use two,
    three and four estimates of eps, and so on with four. Estimates are not clipped, as in the
    published program. Any batch size.

    Args:
      schedule: of length S.
      predict_x0: the model's estimate.
      x: [B, T, D] at step visits[0].
      noise_at: is not used.
      visits: i32[steps], falling, best evenly spaced.

    Returns:
      z: [B, T, D].
    """

    def body(carry, call):
        x_t, seen, history = carry  # seen: what the model is shown; history: newest first
        t, a, b, weights, is_guess, is_kept = call
        rows = jnp.full(x_t.shape[:1], t)
        signal, noise = schedule.signal_and_noise(rows)
        eps = (seen - signal * predict_x0(seen, rows)) / noise
        known = jnp.concatenate([eps[None], history])  # [ORDER, B, T, D]
        seen = a * x_t - b * jnp.einsum("n,nbtd->btd", weights, known)
        x_t = jnp.where(is_guess, x_t, seen)
        return (x_t, seen, jnp.where(is_kept, known[:-1], history)), None

    ends = np.append(visits[1:], -1)
    of_x, of_eps = transfer_weights(schedule, visits, ends)
    weights = adams_bashforth(visits)
    heun = np.zeros(ORDER, np.float32)
    heun[:2] = 0.5

    def twice(values):  # the first step's, for its second call too
        return np.concatenate([values[:1], values])

    calls = (
        np.concatenate([visits[:1], np.maximum(ends[:1], 0), visits[1:]]),
        twice(of_x),
        twice(of_eps),
        np.concatenate([weights[:1], heun[None], weights[1:]]),
        np.arange(len(visits) + 1) == 0,
        np.arange(len(visits) + 1) != 1,
    )
    start = x, x, jnp.zeros((ORDER - 1, *x.shape), x.dtype)
    (x, _, _), _ = jax.lax.scan(body, start, jax.tree.map(jnp.asarray, calls))
    return x
