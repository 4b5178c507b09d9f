"""How a voice samples: read from its file, and resolved once against what a caller asks for."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Protocol

from diffsinger_jax.diffusion.path import Path
from diffsinger_jax.diffusion.samplers import ALL_SAMPLERS, FLOW_SAMPLERS, X0_SAMPLERS
from diffsinger_jax.diffusion.sampling import STARTS, Sampling
from diffsinger_jax.errors import InputError
from diffsinger_jax.voices.qualities import QUALITIES

ALWAYS_WRITTEN = ("k_step", "steps", "temperature")


class Sampled(Protocol):
    """What of a `voices.voice.Voice` is needed here."""

    @property
    def sampling(self) -> Sampling:
        """Its own."""

    @property
    def path(self) -> Path:
        """That of its process."""
        ...


def resolve_sampling(
    voice: Sampled,
    *,
    quality: str | None = None,
    k_step: float | None = None,
    steps: int | None = None,
    method: str | None = None,
    temperature: float | None = None,
) -> Sampling:
    """What is given, else what the quality means, else the voice's own.

    Args:
      voice: that will sing.
      quality: a name in `QUALITIES`.
      k_step: where sampling starts, 0 for the auxiliary mel alone.
      steps: of the sampler from there; where only k_step is given, all k of them.
      method: a name in `ALL_SAMPLERS`.
      temperature: factor on the noise.

    Raises:
      InputError: if there is no such quality or method, or a number is out of range.
    """
    own, discrete = voice.sampling, voice.path.discrete
    k = own.k_step if k_step is None else k_step
    most = max(int(k), 1) if discrete else None  # steps of the sampler
    if quality is not None:
        if quality not in QUALITIES:
            raise InputError(f"the qualities are {', '.join(QUALITIES)}, there is no {quality!r}")
        meant = QUALITIES[quality]
        if not is_few_step(own):
            method = method or meant.method
            bounds = [n for n in (meant.steps, most) if n is not None]
            steps = steps or min(bounds, default=own.steps)
    method = method or own.method
    keeps_interval = steps is None or (steps == own.steps and k == own.k_step)
    if steps is None:
        steps = own.steps if k == own.k_step or most is None else most
    interval = own.plms_interval if method == own.method else None
    if interval is not None and most is not None:
        interval = min(interval, most) if keeps_interval else math.ceil(most / max(steps, 1))
    found = dataclasses.replace(
        own,
        k_step=k,
        steps=steps,
        method=method,
        temperature=own.temperature if temperature is None else temperature,
        eta=own.eta if method == own.method else 0.0,
        plms_interval=interval,
    )
    require_possible(found, voice.path)
    return found


def is_few_step(sampling: Sampling) -> bool:
    """Whether it is that of a voice made for fewer steps than any quality takes.

    Every quality leaves it as it is: other steps of a distilled voice are no better.
    """
    most = QUALITIES["draft"].steps or 0
    return 0 < sampling.k_step != sampling.steps < most


def require_possible(sampling: Sampling, path: Path) -> None:
    """That these numbers are ones a path has.

    Raises:
      InputError: if k_step or steps are out of range, or a name is unknown.
    """
    k, steps = sampling.k_step, sampling.steps
    known = tuple(X0_SAMPLERS if path.discrete else ALL_SAMPLERS)
    if sampling.method not in ALL_SAMPLERS:
        raise InputError(f"the methods are {', '.join(known)}, there is no {sampling.method!r}")
    if sampling.method not in known:
        raise InputError(
            f"{', '.join(FLOW_SAMPLERS)} follow the velocity of a flow, which this voice of a "
            f"diffusion does not predict; choose one of {', '.join(known)}"
        )
    if sampling.start not in STARTS:
        raise InputError(f"sampling starts are {', '.join(STARTS)}, there is no {sampling.start!r}")
    if not 0 <= k <= path.depth:
        raise InputError(f"k_step is 0 to {path.depth} for this voice, got {k}")
    if sampling.method == "plms" and k and path.alpha(path.at_depth(k)) <= 0:
        raise InputError("plms cannot start from noise alone; choose another method or k_step")
    if steps < 1 or (path.discrete and steps > max(k, 1)):
        raise InputError(f"sampling from k_step={k} takes 1 to {k} steps, got {steps}")


def sampling_from_dict(settings: Mapping[str, Any], where: str) -> Sampling:
    """Of a voice's file; with an interval and no method it is PLMS.

    Raises:
      InputError: for a field that there is not.
    """
    fields = [field.name for field in dataclasses.fields(Sampling)]
    if unknown := sorted(set(settings) - set(fields)):
        raise InputError(f"{where}: sampling has {unknown[0]!r}, it knows {', '.join(fields)}")
    method = "plms" if settings.get("plms_interval") else "ddpm"
    return Sampling(**{"method": method, **settings})


def sampling_to_dict(sampling: Sampling) -> dict[str, Any]:
    """For a voice's file: its numbers, and what else is not the default."""
    defaults = {field.name: field.default for field in dataclasses.fields(Sampling)}
    return {
        name: value
        for name, value in dataclasses.asdict(sampling).items()
        if name in ALWAYS_WRITTEN or value != defaults[name]
    }
