"""DiffGAN-TTS: its schedule and pairs by their laws, its discriminator, its two stages."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from diffsinger_jax.configs import diffgan, diffgan_pjs_small

from diffsinger_jax.diffusion.schedule import variance_preserving_schedule
from diffsinger_jax.diffusion.transitions import forward_pair, posterior_pair
from diffsinger_jax.engine.metrics import Mean
from diffsinger_jax.engine.typed_config import as_dict
from diffsinger_jax.errors import InputError
from diffsinger_jax.models.joint_discriminator import JointDiscriminator
from diffsinger_jax.tasks.diffgan.config import diffgan_config, with_base
from diffsinger_jax.tasks.diffgan.losses import draw_sample, dynamically_weighted, over_frames

PATH = variance_preserving_schedule(4).path
ROWS = 20_000


def normal(seed, shape=(ROWS, 1, 1)):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def test_the_schedule_is_the_published_one():
    betas = variance_preserving_schedule(4).betas
    np.testing.assert_allclose(betas, [0.720, 0.977, 0.998, 0.9998], atol=5e-4)
    assert 0 < 1 - variance_preserving_schedule(1).betas[0] < 1e-8
    with pytest.raises(ValueError, match="needs steps >= 1"):
        variance_preserving_schedule(0)


@pytest.mark.parametrize("step", [1, 2])
def test_backward_pairs_of_the_true_data_have_the_law_of_forward_ones(step):
    x0, t = 0.3 + 0.2 * normal(0), jnp.full(ROWS, step - 1)
    forward = forward_pair(PATH, x0, t, normal(1), normal(2))
    backward = posterior_pair(PATH, x0, forward.x_t, t, normal(3))
    alpha, sigma = PATH.on_host(np.array([step - 1, step - 2]))
    ratio = alpha[0] / alpha[1]
    variance = alpha**2 * 0.2**2 + sigma**2
    for pair in (forward, backward):
        found = np.cov(np.ravel(pair.x_t), np.ravel(pair.before))
        expected = [[variance[0], ratio * variance[1]], [ratio * variance[1], variance[1]]]
        np.testing.assert_allclose(found, expected, atol=0.04)
        np.testing.assert_allclose(np.mean(pair.before), alpha[1] * 0.3, atol=0.03)
    if step == 1:  # before the first step is the data
        np.testing.assert_allclose(forward.before, x0, atol=1e-6)
        np.testing.assert_allclose(backward.before, x0, atol=1e-6)


def test_a_shallow_start_shows_the_base_and_asks_for_the_recording():
    data, base = normal(0, (4, 3, 2)), normal(1, (4, 3, 2))
    seen = []

    def copy(x_t, t):
        seen.append((x_t, t))
        return base

    noise = [normal(seed, (4, 3, 2)) for seed in (2, 3, 4)]
    sample = draw_sample(PATH, 1, data, base, copy, noise, jnp.linspace(0, 0.9, 4))
    x_t, t = seen[0]
    np.testing.assert_array_equal(t, 0)
    np.testing.assert_allclose(x_t, forward_pair(PATH, base, t, *noise[:2]).x_t)
    np.testing.assert_allclose(sample.real.before, data, atol=1e-6)
    np.testing.assert_allclose(sample.fake.before, base, atol=1e-6)  # a copy of the base is fake


MODEL = JointDiscriminator(steps=4, speakers=2, width=1 / 16)


@functools.cache
def judge():
    row = jnp.zeros(1, jnp.int32)
    x = jnp.zeros((1, 8, 3))
    shapes = jax.eval_shape(MODEL.init, jax.random.key(0), (x, x), row, row, jnp.ones((1, 8), bool))
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda s: jnp.asarray(rng.normal(0, 0.3, s.shape), jnp.float32), shapes["params"]
    )
    return jax.jit(lambda *given: MODEL.apply({"params": params}, *given))


def test_the_discriminator_sees_no_padding_and_one_head_knows_step_and_speaker():
    lengths = np.array([12, 7])
    mask = np.arange(12)[None] < lengths[:, None]
    pair = [np.asarray(normal(seed, (2, 12, 3))) for seed in (0, 1)]
    step, speaker = np.array([1, 3]), np.array([0, 1])
    features, scores = judge()(pair, step, speaker, mask)
    assert [x.values.shape[1:] for x in features] == [(12, 4), (6, 8), (3, 16), (3, 8), (3, 8)]
    assert len(scores) == 2 and scores[0].values.shape == (2, 3, 1)
    longer = [np.pad(x, ((0, 0), (0, 8), (0, 0)), constant_values=9.0) for x in pair]
    poisoned = [np.where(np.pad(mask, ((0, 0), (0, 8)))[..., None], x, 9.0) for x in longer]
    again = judge()(poisoned, step, speaker, np.pad(mask, ((0, 0), (0, 8))))
    for one, other in zip([*features, *scores], [*again[0], *again[1]], strict=True):
        frames = one.mask.shape[1]
        np.testing.assert_array_equal(other.mask[:, :frames], one.mask)
        kept = np.where(one.mask[..., None], one.values, 0.0)
        there = np.where(one.mask[..., None], other.values[:, :frames], 0.0)
        np.testing.assert_allclose(there, kept, atol=1e-5)
    means = [over_frames(lambda x: x**2, which).compute() for which in (features, again[0])]
    np.testing.assert_allclose(*means, rtol=1e-5)
    _, other_step = judge()(pair, step - 1, speaker, mask)
    _, other_speaker = judge()(pair, step, 1 - speaker, mask)
    for other in (other_step, other_speaker):
        np.testing.assert_array_equal(other[0].values, scores[0].values)
        assert np.abs(other[1].values - scores[1].values).max() > 1e-3


def test_features_weigh_as_much_as_the_reconstruction_and_lend_it_no_gradient():
    def loss(x):
        features = Mean(3.0 * x[0], jnp.float32(2.0))
        reconstruction = Mean(5.0 * x[1], jnp.float32(4.0))
        return dynamically_weighted(features, reconstruction).compute()

    x = jnp.asarray([2.0, 4.0])
    np.testing.assert_allclose(loss(x), 5.0)  # the reconstruction loss
    np.testing.assert_allclose(jax.grad(loss)(x), [2.5, 0.0])  # (5 / 3) * 3 / 2


def test_a_diffgan_is_an_ordinary_voice_of_few_steps():
    config = diffgan_config(with_base(as_dict(diffgan_pjs_small.get_config())))
    assert config.process == "x0" and config.schedule == {"name": "variance_preserving", "steps": 4}
    assert (config.sampling.k_step, config.sampling.steps, config.sampling.method) == (4, 4, "ddpm")
    assert config.voice_sampling.start == "gaussian"
    assert not config.diffgan.is_shallow and not config.model["condition_on_prior"]
    two_stage = diffgan_pjs_small.get_config()
    diffgan_pjs_small.two_stage(two_stage)
    config = diffgan_config(with_base(as_dict(two_stage)))
    assert config.diffgan.is_shallow and config.model["condition_on_prior"]
    assert (config.sampling.k_step, config.sampling.steps) == (1, 1)
    assert config.voice_sampling.start == "auxiliary"


@pytest.mark.parametrize(
    "changes,said",
    [
        ({"start_from": ""}, "start_from is ''; name a voice with an auxiliary mel"),
        ({"diffgan.k_step": 5}, "k_step is 5, expected 1 to 4"),
        ({"diffgan.steps": 0}, "nothing to learn"),
        ({"discriminators.width": 0.0}, "width is 0.0, expected more than 0"),
    ],
)
def test_what_cannot_be_of_a_diffgan_is_one_sentence(changes, said):
    config = diffgan.get_config()
    config.update_from_flattened_dict(changes)
    with pytest.raises(InputError, match=said):
        diffgan_config(with_base(as_dict(config)))
