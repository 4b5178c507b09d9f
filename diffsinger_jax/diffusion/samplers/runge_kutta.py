"""Explicit Runge-Kutta methods along the velocity dx/dt of a flow: Euler, midpoint, classical.

They ask the process for its velocity and not for x_0: at the data, where the last stages are, an
estimate of x_0 says nothing of the velocity any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.diffusion.noise import NoiseAt
from diffsinger_jax.diffusion.path import Path
from diffsinger_jax.diffusion.samplers.estimates import PredictVelocity


class Tableau(NamedTuple):
    """A method: k_i = v(x + h sum_j a_ij k_j, t + c_i h), x' = x + h sum_i b_i k_i.

    Attributes:
      c: [S] where in the step the stages are.
      a: of each stage but the first the weights of those before it.
      b: [S] weights of the stages in the step.
    """

    c: tuple[float, ...]
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]

    @property
    def stages(self) -> int:
        """S, the calls of the model in a step."""
        return len(self.b)

    def weights(self) -> np.ndarray:
        """f64[S, S]: row i makes what is seen after stage i, the last one the next x."""
        rows = np.zeros((self.stages, self.stages))
        for i, row in enumerate((*self.a, self.b)):
            rows[i, : len(row)] = row
        return rows


TABLEAUS: Mapping[str, Tableau] = {
    "euler": Tableau((0.0,), (), (1.0,)),
    "rk2": Tableau((0.0, 0.5), ((0.5,),), (0.0, 1.0)),  # the midpoint method
    "rk4": Tableau(  # the classical one
        (0.0, 0.5, 0.5, 1.0),
        ((0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)),
        (1 / 6, 1 / 3, 1 / 3, 1 / 6),
    ),
    "rk5": Tableau(  # Butcher 1964, of order five with six stages
        (0.0, 0.25, 0.25, 0.5, 0.75, 1.0),
        (
            (1 / 4,),
            (1 / 8, 1 / 8),
            (0.0, -1 / 2, 1.0),
            (3 / 16, 0.0, 0.0, 9 / 16),
            (-3 / 7, 2 / 7, 12 / 7, -12 / 7, 8 / 7),
        ),
        (7 / 90, 0.0, 32 / 90, 12 / 90, 32 / 90, 7 / 90),
    ),
}
"""The methods by name; the number is the order in which the error falls with the steps."""


def stage_times(tableau: Tableau, times: np.ndarray) -> np.ndarray:
    """Where a method calls the model on its way through times [steps + 1]: f32[steps, S]."""
    begins = np.asarray(times[:-1], np.float64)[:, None]
    widths = np.diff(np.asarray(times, np.float64))[:, None]
    return (begins + widths * np.asarray(tableau.c)[None, :]).astype(np.float32)


def runge_kutta_sampler(
    path: Path,
    predict_velocity: PredictVelocity,
    x: jax.Array,
    noise_at: NoiseAt,
    times: np.ndarray,
    *,
    tableau: Tableau,
) -> jax.Array:
    """Deterministic; one call of the model a stage, all stages in one scan.

    Args:
      path: not used: the velocity knows it.
      predict_velocity: the model's estimate of dx/dt.
      x: [B, T, D] at times[0].
      noise_at: is not used.
      times: f32[steps + 1], from noise to data.
      tableau: the method.

    Returns:
      x: [B, T, D] at times[-1].
    """
    stages, steps = tableau.stages, len(times) - 1
    widths = np.diff(np.asarray(times, np.float64))
    weights = widths[:, None, None] * tableau.weights()[None]  # [steps, S, S]

    def body(carry, call):
        x_t, seen, slopes = carry  # seen: what the model is shown; slopes: [S, B, T, D]
        t, stage, row = call
        slope = predict_velocity(seen, jnp.full(x_t.shape[:1], t))
        slopes = slopes.at[stage].set(slope)
        seen = x_t + jnp.einsum("s,sbtd->btd", row, slopes)
        return (jnp.where(stage == stages - 1, seen, x_t), seen, slopes), None

    calls = (
        jnp.asarray(stage_times(tableau, times).reshape(-1)),
        jnp.asarray(np.tile(np.arange(stages), steps)),
        jnp.asarray(weights.reshape(-1, stages), jnp.float32),
    )
    start = x, x, jnp.zeros((stages, *x.shape), x.dtype)
    return jax.lax.scan(body, start, calls)[0][0]
