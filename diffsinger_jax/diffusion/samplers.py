"""Walks back from noise to data, by name. A sampler knows only estimates of x_0, never the model.

All serve every process, and any start k, number of steps and batch; each is one `lax.scan` over a
float32 state, so that a program holds the model once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import numpy as np

from diffsinger_jax.diffusion.ancestral import ancestral_walk
from diffsinger_jax.diffusion.exponential import dpm_solver_pp_2m_walk, unipc_walk
from diffsinger_jax.diffusion.plms import plms_walk
from diffsinger_jax.diffusion.schedule import NoiseSchedule
from diffsinger_jax.diffusion.walk import (
    NoiseAt,
    PredictX0,
    key_noise,
    log_snr_sequence,
    start_walk,
    step_sequence,
)

Walk = Callable[[NoiseSchedule, PredictX0, jax.Array, NoiseAt, np.ndarray], jax.Array]
"""(schedule, predict_x0, x [B, T, D] at visits[0], noise_at, visits i32[steps]) -> z [B, T, D]."""


class Sampler(NamedTuple):
    """One method.

    Attributes:
      walk: see `Walk`.
      visits: (schedule, k_step, steps) -> the steps it visits, i32[steps], falling from k - 1.
      extra_calls: how often the model is called beyond once a step.
      draws: whether noise is drawn on the way; otherwise only at the start.
    """

    walk: Walk
    visits: Callable[[NoiseSchedule, int, int], np.ndarray]
    extra_calls: int = 0
    draws: bool = False


def _evenly(schedule: NoiseSchedule, k_step: int, steps: int) -> np.ndarray:
    return step_sequence(k_step, steps)


SAMPLERS: Mapping[str, Sampler] = {
    "ddpm": Sampler(ancestral_walk, _evenly, draws=True),
    "ddim": Sampler(functools.partial(ancestral_walk, eta=0.0), _evenly),
    "plms": Sampler(plms_walk, _evenly, extra_calls=1),
    "dpm_solver_pp_2m": Sampler(dpm_solver_pp_2m_walk, log_snr_sequence),
    "unipc": Sampler(unipc_walk, log_snr_sequence),
}
"""The methods that a config, a voice or a flag can name. Another eta of "ddim" is an argument of
`shallow_sample`."""


def shallow_sample(
    schedule: NoiseSchedule,
    predict_x0: PredictX0,
    z_start: jax.Array,
    *,
    keys: jax.Array,
    k_step: int,
    steps: int | None = None,
    visits: np.ndarray | None = None,
    method: str = "ddpm",
    eta: float = 0.0,
    temperature: float = 1.0,
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
      visits: i32[steps], falling, instead of the method's own.
      method: a name in `SAMPLERS`; static.
      eta: of "ddim" alone, the share of the noise that is drawn anew: 1 is "ddpm"; static.
      temperature: factor on all noise that is drawn; below 1 is nearer to the blurry mel.
      start: see `start_walk`.

    Returns:
      z: [B, T, D].

    Raises:
      ValueError: if k_step or steps are out of range.
    """
    noise_at = key_noise(keys, z_start.shape, temperature)
    x = start_walk(schedule, z_start, k_step, noise_at, start)
    sampler = SAMPLERS[method]
    if visits is None:
        visits = sampler.visits(schedule, k_step, steps or k_step)
    walk = sampler.walk
    if method == "ddim" and eta:
        walk = functools.partial(ancestral_walk, eta=eta)
    return walk(schedule, predict_x0, x, noise_at, visits)
