"""What `--quality` means: a sampler and how often it calls the denoiser. Why: docs/sampling.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from diffsinger_jax.errors import InputError


class Quality(NamedTuple):
    """A setting of how a voice samples.

    Attributes:
      method: a name in `diffusion.samplers.SAMPLERS`.
      steps: visited at most; None is all k of them.
    """

    method: str
    steps: int | None


QUALITIES: Mapping[str, Quality] = {
    "draft": Quality("dpm_solver_pp_2m", 3),
    "good": Quality("dpm_solver_pp_2m", 8),
    "best": Quality("ddpm", None),
}
"""By the names of the command line, from the fastest to the nearest to the whole walk."""


class Walker(Protocol):
    """What of a `voices.voice.Voice` is needed here."""

    k_step: int


def sampling_arguments(
    voice: Walker,
    *,
    quality: str | None = None,
    k_step: int | None = None,
    steps: int | None = None,
    method: str | None = None,
) -> dict[str, str | int | None]:
    """Keyword arguments of `Voice.sample_mel`: what is given, else what the quality means.

    Args:
      voice: whose k is taken where none is given; a walk takes no more steps than that.
      quality: a name in `QUALITIES`; None for the voice's own sampling.
      k_step, steps, method: of `Voice.sample_mel`.

    Raises:
      InputError: if there is no such quality.
    """
    given = {"k_step": k_step, "steps": steps, "method": method}
    if quality is None:
        return given
    if quality not in QUALITIES:
        raise InputError(f"the qualities are {', '.join(QUALITIES)}, there is no {quality!r}")
    longest = max(voice.k_step if k_step is None else k_step, 1)
    meant = QUALITIES[quality]
    return given | {
        "steps": steps or min(meant.steps or longest, longest),
        "method": method or meant.method,
    }
