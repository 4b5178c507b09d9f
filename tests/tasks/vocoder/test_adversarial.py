"""The adversarial step: each side learns from its own loss alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from two_sides import gradients, nonzero, optimizers, same, state_with

from diffsinger_jax.audio.mel import mel_filterbank
from diffsinger_jax.engine.adversarial import adversarial_step
from diffsinger_jax.models.discriminators import Discriminators
from diffsinger_jax.models.nsf_hifigan import NsfHifigan
from diffsinger_jax.tasks.vocoder.losses import (
    MelView,
    Segments,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
    vocoder_losses,
)
from diffsinger_jax.types import MelSpec

FRAMES, HOP, BINS = 16, 16, 6
GENERATOR = NsfHifigan(
    mel_bins=BINS,
    sample_rate=8000,
    channels=8,
    upsample_rates=(4, 4),
    upsample_kernels=(8, 8),
    resblock="2",
    resblock_kernels=(3,),
    resblock_dilations=((1, 2),),
    source="sine",
)
DISCRIMINATORS = Discriminators(periods=(3,), scales=0, n_ffts=(64,), width=1 / 8)
WEIGHTS = {"mel": 45.0, "features": 2.0, "adversarial": 1.0}


def views():
    spec = MelSpec(sample_rate=8000, hop=16, n_fft=64, win=64, n_mels=10, fmax=4000.0)
    return (MelView(64, jnp.asarray(mel_filterbank(spec))),)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    t = np.arange(FRAMES * HOP) / 8000
    wav = 0.3 * np.sin(2 * np.pi * np.array([[200.0], [330.0]]) * t)
    return Segments(
        wav=(wav + 0.01 * rng.normal(size=wav.shape)).astype("f4"),
        mel=rng.uniform(-6, 0, (2, FRAMES, BINS)).astype("f4"),
        f0=np.repeat([[200.0], [330.0]], FRAMES, axis=1).astype("f4"),
    )


def random_params(batch, discriminators=DISCRIMINATORS):
    """Of both sides; initializers take long to compile."""
    rng = np.random.default_rng(1)
    shapes = {
        "generator": jax.eval_shape(GENERATOR.init, jax.random.key(0), batch.mel, batch.f0),
        "discriminators": jax.eval_shape(discriminators.init, jax.random.key(0), batch.wav),
    }
    return {
        name: jax.tree.map(lambda x: rng.normal(0, 0.1, x.shape).astype("f4"), one["params"])
        for name, one in shapes.items()
    }


@pytest.fixture(scope="module")
def params(batch):
    return random_params(batch)


@functools.lru_cache
def step():
    """One program for all tests: weights and learning rates are arguments."""

    @jax.jit
    def update(state, batch, weights):
        return adversarial_step(
            state,
            {},
            batch,
            jax.random.key(2),
            losses=vocoder_losses(GENERATOR, DISCRIMINATORS, views(), weights),
            optimizers=optimizers(),
            ema_decay=0.99,
        )

    return update


def test_the_losses_have_no_gradient_for_the_other_side(params, batch):
    update = step()
    whole, losses = update(state_with(params), batch, WEIGHTS)
    discriminators_only, _ = update(state_with(params), batch, dict.fromkeys(WEIGHTS, 0.0))
    # Without its own losses the generator has no gradient: the discriminators' gives it none.
    assert not any(nonzero(gradients(discriminators_only, "generator")))
    assert all(nonzero(gradients(whole, "generator")))
    # And the discriminators' is the same with and without the generator's losses.
    assert all(nonzero(gradients(whole, "discriminators")))
    assert same(
        gradients(whole, "discriminators"), gradients(discriminators_only, "discriminators")
    )
    assert int(whole.step) == 1 and float(losses["skipped"]) == 0
    assert all(np.isfinite(x) for x in jax.tree.leaves(losses))
    parts = {name: float(losses[name].compute()) for name in (*WEIGHTS, "discriminators")}
    total = sum(WEIGHTS[name] * parts[name] for name in WEIGHTS)
    np.testing.assert_allclose(float(losses["loss"]), total, rtol=1e-5)


def test_each_side_moves_by_its_own_optimizer_alone(params, batch):
    update = step()
    both, _ = update(state_with(params), batch, WEIGHTS)
    discriminator, _ = update(state_with(params, generator=0.0), batch, WEIGHTS)
    generator, _ = update(state_with(params, discriminators=0.0), batch, WEIGHTS)
    assert same(discriminator.params["generator"], params["generator"])
    assert same(generator.params["discriminators"], params["discriminators"])
    assert same(discriminator.params["discriminators"], both.params["discriminators"])
    assert not same(both.params["generator"], params["generator"])
    # It meets the discriminators as they have just become.
    assert not same(gradients(both, "generator"), gradients(generator, "generator"))


def test_a_resumed_run_is_the_same_bit_by_bit(params, batch):
    update = step()
    state = state_with(params)
    for _ in range(2):
        state, _ = update(state, batch, WEIGHTS)
    again, _ = update(state_with(params), batch, WEIGHTS)
    again = jax.tree.map(lambda x: jnp.asarray(np.asarray(x).copy()), again)  # as from a file
    again, _ = update(again, batch, WEIGHTS)
    assert same(state, again)


def test_it_learns(params, batch):
    update = step()
    state, first = update(state_with(params), batch, WEIGHTS)
    for _ in range(30):
        state, last = update(state, batch, WEIGHTS)
    assert float(last["mel"].compute()) < 0.7 * float(first["mel"].compute())
    assert float(last["discriminators"].compute()) < float(first["discriminators"].compute())


def test_numbers_that_are_none_move_neither_side(params, batch):
    update = step()
    before = state_with(params)
    wav = batch.wav.copy()
    wav[1, 5] = np.nan
    after, losses = update(before, batch._replace(wav=wav), WEIGHTS)
    assert float(losses["skipped"]) == 1 and not np.isfinite(losses["discriminators"].total)
    assert int(after.step) == 1 and same(after.replace(step=before.step), before)
    # A weight that makes the generator's loss infinite holds the discriminators back, too.
    after, losses = update(before, batch, {**WEIGHTS, "mel": float("inf")})
    assert float(losses["skipped"]) == 1 and np.isfinite(losses["discriminators"].total)
    assert same(after.params, params) and same(after.opt_state, before.opt_state)


def test_each_discriminator_scores_every_stretch_of_the_sound():
    discriminators = Discriminators(periods=(2,), scales=2, n_ffts=(64,), width=1 / 8)
    wav = jax.ShapeDtypeStruct((2, 512), jnp.float32)
    outputs, _ = jax.eval_shape(discriminators.init_with_output, jax.random.key(0), wav)
    assert [len(one) for one in outputs] == [6, 6, 8, 8]
    # Period 2: two rows for each of sound, and scores for each 2 x 3^4 samples.
    assert outputs[0][-1].shape == (4, 4, 1) and outputs[1][-1].shape == (2, 33, 5, 1)
    assert [one[-1].shape for one in outputs[2:]] == [(2, 8, 1), (2, 5, 1)]


def test_discriminators_at_their_best_and_worst():
    sure = [[jnp.zeros(3), jnp.ones((2, 4))]]
    fooled = [[jnp.ones(3), jnp.zeros((2, 4))]]
    assert discriminator_loss(sure, fooled) == 0 and discriminator_loss(fooled, sure) == 2
    assert adversarial_loss(sure) == 0 and adversarial_loss(fooled) == 1
    assert feature_loss(sure, fooled) == 1 and feature_loss(sure, sure) == 0
