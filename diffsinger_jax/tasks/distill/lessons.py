"""What a student of few calls is taught at a time: an x_t, and what it should make of it.

A lesson is pure arithmetic on the teacher's estimates of x_0; it knows neither network nor batch.
All start where shallow sampling does, at a depth K.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.diffusion.path import Path
from diffsinger_jax.diffusion.samplers.estimates import PredictX0
from diffsinger_jax.diffusion.timesteps import even_times


class Plan(NamedTuple):
    """Of a student.

    Attributes:
      depth: K, where sampling starts.
      calls: of the student from there.
      intervals: of a teacher between K and the data, or the first noise: how finely it steps.
    """

    depth: float
    calls: int
    intervals: int


class Drawn(NamedTuple):
    """What a lesson is made of, for the rows of a batch.

    Attributes:
      x0: [B, T, D] data.
      prior: [B, T, D], the auxiliary mel scaled as x0.
      eps: [B, T, D] standard normal noise.
      place: f32[B] in [0, 1), which of the times; spread over the batch.
    """

    x0: jax.Array
    prior: jax.Array
    eps: jax.Array
    place: jax.Array


class Lesson(NamedTuple):
    """What the student shall estimate, `target` [B, T, D], of x_t [B, T, D] at times t [B]."""

    x_t: jax.Array
    t: jax.Array
    target: jax.Array


def consistency_times(path: Path, plan: Plan) -> np.ndarray:
    """[n + 1] from K to the first time with noise, evenly; whole times of a discrete path."""
    depths = np.linspace(plan.depth, path.resolution, plan.intervals + 1)
    times = path.at_depth(depths)
    return times[np.append(True, np.diff(times) != 0)]


def consistency_lesson(
    path: Path, plan: Plan, teacher: PredictX0, average: PredictX0, drawn: Drawn
) -> Lesson:
    """The same estimate as one interval further on (Song et al. 2023, algorithm 2).

    x_t is data with noise; the teacher's DDIM step leads to t_next, and the target is what the
    student's moving average makes of that.
    """
    times = jnp.asarray(consistency_times(path, plan))
    index = _index(drawn.place, len(times) - 1)
    t, t_next = times[index], times[index + 1]
    x_t = path.marginal(drawn.x0, t, drawn.eps)
    x_next = ddim_step(path, teacher(x_t, t), x_t, t, t_next)
    return Lesson(x_t, t, average(x_next, t_next))


def progressive_lesson(
    path: Path, plan: Plan, teacher: PredictX0, average: PredictX0, drawn: Drawn
) -> Lesson:
    """One DDIM step that ends where two of the teacher's do (Salimans and Ho 2022, algorithm 2).

    target = (x'' - (sigma'' / sigma) x_t) / (alpha'' - (sigma'' / sigma) alpha)
    """
    times = jnp.asarray(even_times(path, plan.depth, 2 * plan.calls))
    index = 2 * _index(drawn.place, plan.calls)
    t, t_middle, t_end = times[index], times[index + 1], times[index + 2]
    x_t = path.marginal(drawn.x0, t, drawn.eps)
    x_middle = ddim_step(path, teacher(x_t, t), x_t, t, t_middle)
    x_end = ddim_step(path, teacher(x_middle, t_middle), x_middle, t_middle, t_end)
    (alpha, sigma), (alpha_end, sigma_end) = path.coefficients(t), path.coefficients(t_end)
    ratio = sigma_end / sigma
    return Lesson(x_t, t, (x_end - ratio * x_t) / (alpha_end - ratio * alpha))


def reflow_lesson(
    path: Path, plan: Plan, teacher: PredictX0, average: PredictX0, drawn: Drawn
) -> Lesson:
    """Straight lines from the auxiliary mel's noise to where the teacher takes it.

    Liu et al. 2023, section 2.2: pairs (start, end) of the teacher are learnt again as a flow,
    whose paths are then straighter. On a straight path a point of the line is an x_t of its time,
    and the end the x_0 behind the velocity along it.
    """
    times = jnp.asarray(even_times(path, plan.depth, plan.intervals))
    rows = drawn.x0.shape[:1]
    start = path.marginal(drawn.prior, jnp.full(rows, times[0]), drawn.eps)

    def step(x: jax.Array, pair: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        t, t_next = (jnp.full(rows, one) for one in pair)
        return ddim_step(path, teacher(x, t), x, t, t_next), None

    end = jax.lax.scan(step, start, (times[:-1], times[1:]))[0]
    share = _index(drawn.place, plan.calls) / plan.calls  # where the student will be called
    x_t = start + share[:, None, None] * (end - start)
    return Lesson(x_t, times[0] + share * (times[-1] - times[0]), end)


def ddim_step(
    path: Path, x0: jax.Array, x_t: jax.Array, t: jax.Array, t_next: jax.Array
) -> jax.Array:
    """alpha_next x_0 + sigma_next eps with eps = (x_t - alpha x_0) / sigma, for times [B]."""
    (alpha, sigma), (alpha_next, sigma_next) = path.coefficients(t), path.coefficients(t_next)
    return alpha_next * x0 + sigma_next / sigma * (x_t - alpha * x0)


def _index(place: jax.Array, count: int) -> jax.Array:
    """i32[B] in [0, count) from uniform numbers."""
    return jnp.minimum((place * count).astype(jnp.int32), count - 1)


MakeLesson = Callable[[Path, Plan, PredictX0, PredictX0, Drawn], Lesson]
"""(path, plan, teacher, the student's average, drawn) -> lesson."""

LESSONS: dict[str, MakeLesson] = {
    "consistency": consistency_lesson,
    "progressive": progressive_lesson,
    "reflow": reflow_lesson,
}
"""How a student can be taught, by the name in a config."""
