"""Paths from noise to data: x_t = alpha(t) x_0 + sigma(t) eps of a continuous time t.

A path says nothing of networks. Processes, samplers and starts read it alone, so that a schedule
of a thousand steps and a straight line are the same to them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

TimeFunction = Callable[[Any], Any]
"""Of times of any shape: f64 on the host for numpy arrays, f32 on the device for JAX arrays."""


@dataclasses.dataclass(frozen=True, eq=False)
class Path:
    """One path, and where on it the noise and the data are.

    How far a time lies from the data is its depth: 0 is the data, `depth` the noise. For a
    discrete path depths are numbers of steps, as the `k_step` of shallow diffusion.

    Attributes:
      alpha: t -> the factor on x_0.
      sigma: t -> the factor on the noise.
      noise_time: t where (almost) nothing of the data is left.
      data_time: t of the data itself, where alpha is 1 and sigma 0.
      resolution: the smallest depth at which there is noise that a network is asked about.
      discrete: whether times are whole numbers, i32, and otherwise f32.
    """

    alpha: TimeFunction
    sigma: TimeFunction
    noise_time: float
    data_time: float
    resolution: float = 1e-3
    discrete: bool = False

    @property
    def depth(self) -> float:
        """Of the noise: S for a schedule of S steps, 1 for a path over [0, 1]."""
        depth = abs(self.noise_time - self.data_time)
        return int(depth) if self.discrete else depth

    def at_depth(self, depth: Any) -> np.ndarray:
        """The times at these depths, i32 or f32[...]; rounded to whole ones if discrete."""
        depth = np.round(depth) if self.discrete else np.asarray(depth)
        return (self.data_time + self._towards_noise * depth).astype(self._dtype)

    def grid(self) -> np.ndarray:
        """All times of a discrete path, a thousand of another, from the data on; not its own."""
        count = round(self.depth / self.resolution)
        return self.at_depth(np.linspace(self.resolution, self.depth, count))

    def training_times(self, place: jax.Array, depth: float) -> jax.Array:
        """Times for training from uniform numbers, spread over all depths up to a bound.

        Args:
          place: f32[B] in [0, 1).
          depth: of the deepest; for a discrete path the number of different ones.

        Returns:
          t: i32[B] or f32[B].
        """
        if self.discrete:
            steps = jnp.minimum((place * depth).astype(jnp.int32), int(depth) - 1) + 1
            return int(self.data_time) + int(self._towards_noise) * steps
        return self.data_time + self._towards_noise * depth * (1.0 - place)

    def on_host(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """alpha and sigma at times, f64[...] each: what the weights of a sampler are made of."""
        times = np.asarray(times) if self.discrete else np.asarray(times, np.float64)
        return self.alpha(times), self.sigma(times)

    def coefficients(self, t: jax.Array) -> tuple[jax.Array, jax.Array]:
        """alpha and sigma at t [B], each f32[B, 1, 1]."""
        return self.alpha(t)[:, None, None], self.sigma(t)[:, None, None]

    def marginal(self, x0: jax.Array, t: jax.Array, eps: jax.Array) -> jax.Array:
        """x_t = alpha(t) x_0 + sigma(t) eps.

        Args:
          x0: [B, T, D] data, scaled to about [-1, 1].
          t: [B] times.
          eps: [B, T, D] standard normal noise.

        Returns:
          x_t: [B, T, D].
        """
        alpha, sigma = self.coefficients(t)
        return alpha * x0 + sigma * eps

    @property
    def _towards_noise(self) -> float:
        return 1.0 if self.noise_time > self.data_time else -1.0

    @property
    def _dtype(self) -> type[np.generic]:
        return np.int32 if self.discrete else np.float32
