"""What `--quality` and `--method` can say; without JAX, so that `--help` answers at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

METHODS = (
    *("ddpm", "ddim", "plms", "dpm_solver_pp_2m", "unipc", "consistency"),
    *("euler", "rk2", "rk4", "rk5"),
)
"""The names in `diffusion.samplers.ALL_SAMPLERS`; a test holds that they are the same."""


class Quality(NamedTuple):
    """A choice of how a voice samples. Why these: docs/sampling.md.

    Attributes:
      method: a name in `METHODS`.
      steps: of the sampler at most; None is all k of them.
    """

    method: str
    steps: int | None


QUALITIES: Mapping[str, Quality] = {
    "draft": Quality("dpm_solver_pp_2m", 3),
    "good": Quality("dpm_solver_pp_2m", 8),
    "best": Quality("ddpm", None),
}
"""By the names of the command line, from the fastest to the nearest to sampling every step."""
