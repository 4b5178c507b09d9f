"""What a network has to predict of noised data, and how that becomes an estimate of the data.

A process never knows the network and a sampler never knows the process: a process turns the
network's output into an estimate of x_0, and the sampler steps along the path with that estimate.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from diffsinger_jax.diffusion.field import GaussianField
from diffsinger_jax.diffusion.path import Path
from diffsinger_jax.diffusion.places import Places, PlaceTable, same_places
from diffsinger_jax.diffusion.schedule import SCHEDULES, make_schedule


class Process(Protocol):
    """What every process can say. `prior` [B, T, D] is the auxiliary mel, scaled as x_0 is."""

    @property
    def path(self) -> Path:
        """The path between noise and data; times t below are times of it."""

    def training_times(self, place: jax.Array, depth: float) -> jax.Array:
        """Times to learn at, [B], from uniform numbers f32[B]; see `Path.training_times`."""

    def trunk_time(self, t: jax.Array) -> jax.Array:
        """The number that the network is told for times t, f32[B]."""

    def marginal(self, x0: jax.Array, t: jax.Array, eps: jax.Array) -> jax.Array:
        """x_t [B, T, D] of data and standard normal noise."""

    def trunk_input(self, x_t: jax.Array, t: jax.Array, prior: jax.Array) -> jax.Array:
        """What the network is shown of x_t, [B, T, D] or several such beside each other."""

    def target(
        self, x0: jax.Array, x_t: jax.Array, t: jax.Array, eps: jax.Array, prior: jax.Array
    ) -> jax.Array:
        """What the network has to put out, [B, T, D]."""

    def x0(self, output: jax.Array, x_t: jax.Array, t: jax.Array, prior: jax.Array) -> jax.Array:
        """The estimate of x_0 behind the network's output, [B, T, D]."""


@dataclasses.dataclass(frozen=True, eq=False)
class OnPath:
    """What a process is by its path alone; the processes add what the network predicts."""

    path: Path

    def training_times(self, place: jax.Array, depth: float) -> jax.Array:
        """All depths up to the bound are as likely."""
        return self.path.training_times(place, depth)

    def trunk_time(self, t: jax.Array) -> jax.Array:
        """The time itself."""
        return t.astype(jnp.float32)

    def marginal(self, x0: jax.Array, t: jax.Array, eps: jax.Array) -> jax.Array:
        """alpha(t) x_0 + sigma(t) eps."""
        return self.path.marginal(x0, t, eps)

    def trunk_input(self, x_t: jax.Array, t: jax.Array, prior: jax.Array) -> jax.Array:
        """x_t itself."""
        return x_t


@dataclasses.dataclass(frozen=True, eq=False)
class EpsProcess(OnPath):
    """The network predicts the noise (Ho et al. 2020); the paper's choice. Uses no prior."""

    def target(
        self, x0: jax.Array, x_t: jax.Array, t: jax.Array, eps: jax.Array, prior: jax.Array
    ) -> jax.Array:
        """eps."""
        return eps

    def x0(self, output: jax.Array, x_t: jax.Array, t: jax.Array, prior: jax.Array) -> jax.Array:
        """(x_t - sigma_t eps) / alpha_t."""
        alpha, sigma = self.path.coefficients(t)
        return (x_t - sigma * output) / alpha


@dataclasses.dataclass(frozen=True, eq=False)
class X0Process(OnPath):
    """The network predicts the data itself, as in DiffGAN-TTS and ProDiff. Uses no prior."""

    def target(
        self, x0: jax.Array, x_t: jax.Array, t: jax.Array, eps: jax.Array, prior: jax.Array
    ) -> jax.Array:
        """x_0."""
        return x0

    def x0(self, output: jax.Array, x_t: jax.Array, t: jax.Array, prior: jax.Array) -> jax.Array:
        """The output itself."""
        return output


