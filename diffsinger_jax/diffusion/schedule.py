"""Noise schedules: how much of the data is left after t steps of diffusion."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.diffusion.path import Path


@dataclasses.dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """The variances of a discrete diffusion q(x_t | x_{t-1}), t = 0 .. S-1.

    `alpha_bar[t]` is the product of `1 - betas` up to and including t, so that
    q(x_t | x_0) = N(sqrt(alpha_bar_t) x_0, (1 - alpha_bar_t) I)    (Ho et al. 2020, eq. 4).

    Kept in float64 on the host: 1 - alpha_bar is a small difference at first, and a product of
    a thousand factors at last. Only finished coefficients are rounded.

    Attributes:
      betas: f64[S], in (0, 1).
    """

    betas: np.ndarray

    @property
    def alpha_bar(self) -> np.ndarray:
        """f64[S], falling from almost 1 towards 0."""
        return np.cumprod(1.0 - self.betas)

    @property
    def steps(self) -> int:
        """S, the length of the schedule."""
        return len(self.betas)

    @functools.cached_property
    def path(self) -> Path:
        """alpha_t = sqrt(abar_t) and sigma_t = sqrt(1 - abar_t) at t = 0 .. S-1; the data is -1.

        Whole times read tables. Between them log abar is a line, as DPM-Solver has it (Lu et al.
        2022, appendix D.4).
        """
        abar = np.append(self.alpha_bar, 1.0)  # the last is that of the data: -1 counts from behind
        log_alpha = 0.5 * np.log(np.roll(abar, 1))  # at -1 .. S-1
        return Path(
            alpha=_sampled(np.sqrt(abar), log_alpha, lambda log, xp: xp.exp(log)),
            sigma=_sampled(
                np.sqrt(1.0 - abar), log_alpha, lambda log, xp: xp.sqrt(-xp.expm1(2.0 * log))
            ),
            noise_time=self.steps - 1,
            data_time=-1,
            resolution=1,
            discrete=True,
        )


def _sampled(table: np.ndarray, log_alpha: np.ndarray, between: Any) -> Any:
    """Of `NoiseSchedule.path`: the function that reads f64[S + 1] `table` at whole times."""
    places = np.arange(-1.0, len(table) - 1)

    def value(t: Any) -> Any:
        on_device = isinstance(t, jax.Array)
        if jnp.issubdtype(jnp.result_type(t), jnp.integer):
            return jnp.asarray(table, jnp.float32)[t] if on_device else table[t]
        library = jnp if on_device else np
        return between(library.interp(t, places, log_alpha), library)

    return value


def linear_schedule(steps: int, beta_min: float = 1e-4, beta_max: float = 0.06) -> NoiseSchedule:
    """Betas on a line from `beta_min` to `beta_max`; DiffSinger uses 100 steps up to 0.06.

    Raises:
      ValueError: if not 0 < beta_min <= beta_max < 1, or steps < 1.
    """
    if steps < 1 or not 0 < beta_min <= beta_max < 1:
        raise ValueError(
            f"a linear schedule needs steps >= 1 and 0 < beta_min <= beta_max < 1, "
            f"got steps={steps}, beta_min={beta_min}, beta_max={beta_max}"
        )
    return NoiseSchedule(np.linspace(beta_min, beta_max, steps))


def cosine_schedule(steps: int, offset: float = 0.008) -> NoiseSchedule:
    """alpha_bar on a squared cosine, betas clipped at 0.999 (Nichol and Dhariwal 2021, eq. 17).

    Raises:
      ValueError: if steps < 1.
    """
    if steps < 1:
        raise ValueError(f"a cosine schedule needs steps >= 1, got steps={steps}")
    angle = (np.linspace(0.0, 1.0, steps + 1) + offset) / (1.0 + offset) * np.pi / 2
    alpha_bar = np.cos(angle) ** 2
    return NoiseSchedule(np.clip(1.0 - alpha_bar[1:] / alpha_bar[:-1], 0.0, 0.999))


def variance_preserving_schedule(
    steps: int, beta_min: float = 0.1, beta_max: float = 40.0
) -> NoiseSchedule:
    """Few and large steps of a continuous diffusion (Song et al. 2021; DiffGAN-TTS, eq. 4).

        beta_t = 1 - exp(-beta_min / T - (beta_max - beta_min) (2 t - 1) / (2 T^2)),  t = 1 .. T

    Raises:
      ValueError: if not 0 < beta_min <= beta_max, or steps < 1.
    """
    if steps < 1 or not 0 < beta_min <= beta_max:
        raise ValueError(
            f"a variance preserving schedule needs steps >= 1 and 0 < beta_min <= beta_max, "
            f"got steps={steps}, beta_min={beta_min}, beta_max={beta_max}"
        )
    t = np.arange(1, steps + 1)
    rates = beta_min / steps + 0.5 * (beta_max - beta_min) * (2 * t - 1) / steps**2
    return NoiseSchedule(-np.expm1(-rates))


SCHEDULES: Mapping[str, Callable[..., NoiseSchedule]] = {
    "linear": linear_schedule,
    "cosine": cosine_schedule,
    "variance_preserving": variance_preserving_schedule,
}
"""The schedules that a config can name."""


def make_schedule(settings: Mapping[str, Any]) -> NoiseSchedule:
    """The schedule of a config or a voice: its `name` in `SCHEDULES` and keyword arguments."""
    keywords = dict(settings)
    return SCHEDULES[keywords.pop("name")](**keywords)
