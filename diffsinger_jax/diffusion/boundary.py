"""Where an auxiliary mel and a real one become the same under diffusion: the boundary k.

Two of the three published ways (Liu et al. 2022), as arithmetic on the host in float64; the
third is a search (`evaluation.sampling_search`). A boundary is a number of steps, as `k_step` of
`sampling.Sampling`: K = t + 1 for the step t in [0, S) at which sampling starts. Of a path that is
not discrete the S steps are the times of its grid.
"""

from __future__ import annotations

import numpy as np

from diffsinger_jax.diffusion.path import Path

MARGIN = 0.4
"""Two outputs of the boundary predictor that are nearer than this count as the same."""
SHARE_OF_STEPS = 0.95
"""Of the steps from the boundary on, at which they have to be the same."""


def divergence(path: Path, squared_distance: float) -> np.ndarray:
    """KL(q(M_t | M) || q(M~_t | M~)) = alpha_t^2 / (2 sigma_t^2) ||M - M~||^2 (eq. 4).

    Args:
      path: of diffusion.
      squared_distance: ||M - M~||^2 of the scaled, clean mels, as a sum over elements or a mean.

    Returns:
      f64[S] nats, falling; a sum or a mean as the distance is.
    """
    alpha, sigma = path.on_host(path.grid())
    return alpha**2 / (2.0 * sigma**2) * squared_distance


def divergence_from_noise(path: Path, square: float, count: float = 1.0) -> float:
    """KL(q(M_T | M) || N(0, I)): what is left of a mel when it is diffused all the way.

    For n elements and the last time's alpha and sigma with alpha^2 + sigma^2 = 1:
    (alpha^2 ||M||^2 - n (alpha^2 + log(sigma^2))) / 2.

    Args:
      path: of diffusion.
      square: ||M||^2, as a sum over elements or a mean.
      count: n, the number of elements summed; 1 for a mean.

    Returns:
      nats, > 0; a sum or a mean as `square` is.
    """
    last = path.on_host(path.grid()[-1:])[0][0] ** 2
    return float(0.5 * (last * square - count * (last + np.log1p(-last))))


def closed_form_boundary(
    path: Path, squared_distance: float, square: float, count: float = 1.0
) -> int:
    """The first K at which E[KL(M_t || M~_t)] <= E[KL(M_T || N(0, I))], t = K - 1 (appendix B).

    On the clean mels: between independently noised ones the distance is mostly that of the
    noises, which never becomes small.

    Args:
      path: of diffusion.
      squared_distance: ||M - M~||^2 over real frames of a corpus.
      square: ||M||^2 over the same elements, reduced in the same way.
      count: the number of elements for sums, 1 for means.

    Returns:
      K in [1, S]; S too where no step is far enough.
    """
    limit = divergence_from_noise(path, square, count)
    return _first(divergence(path, squared_distance) <= limit)


def earliest_boundaries(
    margins: np.ndarray, *, margin: float = MARGIN, share: float = SHARE_OF_STEPS
) -> np.ndarray:
    """For each mel the first K with `share` of the steps from there to the end below `margin`.

    Args:
      margins: [n, S], |BP(M_t, t) - BP(M~_t, t)| of n mels at every step.

    Returns:
      i64[n] in [1, S]; S too where not even the last step is below.
    """
    below = np.asarray(margins) < margin
    from_here = np.cumsum(below[:, ::-1], axis=1)[:, ::-1]
    enough = from_here >= share * np.arange(below.shape[1], 0, -1)
    return np.array([_first(row) for row in enough], np.int64)


def learned_boundary(margins: np.ndarray) -> int:
    """K by the boundary predictor: the mean of `earliest_boundaries`, rounded (section 3.4)."""
    return int(np.floor(earliest_boundaries(margins).mean() + 0.5))


def has_learned(margins: np.ndarray, *, margin: float = MARGIN) -> bool:
    """Whether the predictor tells the mels apart at the first step, where it is easiest.

    One that does not says K = 1 of everything, which means nothing.
    """
    return float(np.mean(margins[:, 0])) >= margin


def _first(holds: np.ndarray) -> int:
    """The number of steps up to the first at which bool[S] is True; S if none is."""
    return int(np.argmax(holds)) + 1 if holds.any() else len(holds)