@dataclasses.dataclass(frozen=True, eq=False)
class ResidualProcess(OnPath):
    """The network corrects the best linear guess around the auxiliary mel.

    With x_0 = prior + r, r ~ N(0, scale^2), and y = x_t / alpha_t = x_0 + s_t n,
    s_t = sigma_t / alpha_t, the best linear estimate of x_0 is the Wiener filter

        prior + scale^2 / (scale^2 + s_t^2) (y - prior).

    The network is shown y - prior with unit variance and predicts what is left, with unit
    variance too, at every t: the preconditioning of EDM (Karras et al. 2022, table 1) with
    sigma_data = scale, moved from 0 to the prior. An untrained network (output 0) is then
    already exact for Gaussian residuals, so that little training goes a long way.

    Attributes:
      path: with some of the data left at every time.
      scale: f32[D], the spread of x_0 around the prior in each channel.
    """

    scale: jax.Array

    def _coefficients(self, t: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """alpha_t, the Wiener gain and the spread of its error; [B, 1, 1] and [B, 1, D]."""
        alpha, sigma = self.path.coefficients(t)
        noise2 = (sigma / alpha) ** 2
        scale2 = self.scale[None, None, :] ** 2
        total = scale2 + noise2
        return alpha, scale2 / total, jnp.sqrt(scale2 * noise2 / total)

    def trunk_input(self, x_t: jax.Array, t: jax.Array, prior: jax.Array) -> jax.Array:
        """(y - prior) / sqrt(scale^2 + s_t^2)."""
        alpha, gain, _ = self._coefficients(t)
        return (x_t / alpha - prior) * jnp.sqrt(gain) / self.scale[None, None, :]

    def target(
        self, x0: jax.Array, x_t: jax.Array, t: jax.Array, eps: jax.Array, prior: jax.Array
    ) -> jax.Array:
        """The linear guess's error over its own spread."""
        alpha, gain, spread = self._coefficients(t)
        return (x0 - prior - gain * (x_t / alpha - prior)) / spread

    def x0(self, output: jax.Array, x_t: jax.Array, t: jax.Array, prior: jax.Array) -> jax.Array:
        """The linear guess plus the network's correction."""
        alpha, gain, spread = self._coefficients(t)
        return prior + gain * (x_t / alpha - prior) + spread * output


@dataclasses.dataclass(frozen=True, eq=False)
class GaussianFieldProcess(OnPath):
    """As `ResidualProcess`, with the residuals a Gaussian field instead of independent numbers.

    With y = x_t / alpha_t the linear estimate of x_0 is prior + field.estimate(y - prior): a filter
    along time for each principal component over the channels, by what the prior tells of each
    place. An untrained network (output 0) is exact for such fields. The network is shown what
    the estimate leaves of y with unit variance, and the estimate of the residual beside it, and
    predicts the estimate's error with unit variance. x_t and prior must be zero on padding. A field
    without correlations makes it `ResidualProcess`.

    Times are drawn evenly in log(sigma_t / alpha_t): local structure is learnt at low noise.

    Attributes:
      path: with some of the data left at every time.
      scale: f32[D], the spread of x_0 around the prior in each channel.
      field: its law.
      table: by what places are told apart; None takes all to be the same.
    """

    scale: jax.Array
    field: GaussianField
    table: PlaceTable | None = None

    def training_times(self, place: jax.Array, depth: float) -> jax.Array:
        """Evenly in log(sigma_t / alpha_t) between the first noise and the bound."""
        even = self.path.training_times((jnp.arange(RESOLUTION) + 0.5) / RESOLUTION, depth)
        level = jnp.sort(jnp.log(self.path.sigma(even) / self.path.alpha(even)))
        wanted = level[0] + place * (level[-1] - level[0])
        nearest = jnp.interp(wanted, level, (jnp.arange(RESOLUTION) + 0.5) / RESOLUTION)
        return self.path.training_times(nearest, depth)

    def _estimate(
        self, x_t: jax.Array, t: jax.Array, prior: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array, Places]:
        """y - prior and its estimate [B, T, D], the noise's variance f32[B, 1, 1], the places."""
        alpha, sigma = self.path.coefficients(t)
        noisy, noise2 = x_t / alpha - prior, (sigma / alpha) ** 2
        places = same_places(prior) if self.table is None else self.table.places(prior)
        return noisy, self.field.estimate(noisy, noise2, places), noise2, places

    def trunk_input(self, x_t: jax.Array, t: jax.Array, prior: jax.Array) -> jax.Array:
        """[B, T, 2D]: y - prior - estimate over its spread, and the estimate over the scale."""
        noisy, estimate, noise2, places = self._estimate(x_t, t, prior)
        innovation = (noisy - estimate) / self.field.innovation_spread(noise2, places)
        return jnp.concatenate([innovation, estimate / self.scale[None, None, :]], axis=-1)

    def target(
        self, x0: jax.Array, x_t: jax.Array, t: jax.Array, eps: jax.Array, prior: jax.Array
    ) -> jax.Array:
        """The linear estimate's error over its own spread."""
        _, estimate, noise2, places = self._estimate(x_t, t, prior)
        return (x0 - prior - estimate) / self.field.error_spread(noise2, places)

    def x0(self, output: jax.Array, x_t: jax.Array, t: jax.Array, prior: jax.Array) -> jax.Array:
        """The linear estimate plus the network's correction."""
        _, estimate, noise2, places = self._estimate(x_t, t, prior)
        return prior + estimate + self.field.error_spread(noise2, places) * output


@dataclasses.dataclass(frozen=True, eq=False)
class ConsistencyProcess:
    """Another process, whose estimate is where the probability flow through x_t ends.

    With y = x_t / alpha_t and s_t = sigma_t / alpha_t, s_1 that of the first time with noise,

        f(x_t, t) = w y + (1 - w) x0(x_t, t),    w = s_1^2 / ((s_t - s_1)^2 + s_1^2),

    so that f(x_1, 1) = y whatever the network says: the boundary condition of consistency models
    (Song et al. 2023, eq. 5), with the other process's preconditioning in the place of EDM's, which
    `ResidualProcess` is around the auxiliary mel. Beyond the first times w is nearly 0, so that a
    diffusion model's params are where its student begins.

    Attributes:
      inner: the process of the teacher.
    """

    inner: Process

    @property
    def path(self) -> Path:
        """That of the other process."""
        return self.inner.path

    def training_times(self, place: jax.Array, depth: float) -> jax.Array:
        """As the other process."""
        return self.inner.training_times(place, depth)

    def trunk_time(self, t: jax.Array) -> jax.Array:
        """As the other process."""
        return self.inner.trunk_time(t)

    def marginal(self, x0: jax.Array, t: jax.Array, eps: jax.Array) -> jax.Array:
        """As the other process."""
        return self.inner.marginal(x0, t, eps)

    def trunk_input(self, x_t: jax.Array, t: jax.Array, prior: jax.Array) -> jax.Array:
        """As the other process."""
        return self.inner.trunk_input(x_t, t, prior)

    def target(
        self, x0: jax.Array, x_t: jax.Array, t: jax.Array, eps: jax.Array, prior: jax.Array
    ) -> jax.Array:
        """As the other process: of a teacher, before it is distilled."""
        return self.inner.target(x0, x_t, t, eps, prior)

    def x0(self, output: jax.Array, x_t: jax.Array, t: jax.Array, prior: jax.Array) -> jax.Array:
        """f(x_t, t), see the class."""
        alpha, sigma = self.path.coefficients(t)
        first = jnp.full(t.shape, self.path.at_depth(self.path.resolution))
        alpha_first, sigma_first = self.path.coefficients(first)
        least = sigma_first / alpha_first
        share = least**2 / ((sigma / alpha - least) ** 2 + least**2)
        return share * x_t / alpha + (1.0 - share) * self.inner.x0(output, x_t, t, prior)


RESOLUTION = 1000
"""Of the table by which times are drawn evenly in log noise."""


STRAIGHT = Path(
    alpha=lambda t: t,
    sigma=lambda t: 1.0 - t,
    noise_time=0.0,
    data_time=1.0,
)
"""x_t = t x_0 + (1 - t) eps: rectified flow (Liu et al. 2023), noise at 0 and data at 1."""

TIME_SCALE = 1000.0
"""By which a flow's time in [0, 1] is multiplied for the network, unless settings say otherwise."""


@dataclasses.dataclass(frozen=True, eq=False)
class VelocityProcess(OnPath):
    """The network predicts the velocity dx/dt = x_0 - eps along straight lines. Uses no prior.

    Rectified flow (Liu et al. 2023) and flow matching with a linear path (Lipman et al. 2023).

    Attributes:
      time_scale: factor on t for the network.
    """

    path: Path = STRAIGHT
    time_scale: float = TIME_SCALE

    def trunk_time(self, t: jax.Array) -> jax.Array:
        """time_scale * t."""
        return self.time_scale * t.astype(jnp.float32)

    def target(
        self, x0: jax.Array, x_t: jax.Array, t: jax.Array, eps: jax.Array, prior: jax.Array
    ) -> jax.Array:
        """x_0 - eps."""
        return x0 - eps

    def x0(self, output: jax.Array, x_t: jax.Array, t: jax.Array, prior: jax.Array) -> jax.Array:
        """x_t + (1 - t) v."""
        return x_t + (1.0 - t)[:, None, None] * output

    def velocity(
        self, output: jax.Array, x_t: jax.Array, t: jax.Array, prior: jax.Array
    ) -> jax.Array:
        """The output itself."""
        return output


LOGIT_NORMAL_MARGIN = 1e-7
"""Times are kept so far from 0 and 1 where their logit is taken, and no weight is smaller."""


def logit_normal_weights(t: jax.Array) -> jax.Array:
    """The density of a logit-normal time, as weights of losses at uniform times: f32[B].

        w(t) = exp(-logit(t)^2 / 2) / (sqrt(2 pi) t (1 - t))

    Times in the middle are then learned as if they were drawn more often (Esser et al. 2024).

    Args:
      t: f32[B] in [0, 1].
    """
    t = jnp.clip(t, LOGIT_NORMAL_MARGIN, 1.0 - LOGIT_NORMAL_MARGIN)
    density = jnp.exp(-0.5 * (jnp.log(t) - jnp.log1p(-t)) ** 2) / (t * (1.0 - t))
    return density / jnp.sqrt(2.0 * jnp.pi) + LOGIT_NORMAL_MARGIN


TIME_WEIGHTS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "uniform": jnp.ones_like,
    "logit_normal": logit_normal_weights,
}
"""Weights of a flow's losses by its times, by the name in a config; the others are "uniform"."""


