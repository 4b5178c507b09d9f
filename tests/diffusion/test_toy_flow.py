"""A family that the package does not know: a rectified flow, written here and in one table row.

x_t = t x_0 + (1 - t) eps, where t = 0 is noise and t = 1 the data, and the network predicts the
velocity x_0 - eps (Liu et al. 2023). It runs through the training loss, every sampler and shallow
starts as what ships does.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian_data import MEAN, STD, exact_flow, exact_x0
from random_batches import random_batch, random_params, small_acoustic_model

from diffsinger_jax.diffusion.noise import key_noise, time_number
from diffsinger_jax.diffusion.path import Path
from diffsinger_jax.diffusion.processes import PROCESSES, OnPath, ProcessKind
from diffsinger_jax.diffusion.samplers import SAMPLERS
from diffsinger_jax.diffusion.sampling import Sampling, shallow_sample
from diffsinger_jax.tasks.acoustic.stage_losses import denoiser_loss

LINE = Path(alpha=lambda t: t, sigma=lambda t: 1.0 - t, noise_time=0.0, data_time=1.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Flow(OnPath):
    """The network predicts the velocity."""

    def trunk_time(self, t):
        return 1000.0 * t

    def target(self, x0, x_t, t, eps, prior):
        return x0 - eps

    def x0(self, output, x_t, t, prior):
        return x_t + self.path.coefficients(t)[1] * output


@pytest.fixture
def acoustic(monkeypatch):
    row = ProcessKind(lambda settings: LINE, lambda path, settings, scale: Flow(path))
    monkeypatch.setitem(PROCESSES, "flow", row)
    return small_acoustic_model(process="flow", schedule={}, condition_on_prior=False)


def test_the_target_leads_back_to_the_data():
    rng = np.random.default_rng(0)
    x0, eps = (jnp.asarray(rng.normal(size=(4, 5, 3)), jnp.float32) for _ in range(2))
    t, process = jnp.asarray([0.0, 0.3, 0.9, 1.0]), Flow(LINE)
    x_t = process.marginal(x0, t, eps)
    np.testing.assert_allclose(x_t[0], eps[0])
    np.testing.assert_allclose(process.x0(x0 - eps, x_t, t, None), x0, atol=1e-5)


def test_times_for_training_fill_what_lies_between_a_depth_and_the_data():
    times = LINE.training_times(jnp.linspace(0, 1, 1001)[:-1], 0.6)
    assert times.dtype == jnp.float32 and times.min() >= 0.4 - 1e-6 and times.max() < 1
    np.testing.assert_allclose(jnp.diff(times), 6e-4, atol=1e-6)


def test_the_training_loss_of_an_untrained_network_is_the_mean_square_of_the_target(acoustic):
    """The network's last layer is zero before training: what is left is E (x_0 - eps)^2."""
    params, batch = random_params(acoustic), random_batch()
    head = params["denoiser"]["head"]["dense"]
    params["denoiser"]["head"]["dense"] = jax.tree.map(jnp.zeros_like, head)
    loss_fn = denoiser_loss(
        acoustic.model, acoustic.scaling, acoustic.make_process, depth=0.6, distance="l2"
    )
    losses = jax.jit(jax.vmap(lambda key: loss_fn(params, batch, key, False)[0]))
    found = losses(jax.random.split(jax.random.key(0), 20)).mean()
    x0 = np.asarray(acoustic.scaling.scale(batch.mel))[batch.mask]
    np.testing.assert_allclose(found, np.mean(x0**2) + 1.0, rtol=0.03)


@pytest.mark.parametrize("method", sorted(SAMPLERS))
def test_every_sampler_brings_gaussian_data_back_from_a_shallow_start(method):
    """From data that is noised to t = 0.2 sampling ends in the law of the data."""
    data = MEAN + STD * jax.random.normal(jax.random.key(1), (16, 40, 8))
    steps = 100 if method in ("ddpm", "ddim") else 24  # those are of the first order
    keys, sampling = jax.random.split(jax.random.key(2), 16), Sampling(0.8, steps, method)

    @jax.jit
    def sample(data, keys):
        return shallow_sample(Flow(LINE), exact_x0(LINE), data, keys, sampling)

    z = sample(data, keys)
    np.testing.assert_allclose(z.mean(), MEAN, atol=0.02)
    np.testing.assert_allclose(z.std(), STD, rtol=0.12 if method == "ddpm" else 0.05)


@pytest.mark.parametrize("method", [name for name in sorted(SAMPLERS) if not SAMPLERS[name].draws])
def test_deterministic_samplers_follow_the_flow(method):
    x = jax.random.normal(jax.random.key(3), (2, 30, 2))
    sampler, depth = SAMPLERS[method], 0.9 if method == "plms" else 1.0  # it needs some of x_0
    times = sampler.times(LINE, depth, 64)
    assert times.dtype == np.float32 and len(times) == 65 and times[-1] == 1.0
    np.testing.assert_allclose(times[0], 1.0 - depth, atol=1e-6)
    z = jax.jit(lambda x: sampler.run(LINE, exact_x0(LINE), x, None, times))(x)
    tolerance = 0.05 if method == "ddim" else 0.01
    np.testing.assert_allclose(z, exact_flow(LINE, x, times[0]), atol=tolerance)


def test_a_voice_samples_from_any_depth(acoustic):
    params, batch = random_params(acoustic), random_batch()
    keys = jax.random.split(jax.random.key(4), 3)
    sample = jax.jit(acoustic.sample_mel, static_argnames="sampling")
    auxiliary, nearly, shallow = (
        np.asarray(sample(params, batch, keys, 1.0, sampling=Sampling(depth, 3, "ddim")))[
            batch.mask
        ]
        for depth in (0, 1e-4, 0.6)
    )
    half_range, low = map(np.asarray, (acoustic.scaling.half_range, acoustic.scaling.low))
    auxiliary = np.clip(auxiliary, low, low + 2 * half_range)  # as estimates of x_0 are
    np.testing.assert_allclose(nearly / half_range, auxiliary / half_range, atol=0.01)
    assert np.abs((shallow - auxiliary) / half_range).mean() > 0.01


def test_every_time_draws_noise_of_its_own_and_the_start_too():
    keys, t = jax.random.split(jax.random.key(5), 2), jnp.float32(0.4)
    noise_at = key_noise(keys, (2, 5, 3))
    start = noise_at(time_number(t) + 1)
    draws = [start, noise_at(t), noise_at(jnp.float32(0.45)), noise_at(jnp.float32(0.0))]
    correlation = np.corrcoef([np.ravel(draw) for draw in draws])
    assert np.abs(correlation - np.eye(4)).max() < 0.7


def test_plms_says_that_it_cannot_start_from_noise_alone():
    times = SAMPLERS["plms"].times(LINE, 1.0, 8)
    with pytest.raises(ValueError, match="nothing is left of x_0"):
        SAMPLERS["plms"].run(LINE, exact_x0(LINE), jnp.zeros((1, 2, 3)), None, times)
