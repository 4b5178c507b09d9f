"""Learning rates and the optimizer, by the names in a config."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from diffsinger_jax.ranges import POSITIVE, SHARE, at_least, calls, one_of

Peak = Annotated[float, POSITIVE]
Steps = Annotated[int, at_least(1)]
ProgressSchedule = Callable[..., Any]


def rsqrt(peak: Peak, warmup_steps: Steps) -> optax.Schedule:
    """Rises on a line to `peak`, then falls with 1 / sqrt(step) (Vaswani et al. 2017)."""

    def learning_rate(step):
        n = jnp.asarray(step, jnp.float32) + 1.0
        return peak * jnp.minimum(n / warmup_steps, jnp.sqrt(warmup_steps / n))

    return learning_rate


def halving(peak: Peak, every_steps: Steps) -> optax.Schedule:
    """`peak`, halved every so many steps."""
    return optax.exponential_decay(peak, every_steps, 0.5, staircase=True)


def cosine(peak: Peak, warmup_steps: Steps, total_steps: Steps) -> optax.Schedule:
    """Rises on a line to `peak`, then falls on a cosine to a hundredth of it."""
    return optax.warmup_cosine_decay_schedule(
        0.0, peak, warmup_steps, total_steps, end_value=0.01 * peak
    )


def exponential(
    peak: Peak, factor: Annotated[float, POSITIVE], every_steps: Steps
) -> optax.Schedule:
    """peak * factor^(step / every_steps)."""
    return optax.exponential_decay(peak, every_steps, factor)


def by_time(peak: Peak, warmup_steps: Steps) -> ProgressSchedule:
    """Rises on a line over steps; falls to a hundredth on a cosine of the share of minutes spent.

    For trainings by the clock, see `config.stop_after_minutes`.
    """

    def learning_rate(step, progress):
        rising = jnp.minimum((jnp.asarray(step, jnp.float32) + 1.0) / warmup_steps, 1.0)
        falling = 0.01 + 0.99 * 0.5 * (1.0 + jnp.cos(jnp.pi * progress))
        return peak * rising * falling

    return learning_rate


def steps(peak: Peak, factor: Annotated[float, POSITIVE], every_steps: Steps) -> optax.Schedule:
    """`peak`, times `factor` every so many steps at once (PyTorch's StepLR)."""
    return optax.exponential_decay(peak, every_steps, factor, staircase=True)


LEARNING_RATES: dict[str, Callable[..., Any]] = {
    "rsqrt": rsqrt,
    "halving": halving,
    "cosine": cosine,
    "exponential": exponential,
    "steps": steps,
    "by_time": by_time,
}
"""The schedules that a config can name."""
BY_PROGRESS = ("by_time",)
"""Those of them that look at the clock besides."""


def make_learning_rate(section: Mapping[str, Any]) -> ProgressSchedule:
    """The schedule called `name` with the other fields as its arguments.

    Returns:
      (steps done, share of the minutes spent, in [0, 1]) -> what the next step goes by.
    """
    schedule = _schedule(section)
    if section["name"] in BY_PROGRESS:
        return schedule
    return lambda step, progress=0.0: schedule(step)


def _schedule(section: Mapping[str, Any]) -> Callable[..., Any]:
    arguments = dict(section)
    return LEARNING_RATES[arguments.pop("name")](**arguments)


def adamw(
    learning_rate: optax.Schedule, betas: tuple[float, float], weight_decay: float
) -> optax.GradientTransformation:
    """Loshchilov & Hutter 2019."""
    return optax.adamw(learning_rate, b1=betas[0], b2=betas[1], weight_decay=weight_decay)


def muon(
    learning_rate: optax.Schedule, betas: tuple[float, float], weight_decay: float
) -> optax.GradientTransformation:
    """Muon (Jordan et al. 2024) for kernels, AdamW for the rest: biases, scales, embeddings.

    A convolution's kernel [K, in, out] counts as the matrix [K * in, out] that it is multiplied
    as. Updates are scaled to AdamW's usual size, so that the learning rates of both agree.
    """

    def matrices(params: Any) -> Any:
        def of(path: tuple, param: Any) -> optax.contrib.MuonDimensionNumbers | None:
            if jnp.ndim(param) < 2 or jax.tree_util.keystr(path).endswith("['embedding']"):
                return None
            last = jnp.ndim(param) - 1
            return optax.contrib.MuonDimensionNumbers(tuple(range(last)), (last,))

        return jax.tree_util.tree_map_with_path(of, params)

    return optax.contrib.muon(
        learning_rate,
        weight_decay=weight_decay,
        adam_b1=betas[0],
        adam_b2=betas[1],
        adam_weight_decay=weight_decay,
        muon_weight_dimension_numbers=matrices,
        consistent_rms=0.2,
    )


MUON_MOMENTUM, MUON_EPSILON = 0.95, 1e-7
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Of X' = (a + b X X^T + c (X X^T)^2) X, which brings all singular values to about 1."""
NEWTON_SCHULZ_ROUNDS = 5
OUTPUT_LAYERS = ("['head']['dense']", "['auxiliary_decoder']['out']")
"""In the paths of the layers that put out data, which Muon leaves to AdamW."""


def muon_adamw(
    learning_rate: optax.Schedule, betas: tuple[float, float], weight_decay: float
) -> optax.GradientTransformation:
    """Muon as its authors' program has it, beside an AdamW without weight decay.

    It differs from `muon` in three ways: the momentum has no bias correction, which in the first
    fifty steps gives the newest gradient less weight; updates have the spectral norm of
    lr sqrt(larger side); output layers are AdamW's. openvpi/DiffSinger trains so.
    """

    def label(path: tuple, param: Any) -> str:
        name = jax.tree_util.keystr(path)
        at_the_end = any(layer in name for layer in OUTPUT_LAYERS)
        by_adamw = jnp.ndim(param) < 2 or at_the_end or name.endswith("['embedding']")
        return "adamw" if by_adamw else "muon"

    orthogonal = optax.chain(
        _momentum(MUON_MOMENTUM),
        optax.stateless(lambda updates, _: orthogonalized(updates)),
        optax.stateless_with_tree_map(lambda update, _: update * max(_sides(update)) ** 0.5),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )
    rest = optax.adamw(learning_rate, b1=betas[0], b2=betas[1], weight_decay=0.0)
    return optax.partition(
        {"muon": orthogonal, "adamw": rest},
        lambda params: jax.tree_util.tree_map_with_path(label, params),
    )


def orthogonalized(updates: Any) -> Any:
    """Each matrix with its singular vectors and singular values of about 1 (Jordan et al. 2024).

    Those of the same sides go through the rounds together, and the rounds are a loop: programs are
    then as small for a hundred layers as for one, and compile in seconds instead of minutes.

    Args:
      updates: a tree of f[..., out]; all axes but the last are one side of the matrix.
    """
    leaves, tree = jax.tree.flatten(updates)
    by_sides: dict[tuple[int, int], list[int]] = {}
    for i, leaf in enumerate(leaves):
        by_sides.setdefault((min(_sides(leaf)), max(_sides(leaf))), []).append(i)
    for members in by_sides.values():
        matrices = [leaves[i].reshape(_sides(leaves[i])) for i in members]
        wide = jnp.stack([m if m.shape[0] <= m.shape[1] else m.T for m in matrices])
        for i, m, x in zip(members, matrices, _newton_schulz(wide), strict=True):
            leaves[i] = (x if m.shape[0] <= m.shape[1] else x.T).reshape(leaves[i].shape)
    return jax.tree.unflatten(tree, leaves)


def _sides(matrix: jax.Array) -> tuple[int, int]:
    return matrix.size // matrix.shape[-1], matrix.shape[-1]


def _newton_schulz(wide: jax.Array) -> jax.Array:
    """[n, r, c] with r <= c, each by itself."""
    a, b, c = NEWTON_SCHULZ

    def once(_: jax.Array, x: jax.Array) -> jax.Array:
        gram = x @ x.mT
        return a * x + (b * gram + c * gram @ gram) @ x

    norm = jnp.linalg.norm(wide, axis=(1, 2), keepdims=True)
    return jax.lax.fori_loop(0, NEWTON_SCHULZ_ROUNDS, once, wide / (norm + MUON_EPSILON))


def _momentum(beta: float) -> optax.GradientTransformation:
    """m' = beta m + (1 - beta) g; the update is beta m' + (1 - beta) g (Nesterov)."""

    def update(gradients: Any, state: optax.TraceState, params: Any = None) -> tuple[Any, Any]:
        mean = jax.tree.map(lambda g, m: beta * m + (1.0 - beta) * g, gradients, state.trace)
        ahead = jax.tree.map(lambda g, m: beta * m + (1.0 - beta) * g, gradients, mean)
        return ahead, optax.TraceState(mean)

    return optax.GradientTransformation(
        lambda params: optax.TraceState(jax.tree.map(jnp.zeros_like, params)), update
    )


OPTIMIZERS = {"adamw": adamw, "muon": muon, "muon_adamw": muon_adamw}
"""The optimizers that a config can name."""


@dataclasses.dataclass(frozen=True)
class UpdateConfig:
    """How params move: a section of a config, or the front of one; units in configs/base.py."""

    learning_rate: Annotated[Mapping[str, Any], calls(LEARNING_RATES)]
    optimizer: Annotated[str, one_of(OPTIMIZERS)]
    betas: Annotated[tuple[float, float], SHARE]
    weight_decay: Annotated[float, at_least(0)]
    clip_norm: Annotated[float, POSITIVE]


@dataclasses.dataclass(frozen=True)
class OptimizerConfig(UpdateConfig):
    """How, and how often: of what trains by itself."""

    steps: Annotated[int, at_least(0)]


def make_optimizer(config: UpdateConfig) -> optax.GradientTransformation:
    """The optimizer that a section names, behind a bound on the gradient's global norm.

    Where the learning rate falls by time it is told how late it is, see `at_progress`.
    """
    optimizer, schedule = OPTIMIZERS[config.optimizer], _schedule(config.learning_rate)
    clip = optax.clip_by_global_norm(config.clip_norm)
    if config.learning_rate["name"] not in BY_PROGRESS:
        return optax.chain(clip, optimizer(schedule, config.betas, config.weight_decay))
    unscaled = optimizer(optax.constant_schedule(1.0), config.betas, config.weight_decay)
    return optax.chain(clip, unscaled, scale_by_progress(schedule))


def at_progress(
    optimizer: optax.GradientTransformation, progress: jax.Array | float
) -> optax.GradientTransformation:
    """The optimizer, whose `update` is told the share of the minutes spent, f32[]."""
    update = optax.with_extra_args_support(optimizer).update
    return optax.GradientTransformation(
        optimizer.init, functools.partial(update, progress=progress)
    )


class ScaleByProgressState(NamedTuple):
    """Steps done, i32[]."""

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count, which nobody calls


def scale_by_progress(schedule: ProgressSchedule) -> optax.GradientTransformationExtraArgs:
    """Multiplies updates by schedule(steps done, progress), `progress` an argument of `update`."""

    def init(params: Any) -> ScaleByProgressState:
        return ScaleByProgressState(jnp.zeros((), jnp.int32))

    def update(
        updates: Any, state: ScaleByProgressState, params: Any = None, *, progress: Any, **_: Any
    ) -> tuple[Any, ScaleByProgressState]:
        factor = schedule(state.count, progress)
        return jax.tree.map(lambda x: factor * x, updates), ScaleByProgressState(state.count + 1)

    return optax.GradientTransformationExtraArgs(init, update)
