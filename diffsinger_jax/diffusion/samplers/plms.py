"""PLMS, the linear multistep sampler of PNDM (Liu et al. 2022, pseudo numerical methods)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.diffusion.noise import NoiseAt
from diffsinger_jax.diffusion.path import Path
from diffsinger_jax.diffusion.samplers.estimates import PredictX0

ORDER = 4
"""Estimates of eps that a step mixes, once there are so many."""


def transfer_weights(
    path: Path, t: np.ndarray, t_next: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The step x_next = a x_t - b eps of eq. 11, in float64 until the end.

        a = alpha_next / alpha_t
        b = ((alpha_next sigma_t)^2 - (alpha_t sigma_next)^2)
            / (alpha_t (alpha_next sigma_t + alpha_t sigma_next))

    Args:
      path: that is stepped along.
      t, t_next: [...] times, t_next nearer to the data; some of the data is left at t.

    Returns:
      a, b: f32[...].

    Raises:
      ValueError: if nothing of the data is left at a time t.
    """
    alpha, sigma = path.on_host(t)
    alpha_next, sigma_next = path.on_host(t_next)
    if np.any(alpha <= 0):
        raise ValueError('"plms" steps by eps alone: it cannot start where nothing is left of x_0')
    ends = alpha_next * sigma, alpha * sigma_next
    of_eps = (ends[0] ** 2 - ends[1] ** 2) / (alpha * (ends[0] + ends[1]))
    return np.asarray(alpha_next / alpha, np.float32), np.asarray(of_eps, np.float32)


def plms_times(path: Path, times: np.ndarray) -> np.ndarray:
    """The times of the model's calls [steps + 1]: twice in the first step, at both of its ends.

    Where that step's end is the data itself, it is the last time before it.
    """
    end, (_, sigma) = times[1:2], path.on_host(times[1:2])
    end = end if sigma[0] > 0 else path.at_depth(np.array([path.resolution]))
    return np.concatenate([times[:1], end, times[1:-1]])


def adams_bashforth(times: np.ndarray) -> np.ndarray:
    """Weights of the newest estimates of eps at each step, for steps of any widths.

    The mean over a step of the polynomial in t through the newest estimates. At even steps these
    are the weights of eq. 12: 3/2, -1/2; then 23/12, -16/12, 5/12; then 55/24, -59/24, 37/24,
    -9/24. The last step counts as wide as the one before it, as in the published program.

    Args:
      times: [steps] of the calls, one a step.

    Returns:
      f32[steps, ORDER], newest first, zero for those that are not there yet.
    """
    times = np.asarray(times, np.float64)
    weights = np.zeros((len(times), ORDER))
    for i, t in enumerate(times):
        nodes = times[max(i - ORDER + 1, 0) : i + 1][::-1]
        width = times[i + 1] - t if i + 1 < len(times) else (t - times[i - 1] if i else -1.0)
        powers = np.arange(len(nodes))
        matrix = ((nodes - t) / width) ** powers[:, None]  # place of each node, in widths
        weights[i, : len(nodes)] = np.linalg.solve(matrix, 1.0 / (powers + 1.0))
    return weights.astype(np.float32)


def plms_sampler(
    path: Path,
    predict_x0: PredictX0,
    x: jax.Array,
    noise_at: NoiseAt,
    times: np.ndarray,
) -> jax.Array:
    """Deterministic; the model is called once a step and once more in the first one.

    The first step averages eps at both of its ends (Heun's method), the next three use two,
    three and four estimates of eps, and so on with four. Estimates are not clipped, as in the
    published program. Any batch size.

    Args:
      path: that is stepped along; some of the data has to be left at times[0].
      predict_x0: the model's estimate.
      x: [B, T, D] at times[0].
      noise_at: is not used.
      times: [steps + 1], from noise to data, best evenly spaced.

    Returns:
      x: [B, T, D] at times[-1].
    """

    def body(carry, call):
        x_t, seen, history = carry  # seen: what the model is shown; history: newest first
        t, a, b, weights, is_guess, is_kept = call
        rows = jnp.full(x_t.shape[:1], t)
        alpha, sigma = path.coefficients(rows)
        eps = (seen - alpha * predict_x0(seen, rows)) / sigma
        known = jnp.concatenate([eps[None], history])  # [ORDER, B, T, D]
        seen = a * x_t - b * jnp.einsum("n,nbtd->btd", weights, known)
        x_t = jnp.where(is_guess, x_t, seen)
        return (x_t, seen, jnp.where(is_kept, known[:-1], history)), None

    of_x, of_eps = transfer_weights(path, times[:-1], times[1:])
    weights = adams_bashforth(times[:-1])
    heun = np.zeros(ORDER, np.float32)
    heun[:2] = 0.5

    def twice(values):  # the first step's, for its second call too
        return np.concatenate([values[:1], values])

    calls = (
        plms_times(path, times),
        twice(of_x),
        twice(of_eps),
        np.concatenate([weights[:1], heun[None], weights[1:]]),
        np.arange(len(times)) == 0,
        np.arange(len(times)) != 1,
    )
    start = x, x, jnp.zeros((ORDER - 1, *x.shape), x.dtype)
    (x, _, _), _ = jax.lax.scan(body, start, jax.tree.map(jnp.asarray, calls))
    return x
