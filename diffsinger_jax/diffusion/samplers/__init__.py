"""Samplers from noise to data, by name: times of a path and estimates of x_0, and no model.

All serve every process, any start, number of steps and batch; each is one `lax.scan` over a
float32 state, so that a program holds the model once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import numpy as np

from diffsinger_jax.diffusion.noise import NoiseAt
from diffsinger_jax.diffusion.path import Path
from diffsinger_jax.diffusion.samplers.ancestral import ancestral_sampler, consistency_sampler
from diffsinger_jax.diffusion.samplers.estimates import PredictX0
from diffsinger_jax.diffusion.samplers.exponential import dpm_solver_pp_2m_sampler, unipc_sampler
from diffsinger_jax.diffusion.samplers.plms import plms_sampler, plms_times
from diffsinger_jax.diffusion.samplers.runge_kutta import (
    TABLEAUS,
    Tableau,
    runge_kutta_sampler,
    stage_times,
)
from diffsinger_jax.diffusion.timesteps import even_times, log_snr_times

Run = Callable[[Path, PredictX0, jax.Array, NoiseAt, np.ndarray], jax.Array]
"""(path, predict_x0, x [B, T, D] at times[0], noise_at, times [steps + 1]) -> x at times[-1]."""


def _all_but_the_last(path: Path, times: np.ndarray) -> np.ndarray:
    return times[:-1]


class Sampler(NamedTuple):
    """One method.

    Attributes:
      run: see `Run`.
      times: (path, depth of the start, steps) -> the times it steps through, [steps + 1].
      model_times: (path, times) -> those at which it calls the model.
      extra_calls: how often the model is called beyond `calls_per_step`.
      calls_per_step: of the model.
      draws: whether noise is drawn on the way; otherwise only at the start.
      clips: whether it keeps estimates of x_0 within a bound, unless told not to.
      estimate: what it asks the process for, "x0" or "velocity".
    """

    run: Run
    times: Callable[[Path, float, int], np.ndarray]
    model_times: Callable[[Path, np.ndarray], np.ndarray] = _all_but_the_last
    extra_calls: int = 0
    calls_per_step: int = 1
    draws: bool = False
    clips: bool = True
    estimate: str = "x0"


SAMPLERS: Mapping[str, Sampler] = {
    "ddpm": Sampler(ancestral_sampler, even_times, draws=True),
    "ddim": Sampler(functools.partial(ancestral_sampler, eta=0.0), even_times),
    "plms": Sampler(plms_sampler, even_times, model_times=plms_times, extra_calls=1, clips=False),
    "dpm_solver_pp_2m": Sampler(dpm_solver_pp_2m_sampler, log_snr_times),
    "unipc": Sampler(unipc_sampler, log_snr_times),
}
"""The methods that a config, a voice or a flag can name; they serve every process."""


def _runge_kutta(tableau: Tableau) -> Sampler:
    def model_times(path: Path, times: np.ndarray) -> np.ndarray:
        return stage_times(tableau, times).reshape(-1)

    return Sampler(
        functools.partial(runge_kutta_sampler, tableau=tableau),
        even_times,
        model_times=model_times,
        calls_per_step=tableau.stages,
        clips=False,
        estimate="velocity",
    )


FLOW_SAMPLERS: Mapping[str, Sampler] = {
    name: _runge_kutta(tableau) for name, tableau in TABLEAUS.items()
}
"""Further methods, of processes that have a velocity."""

X0_SAMPLERS: Mapping[str, Sampler] = {
    **SAMPLERS,
    "consistency": Sampler(consistency_sampler, even_times, draws=True),
}
"""All that ask for x_0; "consistency" is of processes whose estimate is where the flow ends."""

ALL_SAMPLERS: Mapping[str, Sampler] = {**X0_SAMPLERS, **FLOW_SAMPLERS}


def make_sampler(method: str, eta: float = 0.0, clip_x0: bool = True) -> Sampler:
    """The sampler of a name.

    Args:
      method: a name in `ALL_SAMPLERS`.
      eta: of "ddim" alone, see `ancestral.step_weights`.
      clip_x0: whether estimates of x_0 are kept within `X0_BOUND` by samplers that do so.
    """
    sampler = ALL_SAMPLERS[method]
    run: Callable = sampler.run
    if sampler.clips and not clip_x0:
        run = functools.partial(run, bound=None)
    if method == "ddim" and eta:
        return sampler._replace(run=functools.partial(run, eta=eta), draws=True)
    return sampler._replace(run=run)