class ProcessKind(NamedTuple):
    """How a process is made of what a config or a voice says.

    Attributes:
      path: the settings of its path, such as a schedule's, -> the path.
      make: (path, the settings, the model's params, for the law of the data around the prior) ->
        the process.
      uses_prior: whether target and estimate depend on the prior.
      uses_field: whether that law is a Gaussian field, and the network is shown its estimate.
    """

    path: Callable[[Mapping[str, Any]], Path]
    make: Callable[[Path, Mapping[str, Any], Mapping[str, Any]], Process]
    uses_prior: bool = False
    uses_field: bool = False


def straight_path(time_scale: float = TIME_SCALE) -> Path:
    """`STRAIGHT`; the network is told `time_scale` times its t, see `VelocityProcess`."""
    return STRAIGHT


PATHS: dict[str, Callable[..., Any]] = {**SCHEDULES, "straight": straight_path}
"""What the schedule of a config may name: noise schedules, and the path of flows."""


def _field(path: Path, settings: Mapping[str, Any], params: Mapping[str, Any]) -> Process:
    field = GaussianField(params["prior_basis"], params["prior_spectrum"])
    table = PlaceTable(params["prior_edges"], params["prior_heights"], params["prior_variance"])
    return GaussianFieldProcess(path, params["prior_scale"], field, table)


