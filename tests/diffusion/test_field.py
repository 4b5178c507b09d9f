"""The Gaussian field: Bayes' answer for stationary residuals, whatever a batch is padded to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffsinger_jax.diffusion.field import (
    FREQUENCIES,
    LAGS,
    PERIOD,
    GaussianField,
    field_of_covariances,
    lagged_covariances,
)
from diffsinger_jax.diffusion.places import UNIT, VARIANCES, Places, same_places
from diffsinger_jax.diffusion.processes import GaussianFieldProcess, ResidualProcess
from diffsinger_jax.diffusion.samplers import SAMPLERS
from diffsinger_jax.diffusion.schedule import linear_schedule

DECAY = np.array([0.9, 0.7, 0.2])  # of each component from frame to frame
VARIANCE = np.array([0.09, 0.04, 0.01])
BASIS = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]


def autoregressive_field():
    """First-order autoregressive components: their spectrum has a formula."""
    angle = 2 * np.pi * np.arange(FREQUENCIES) / PERIOD
    power = (1 - DECAY[:, None] ** 2) / (
        1 - 2 * DECAY[:, None] * np.cos(angle) + DECAY[:, None] ** 2
    )
    return GaussianField(
        jnp.asarray(BASIS, jnp.float32), jnp.asarray(VARIANCE[:, None] * power)[None]
    )


def draw(rng, rows, frames):
    """Residuals [rows, frames, 3] of `autoregressive_field`."""
    state = rng.normal(size=(rows, 3))
    components = []
    for _ in range(frames):
        components.append(state)
        state = DECAY * state + np.sqrt(1 - DECAY**2) * rng.normal(size=(rows, 3))
    return (np.stack(components, axis=1) * np.sqrt(VARIANCE)) @ BASIS.T


@pytest.mark.parametrize("noise", [0.05, 0.3, 1.0])
def test_the_estimate_is_the_posterior_mean(noise):
    """Against the dense solve of all frames and channels, in float64, away from the ends."""
    frames, rng = 96, np.random.default_rng(0)
    residual = draw(rng, 1, frames)
    noisy = residual + noise * rng.normal(size=residual.shape)
    lag = np.abs(np.subtract.outer(np.arange(frames), np.arange(frames)))
    covariance = np.zeros((frames * 3, frames * 3))
    for variance, decay, direction in zip(VARIANCE, DECAY, BASIS.T, strict=True):
        covariance += np.kron(variance * decay**lag, np.outer(direction, direction))
    observed = covariance + noise**2 * np.eye(len(covariance))
    expected = (covariance @ np.linalg.solve(observed, noisy.ravel())).reshape(noisy.shape)

    found = autoregressive_field().estimate(
        jnp.asarray(noisy), jnp.full((1, 1, 1), noise**2), same_places(noisy)
    )
    inside = slice(32, -32)
    np.testing.assert_allclose(found[0, inside], expected[0, inside], atol=0.02 * noise)


def test_the_spread_is_that_of_the_error_which_nothing_seen_predicts():
    rng, noise2 = np.random.default_rng(1), jnp.full((400, 1, 1), 0.04)
    residual = draw(rng, 400, 80)
    noisy = residual + 0.2 * rng.normal(size=residual.shape)
    field = autoregressive_field()
    error = (residual - np.asarray(field.estimate(jnp.asarray(noisy), noise2, same_places(noisy))))[
        :, 24:-24
    ]
    np.testing.assert_allclose(
        error.std(axis=(0, 1)), field.error_spread(noise2, same_places(noisy))[0, 0], rtol=0.03
    )
    for lag in (-3, 0, 5):
        seen = noisy[:, 24 + lag : 56 + lag]
        correlation = (error[:, :, :, None] * seen[:, :, None, :]).mean(axis=(0, 1))
        assert np.abs(correlation).max() < 2e-3  # of variances up to 0.09


def test_a_field_without_correlations_is_the_pointwise_process():
    path, scale = linear_schedule(100).path, np.array([0.1, 0.2, 0.5], np.float32)
    white = GaussianField(
        jnp.eye(3), jnp.repeat(jnp.asarray(scale**2)[None, :, None], FREQUENCIES, 2)
    )
    field = GaussianFieldProcess(path, jnp.asarray(scale), white)
    pointwise = ResidualProcess(path, jnp.asarray(scale))
    x0, eps, prior, output = jax.random.normal(jax.random.key(0), (4, 5, 40, 3))
    t = jnp.asarray([0, 5, 20, 60, 99])
    x_t = path.marginal(x0, t, eps)
    for name, arguments in (("target", (x0, x_t, t, eps, prior)), ("x0", (output, x_t, t, prior))):
        np.testing.assert_allclose(
            getattr(field, name)(*arguments),
            getattr(pointwise, name)(*arguments),
            rtol=1e-3,
            atol=2e-4,
        )
    shown = field.trunk_input(x_t, t, prior)[..., :3]
    np.testing.assert_allclose(shown, pointwise.trunk_input(x_t, t, prior), rtol=2e-3, atol=1e-2)


def test_the_target_leads_back_to_the_data():
    path = linear_schedule(100).path
    process = GaussianFieldProcess(path, jnp.asarray(np.sqrt(VARIANCE)), autoregressive_field())
    x0, eps, prior = jax.random.normal(jax.random.key(1), (3, 4, 30, 3))
    t = jnp.asarray([0, 10, 30, 99])
    x_t = process.marginal(x0, t, eps)
    target = process.target(x0, x_t, t, eps, prior)
    np.testing.assert_allclose(process.x0(target, x_t, t, prior), x0, atol=2e-4)
    assert process.trunk_input(x_t, t, prior).shape == (4, 30, 6)


def test_padding_with_zeros_changes_nothing():
    field, noise2 = autoregressive_field(), jnp.asarray([0.01, 1.0])[:, None, None]
    noisy = jax.random.normal(jax.random.key(2), (2, 21, 3))
    padded = jnp.pad(noisy, ((0, 0), (0, 50), (0, 0)))
    np.testing.assert_allclose(
        field.estimate(padded, noise2, same_places(padded))[:, :21],
        field.estimate(noisy, noise2, same_places(noisy)),
        atol=1e-6,
    )


def test_times_are_even_in_log_noise():
    path = linear_schedule(100).path
    process = GaussianFieldProcess(path, jnp.ones(3), autoregressive_field())
    t = np.asarray(process.training_times(jnp.linspace(0, 1, 5001)[:-1], 60))
    assert t.min() == 0 and t.max() == 59
    level = np.log(path.sigma(t) / path.alpha(t))
    counts, _ = np.histogram(level, bins=4, range=(level.min(), level.max() + 1e-6))
    assert counts.min() > 0.6 * 1250 and counts.max() < 1.4 * 1250  # whole steps are coarse


def test_a_field_is_found_in_its_draws():
    residual = draw(np.random.default_rng(3), 500, 120)
    sums = sum(lagged_covariances(piece, np.zeros(120, np.int32), 1) for piece in residual)
    assert sums.shape == (1, LAGS, 3, 3)
    np.testing.assert_allclose(
        sums[0, 2], np.einsum("btd,bte->de", residual[:, :-2], residual[:, 2:]), rtol=1e-6
    )
    basis, spectrum = field_of_covariances(sums, np.full(1, residual[..., 0].size))
    np.testing.assert_allclose(np.abs(basis.T @ BASIS), np.eye(3), atol=0.05)
    truth, found = autoregressive_field(), GaussianField(jnp.asarray(basis), jnp.asarray(spectrum))
    noise2 = jnp.asarray([0.01, 0.1])[:, None, None]
    places = same_places(jnp.zeros((2, 1, 3)))
    np.testing.assert_allclose(
        found.error_spread(noise2, places), truth.error_spread(noise2, places), rtol=0.03
    )


def test_each_group_has_the_law_of_its_own_frames():
    """Three times the spread in every second stretch: known to the estimate, it errs less."""
    rng, noise2 = np.random.default_rng(4), jnp.full((200, 1, 1), 0.01)
    group = np.broadcast_to(np.repeat([0, 1, 0, 1], 50), (200, 200))
    residual = draw(rng, 200, 200) * np.where(group == 0, 0.3, 0.9)[..., None]
    sums = sum(map(lagged_covariances, residual, group, [2] * 200))
    fields = [
        GaussianField(*map(jnp.asarray, field_of_covariances(s, frames)))
        for s, frames in ((sums, np.full(2, 2e4)), (sums.sum(axis=0)[None], np.full(1, 4e4)))
    ]
    noisy = residual + 0.1 * rng.normal(size=residual.shape)
    level = jnp.full(noisy.shape, UNIT)
    errors = [
        residual - np.asarray(field.estimate(jnp.asarray(noisy), noise2, Places(kinds, level)))
        for field, kinds in zip(fields, (jnp.asarray(group), jnp.asarray(0 * group)), strict=True)
    ]
    assert (errors[0] ** 2).mean() < 0.95 * (errors[1] ** 2).mean()
    expected = np.asarray(fields[0].error_spread(noise2, Places(jnp.asarray(group), level)))
    for middle in (slice(20, 30), slice(70, 80)):
        found = errors[0][:, middle].std(axis=(0, 1))
        np.testing.assert_allclose(found, expected[0, middle.start], rtol=0.06)


def test_a_place_is_estimated_as_if_all_places_were_such():
    noisy, noise2 = jax.random.normal(jax.random.key(3), (2, 20, 3)), jnp.full((2, 1, 1), 0.04)
    level = np.full((2, 20, 3), UNIT)
    level[:, 8:12, 1] = 0
    field = autoregressive_field()
    quiet = GaussianField(field.basis, VARIANCES[0] * field.spectrum)
    for name, first in (("estimate", (noisy,)), ("error_spread", ()), ("innovation_spread", ())):
        mixed = getattr(field, name)(*first, noise2, Places(jnp.zeros((2, 20), int), level))
        plain, alone = (
            getattr(f, name)(*first, noise2, same_places(noisy)) for f in (field, quiet)
        )
        expected = np.where(level == 0, alone, plain)
        np.testing.assert_allclose(mixed, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["ddim", "ddpm"])
def test_sampling_with_an_untrained_network_ends_in_the_field(method):
    """Spread and correlation from frame to frame and between channels."""
    path = linear_schedule(100).path
    process = GaussianFieldProcess(path, jnp.asarray(np.sqrt(VARIANCE)), autoregressive_field())
    prior = jnp.full((48, 160, 3), 0.1)

    def predict_x0(x_t, t):
        return process.x0(jnp.zeros_like(x_t), x_t, t, prior)

    def noise_at(t):
        return jax.random.normal(jax.random.fold_in(jax.random.key(9), t), prior.shape)

    sampler = SAMPLERS[method]
    start = path.marginal(prior, jnp.full(48, 99), noise_at(1000))
    z = sampler.run(path, predict_x0, start, noise_at, sampler.times(path, 100, 100))
    residual = np.asarray(z - prior)[:, 32:-32]
    found = np.einsum("btd,bte->de", residual, residual) / residual[..., 0].size
    expected = BASIS @ np.diag(VARIANCE) @ BASIS.T
    np.testing.assert_allclose(found, expected, atol=0.012)
    lagged = np.einsum("btd,bte->de", residual[:, :-1], residual[:, 1:]) / residual[:, 1:, 0].size
    np.testing.assert_allclose(lagged, BASIS @ np.diag(VARIANCE * DECAY) @ BASIS.T, atol=0.012)
