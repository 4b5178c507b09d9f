"""The table by noise level, for residuals whose law is known."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_batches import INFO, random_example, random_params, small_acoustic_model

from diffsinger_jax.diffusion.field import FREQUENCIES, GROUPS, PERIOD
from diffsinger_jax.diffusion.processes import straight_path
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.diffusion.schedule import linear_schedule
from diffsinger_jax.errors import InputError
from diffsinger_jax.evaluation import noise_levels
from diffsinger_jax.evaluation.noise_levels import (
    BINS_ALONE,
    DENOISER,
    FIELD,
    UNTRAINED,
    measure_noise_levels,
)
from diffsinger_jax.pipeline.collate import collate
from diffsinger_jax.pipeline.plan import Bucket
from diffsinger_jax.pipeline.prepared import Lengths

BINS, DECAY, VARIANCE = 12, 0.9, np.linspace(0.05, 0.001, 12)
SCHEDULE = dict(name="linear", steps=100, beta_max=0.06)


class Corpus:
    """Mels that are the voice's auxiliary ones plus draws of a field."""

    def __init__(self, acoustic, params, basis):
        rng = np.random.default_rng(0)
        examples = [random_example(rng, phonemes=40, longest=24) for _ in range(12)]
        longest = max(len(example["mel"]) for example in examples)
        batch = collate(examples, Bucket(12, longest, 40), BINS)
        sample = jax.jit(functools.partial(acoustic.sample_mel, sampling=Sampling(0, 1)))
        auxiliary = sample(params, batch, jax.random.split(jax.random.key(0), 12), 1.0)
        components = [rng.normal(size=(12, BINS))]
        for _ in range(longest - 1):
            fresh = np.sqrt(1 - DECAY**2) * rng.normal(size=(12, BINS))
            components.append(DECAY * components[-1] + fresh)
        residual = (np.stack(components, axis=1) * np.sqrt(VARIANCE)) @ basis.T
        mels = acoustic.scaling.unscale(acoustic.scaling.scale(auxiliary) + residual)
        self.examples = [
            {**example, "mel": np.asarray(mel[: len(example["mel"])], np.float32)}
            for example, mel in zip(examples, mels, strict=True)
        ]

    info, curves, in_memory = INFO, (), False

    def source(self, split):
        return self.examples

    def lengths(self, split):
        frames = np.asarray([len(e["mel"]) for e in self.examples])
        return Lengths(frames, np.full(len(frames), 40), ("made up",) * len(frames))


@pytest.fixture(scope="module")
def measured():
    """Of a voice that knows the field and whose network is untrained."""
    acoustic = small_acoustic_model(process="field", schedule=SCHEDULE)
    params, rng = random_params(acoustic), np.random.default_rng(1)
    params["denoiser"]["head"]["dense"] = jax.tree.map(
        jnp.zeros_like, params["denoiser"]["head"]["dense"]
    )
    basis = np.linalg.qr(rng.normal(size=(BINS, BINS)))[0]
    cosine = np.cos(2 * np.pi * np.arange(FREQUENCIES) / PERIOD)
    power = (1 - DECAY**2) / (1 - 2 * DECAY * cosine + DECAY**2)
    params["prior_basis"] = jnp.asarray(basis, jnp.float32)
    params["prior_spectrum"] = jnp.asarray(
        np.tile(VARIANCE[:, None] * power, (GROUPS, 1, 1)), jnp.float32
    )
    params["prior_scale"] = jnp.asarray(np.sqrt((basis**2) @ VARIANCE), jnp.float32)
    voice = types.SimpleNamespace(name="made up", acoustic=acoustic, params=params)
    return measure_noise_levels(voice, Corpus(acoustic, params, basis), times=(5, 20, 60))


def test_what_knows_more_errs_less(measured):
    rows = measured.rows
    assert np.all(rows[BINS_ALONE] < 0.95)
    assert np.all(rows[FIELD] < 0.99 * rows[BINS_ALONE])
    np.testing.assert_allclose(rows[UNTRAINED], rows[FIELD], rtol=0.08)
    np.testing.assert_allclose(rows["pointwise, scale of the voice"], 1.0, atol=0.02)
    assert abs(measured.variance_ratio - 1) < 0.1


def test_an_untrained_network_leaves_the_process_alone(measured):
    np.testing.assert_allclose(measured.rows[DENOISER], measured.rows[UNTRAINED], rtol=1e-5)


def test_the_table_has_a_column_for_each_level(measured):
    head, rule, *rows = measured.table().splitlines()
    assert head.count("|") == rule.count("|") == 5 and len(rows) == 6
    assert "| 5 (0.099) | 20 (0.37) | 60 " in head


def test_levels_of_a_flow_have_the_noise_of_the_schedules():
    noise = {}
    for path in (linear_schedule(100).path, straight_path()):
        alpha, sigma = path.on_host(noise_levels.levels_of(path, np.asarray([40, 0, 99])))
        noise[path.discrete] = sigma / alpha
    np.testing.assert_allclose(noise[False], noise[True], rtol=2e-3)
    assert np.all(np.diff(noise[True]) > 0)


def test_a_flow_is_measured(measured):
    """With a velocity of 0 the estimate is x_t itself, whose error is known."""
    acoustic = small_acoustic_model(process="velocity", schedule={"name": "straight"})
    params = random_params(acoustic)
    head = params["denoiser"]["head"]["dense"]
    params["denoiser"]["head"]["dense"] = jax.tree.map(jnp.zeros_like, head)
    params["prior_scale"] = jnp.sqrt(jnp.asarray(VARIANCE, jnp.float32))
    voice = types.SimpleNamespace(name="made up", acoustic=acoustic, params=params)
    found = measure_noise_levels(voice, Corpus(acoustic, params, np.eye(BINS)), times=(5, 40))
    assert UNTRAINED not in found.rows and found.noise[0] < found.noise[1]
    np.testing.assert_allclose(found.noise[0], measured.noise[0], rtol=1e-2)
    assert np.all(found.rows[BINS_ALONE] < 0.95)
    assert np.all(found.rows[DENOISER] > found.rows[BINS_ALONE])


def test_a_voice_without_an_auxiliary_mel_is_refused():
    acoustic = types.SimpleNamespace(model=types.SimpleNamespace(auxiliary="none"))
    voice = types.SimpleNamespace(name="made up", acoustic=acoustic, params={})
    with pytest.raises(InputError, match="made up has no auxiliary mel"):
        measure_noise_levels(voice, None)
