"""Monotonic alignment search beside every alignment there is."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import betabinom, norm

from diffsinger_jax.modules.alignment import (
    diagonal_log_prior,
    frame_log_likelihood,
    monotonic_alignment,
)


def best_of_all(log_likelihood):
    """The durations of the best alignment of [n, t], by trying each."""
    n, t = log_likelihood.shape
    best, found = -np.inf, None
    for cuts in itertools.combinations(range(1, t), n - 1):
        edges = (0, *cuts, t)
        total = sum(
            log_likelihood[i, a:b].sum() for i, (a, b) in enumerate(itertools.pairwise(edges))
        )
        if total > best:
            best, found = total, np.diff(edges)
    return found


def test_the_search_finds_the_best_of_all_alignments_in_padded_batches():
    rng = np.random.default_rng(0)
    sizes = [(n, t) for n in (1, 2, 3, 4, 5) for t in (5, 6, 8, 9) if n <= t]
    likelihoods = rng.normal(size=(len(sizes), 6, 10)).astype(np.float32)
    phonemes = np.arange(6)[None] < np.array([n for n, _ in sizes])[:, None]
    frames = np.arange(10)[None] < np.array([t for _, t in sizes])[:, None]
    found = np.asarray(monotonic_alignment(jnp.asarray(likelihoods), phonemes, frames))
    for durations, likelihood, (n, t) in zip(found, likelihoods, sizes, strict=True):
        np.testing.assert_array_equal(durations[:n], best_of_all(likelihood[:n, :t]))
        assert not durations[n:].any()


def test_the_likelihood_is_that_of_a_gaussian():
    rng = np.random.default_rng(1)
    mean, log_std = rng.normal(size=(2, 1, 3, 4)).astype(np.float32)
    z = rng.normal(size=(1, 5, 4)).astype(np.float32)
    expected = norm.logpdf(z[:, None], mean[:, :, None], np.exp(log_std)[:, :, None]).sum(-1)
    np.testing.assert_allclose(frame_log_likelihood(mean, log_std, z), expected, rtol=1e-4)


def test_the_prior_is_beta_binomial_and_alone_goes_along_the_diagonal():
    sizes = [(5, 20), (1, 7), (8, 30), (8, 9)]
    phonemes = np.arange(8)[None] < np.array([n for n, _ in sizes])[:, None]
    frames = np.arange(30)[None] < np.array([t for _, t in sizes])[:, None]

    @jax.jit
    def of(phonemes, frames):
        prior = diagonal_log_prior(phonemes, frames)
        return prior, monotonic_alignment(prior, phonemes, frames)

    priors, found = jax.tree.map(np.asarray, of(phonemes, frames))
    for prior, durations, (n, t) in zip(priors, found, sizes, strict=True):
        place, number = np.arange(n)[:, None], np.arange(t)[None]
        expected = betabinom.logpmf(place, n - 1, number + 1, t - number)
        np.testing.assert_allclose(prior[:n, :t], expected, atol=1e-3)
        assert not prior[n:].any() and not prior[:, t:].any()
        np.testing.assert_allclose(np.cumsum(durations[:n]), np.arange(1, n + 1) * t / n, atol=1.01)
