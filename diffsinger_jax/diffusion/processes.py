"""How data becomes noise, what a network has to predict, and how that becomes data again.

A process never knows the network and a sampler never knows the process: a process turns the
network's output into an estimate of x_0, and the sampler walks with that estimate.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

import jax
import jax.numpy as jnp

from diffsinger_jax.diffusion.schedule import NoiseSchedule


def q_sample(schedule: NoiseSchedule, x0: jax.Array, t: jax.Array, eps: jax.Array) -> jax.Array:
    """Diffuses clean data to step t: x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps.

    Args:
      schedule: of length S.
      x0: [B, T, D] data, scaled to about [-1, 1].
      t: i32[B] steps in [0, S).
      eps: [B, T, D] standard normal noise.

    Returns:
      x_t: [B, T, D].
    """
    signal, noise = schedule.signal_and_noise(t)
    return signal * x0 + noise * eps


class Process(Protocol):
    """What every process can say. `prior` [B, T, D] is the blurry mel, scaled as x_0 is."""

    schedule: NoiseSchedule

    def trunk_input(self, x_t: jax.Array, t: jax.Array, prior: jax.Array) -> jax.Array:
        """What the network is shown of x_t, [B, T, D]."""

    def target(
        self, x0: jax.Array, x_t: jax.Array, t: jax.Array, eps: jax.Array, prior: jax.Array
    ) -> jax.Array:
        """What the network has to put out, [B, T, D]."""

    def x0(self, output: jax.Array, x_t: jax.Array, t: jax.Array, prior: jax.Array) -> jax.Array:
        """The estimate of x_0 behind the network's output, [B, T, D]; t is i32[B]."""


@dataclasses.dataclass(frozen=True, eq=False)
class EpsProcess:
    """The network predicts the noise (Ho et al. 2020); the paper's choice. Uses no prior."""

    schedule: NoiseSchedule

    def trunk_input(self, x_t: jax.Array, t: jax.Array, prior: jax.Array) -> jax.Array:
        """x_t itself."""
        return x_t

    def target(
        self, x0: jax.Array, x_t: jax.Array, t: jax.Array, eps: jax.Array, prior: jax.Array
    ) -> jax.Array:
        """eps."""
        return eps

    def x0(self, output: jax.Array, x_t: jax.Array, t: jax.Array, prior: jax.Array) -> jax.Array:
        """(x_t - sqrt(1 - abar_t) eps) / sqrt(abar_t)."""
        signal, noise = self.schedule.signal_and_noise(t)
        return (x_t - noise * output) / signal


@dataclasses.dataclass(frozen=True, eq=False)
class ResidualProcess:
    """The network corrects the best linear guess around the blurry mel.

    With x_0 = prior + r, r ~ N(0, scale^2), and y = x_t / sqrt(abar_t) = x_0 + sigma_t n,
    sigma_t^2 = (1 - abar_t) / abar_t, the best linear estimate of x_0 is the Wiener filter

        prior + scale^2 / (scale^2 + sigma_t^2) (y - prior).

    The network is shown y - prior with unit variance and predicts what is left, with unit
    variance too, at every t: the preconditioning of EDM (Karras et al. 2022, table 1) with
    sigma_data = scale, moved from 0 to the prior. An untrained network (output 0) is then
    already exact for Gaussian residuals, so that little training goes a long way.

    Attributes:
      schedule: of length S.
      scale: f32[D], the spread of x_0 around the prior in each channel.
    """

    schedule: NoiseSchedule
    scale: jax.Array

    def _coefficients(self, t: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """sqrt(abar_t), the Wiener gain and the spread of its error; [B, 1, 1] and [B, 1, D]."""
        signal, noise = self.schedule.signal_and_noise(t)
        sigma2 = (noise / signal) ** 2
        scale2 = self.scale[None, None, :] ** 2
        total = scale2 + sigma2
        return signal, scale2 / total, jnp.sqrt(scale2 * sigma2 / total)

    def trunk_input(self, x_t: jax.Array, t: jax.Array, prior: jax.Array) -> jax.Array:
        """(y - prior) / sqrt(scale^2 + sigma_t^2)."""
        signal, gain, _ = self._coefficients(t)
        return (x_t / signal - prior) * jnp.sqrt(gain) / self.scale[None, None, :]

    def target(
        self, x0: jax.Array, x_t: jax.Array, t: jax.Array, eps: jax.Array, prior: jax.Array
    ) -> jax.Array:
        """The linear guess's error over its own spread."""
        signal, gain, spread = self._coefficients(t)
        return (x0 - prior - gain * (x_t / signal - prior)) / spread

    def x0(self, output: jax.Array, x_t: jax.Array, t: jax.Array, prior: jax.Array) -> jax.Array:
        """The linear guess plus the network's correction."""
        signal, gain, spread = self._coefficients(t)
        return prior + gain * (x_t / signal - prior) + spread * output