def _velocity(path: Path, settings: Mapping[str, Any], params: Mapping[str, Any]) -> Process:
    return VelocityProcess(path, settings.get("time_scale", TIME_SCALE))


def _schedule_path(settings: Mapping[str, Any]) -> Path:
    return make_schedule(settings).path


PROCESSES: dict[str, ProcessKind] = {
    "eps": ProcessKind(_schedule_path, lambda path, settings, params: EpsProcess(path)),
    "x0": ProcessKind(_schedule_path, lambda path, settings, params: X0Process(path)),
    "residual": ProcessKind(
        _schedule_path,
        lambda path, settings, params: ResidualProcess(path, params["prior_scale"]),
        uses_prior=True,
    ),
    "field": ProcessKind(_schedule_path, _field, uses_prior=True, uses_field=True),
    "velocity": ProcessKind(lambda settings: STRAIGHT, _velocity),
}
"""What a denoiser may predict, by the name in a config or a voice."""


def _consistency(kind: ProcessKind) -> ProcessKind:
    return kind._replace(make=lambda *given: ConsistencyProcess(kind.make(*given)))


CONSISTENCY = {name: f"consistency_{name}" for name in ("eps", "x0", "residual", "field")}
"""Of a process the one of its students, by its name."""
PROCESSES |= {student: _consistency(PROCESSES[name]) for name, student in CONSISTENCY.items()}
