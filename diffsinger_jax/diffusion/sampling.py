"""Shallow diffusion: how to sample, as one value, and the sampling itself."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.diffusion.noise import key_noise, time_number
from diffsinger_jax.diffusion.path import Path
from diffsinger_jax.diffusion.processes import Process
from diffsinger_jax.diffusion.samplers import Sampler, make_sampler
from diffsinger_jax.diffusion.samplers.estimates import PredictX0
from diffsinger_jax.diffusion.timesteps import interval_times

STARTS = ("auxiliary", "gaussian")
"""What sampling may start from: the noised auxiliary mel, or noise alone."""


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How a mel is sampled.

    Attributes:
      k_step: how deep in the noise sampling starts (`Path.at_depth`): 0 is the auxiliary mel
        itself; for a schedule a number of its steps.
      steps: of the sampler, at most k_step for a schedule.
      method: a name in `SAMPLERS`.
      temperature: factor on all noise that is drawn; below 1 is nearer to the auxiliary mel.
      eta: of the method "ddim", the share of the noise that is drawn anew: 1 is "ddpm".
      start: a name in `STARTS`.
      plms_interval: step through every so-many-th step of a schedule, counted from 0, whatever
        `steps` says, as the published programs of "plms" and openvpi's of "ddim" do.
      ends_at_data: with an interval, whether the last step leads from step 0 to the data.
      clip_x0: whether estimates of x_0 are kept within [-1, 1] by the methods that do so.
    """

    k_step: float
    steps: int
    method: str = "ddpm"
    temperature: float = 1.0
    eta: float = 0.0
    start: str = "auxiliary"
    plms_interval: int | None = None
    ends_at_data: bool = True
    clip_x0: bool = True

    def times(self, path: Path) -> np.ndarray:
        """The times of a path that are stepped through, [steps + 1].

        Raises:
          ValueError: if k_step, steps or the interval are out of range.
        """
        if self.plms_interval is not None:
            times = interval_times(path, int(self.k_step), self.plms_interval)
            return times if self.ends_at_data else times[:-1]
        return make_sampler(self.method).times(path, self.k_step, self.steps)

    @property
    def sampler(self) -> Sampler:
        """The method."""
        return make_sampler(self.method, self.eta, self.clip_x0)

    def model_times(self, path: Path) -> np.ndarray:
        """Those at which the model is called, sorted, none twice."""
        return np.unique(make_sampler(self.method).model_times(path, self.times(path)))


def shallow_sample(
    process: Process,
    predict: PredictX0,
    prior: jax.Array,
    keys: jax.Array,
    sampling: Sampling,
    temperature: jax.Array | float | None = None,
) -> jax.Array:
    """Starts at a depth K from an auxiliary mel instead of from noise.

    After K steps of diffusion the auxiliary decoder's mel and the real one have almost
    the same distribution (Liu et al. 2022, section 3.2), so only K reverse steps remain.
    From the full depth and any `prior` this is the naive sampler up to what is left of it.
    The noise of time t comes from `key_noise`, so that sampling from K draws what the last
    steps of sampling from deeper draw.

    Args:
      process: whose path is stepped along.
      predict: the model's estimate of what the method asks for, x_0 or the velocity.
      prior: [B, T, D], the auxiliary mel scaled to [-1, 1].
      keys: [B], a random key for each row: a row does not depend on the others.
      sampling: with a k_step above 0; static.
      temperature: of another value than sampling's, which may be traced.

    Returns:
      z: [B, T, D].

    Raises:
      ValueError: if k_step or steps are out of range.
    """
    temperature = sampling.temperature if temperature is None else temperature
    path, noise_at = process.path, key_noise(keys, prior.shape, temperature)
    first = jnp.asarray(path.at_depth(sampling.k_step))
    noise = temperature * start_noise(path, sampling.k_step, keys, prior.shape)
    x = shallow_start(process, prior, first, noise, sampling.start)
    return sampling.sampler.run(path, predict, x, noise_at, sampling.times(path))


def start_noise(path: Path, k_step: float, keys: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """The standard normal noise [B, T, D] that sampling from a depth k_step begins with.

    Args:
      path: to sample along.
      k_step: see `Sampling`.
      keys: [B], a random key for each row.
      shape: (B, T, D).
    """
    first = jnp.asarray(path.at_depth(k_step))
    return key_noise(keys, shape)(time_number(first) + 1)


def shallow_start(
    process: Process, prior: jax.Array, t: jax.Array, noise: jax.Array, start: str
) -> jax.Array:
    """x_t [B, T, D], from which a sampler steps back.

    Args:
      process: whose marginal is taken.
      prior: [B, T, D] the auxiliary mel.
      t: [] time of the start.
      noise: [B, T, D] standard normal.
      start: "auxiliary", the auxiliary mel noised to t, or "gaussian", noise alone.

    Raises:
      ValueError: for another start.
    """
    if start not in STARTS:
        raise ValueError(f"sampling starts from one of {', '.join(STARTS)}, not {start!r}")
    if start == "gaussian":
        return noise
    return process.marginal(prior, jnp.full(prior.shape[:1], t), noise)
