"""GAN-Singer: windows see real frames alone, and each side learns from its own losses."""

import functools
import json
import shutil

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from diffsinger_jax.configs import gan_singer, gan_singer_pjs_small, tiny
from random_batches import grow, random_batch
from toy_singer import (
    DISCRIMINATORS_MODEL,
    SCALING,
    WEIGHTS,
    ToySinger,
    discriminator_params,
    toy_params,
)
from two_sides import gradients, nonzero, optimizers, same, state_with

from diffsinger_jax.engine.adversarial import DISCRIMINATORS, GENERATOR, adversarial_step
from diffsinger_jax.engine.typed_config import as_dict
from diffsinger_jax.errors import InputError
from diffsinger_jax.models.mel_discriminators import (
    CONDITIONS,
    random_window,
    show_pitch,
)
from diffsinger_jax.tasks.gan_singer.config import gan_singer_config
from diffsinger_jax.tasks.gan_singer.losses import (
    adversarial_loss,
    discriminator_loss,
    feature_loss,
    gan_singer_losses,
    window_outputs,
    window_places,
)
from diffsinger_jax.tasks.gan_singer.task import train_gan_singer


@functools.cache
def looks():
    """Jitted: what discriminators say of mels."""
    look = functools.partial(window_outputs, DISCRIMINATORS_MODEL, show_pitch)
    return jax.jit(look)


def test_a_window_is_of_real_frames_wherever_it_lies():
    frames = jnp.asarray([30, 8, 5])
    shown = jnp.broadcast_to(jnp.arange(40.0), (3, 40))
    for place in (0.0, 0.5, 1 - 2**-24):
        cut = random_window(shown, frames, jnp.full(3, place, jnp.float32), 8)
        assert cut.shape == (3, 8)
        assert cut[0].max() < 30 and cut[1].max() < 8  # the third row is shorter than a window
        np.testing.assert_array_equal(jnp.diff(cut, axis=1), 1)
    starts = random_window(shown[:1], frames[:1], jnp.zeros(1), 8)[0, 0], cut[0, 0]
    assert starts == (0, 22)  # the first and the last one
    assert random_window(shown[:, :6], frames, jnp.zeros(3), 8).shape == (3, 8)


def test_discriminators_see_no_padding_and_count_no_row_without_a_window():
    batch, params = random_batch(), discriminator_params()
    z = np.random.default_rng(1).normal(size=batch.mel.shape).astype("f4")
    places = np.random.default_rng(2).random((3, 2)).astype("f4")
    found = looks()(params, batch, np.where(batch.mask[..., None], z, 1e6), places)
    expected = looks()(params, batch, np.where(batch.mask[..., None], z, 0.0), places)
    lengths = batch.mask.sum(axis=1)
    assert lengths.min() < 20 <= lengths.max() and len(found) == 4
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        np.testing.assert_array_equal(one.counted, lengths >= (8, 8, 20, 20)[number])
        for a, b in zip(one.outputs, other.outputs, strict=True):
            np.testing.assert_array_equal(a[one.counted], b[one.counted])
    for loss in (
        discriminator_loss(expected, found),
        adversarial_loss(found),
        feature_loss(expected, found),
    ):
        assert float(loss.count) == 2 * (3 + (lengths >= 20).sum()) and np.isfinite(loss.total)
        assert float(loss.total) < 1e5


def test_more_padding_changes_no_loss():
    batch, params = random_batch(), discriminator_params()
    places = np.random.default_rng(2).random((3, 2)).astype("f4")
    z = np.where(batch.mask[..., None], batch.mel + 1.0, 0.0).astype("f4")
    longer = grow(batch, frames=10)
    z_longer = np.pad(z, ((0, 0), (0, 10), (0, 0)))
    short, long = (
        adversarial_loss(looks()(params, *given, places))
        for given in ((batch, z), (longer, z_longer))
    )
    np.testing.assert_allclose(short.compute(), long.compute(), rtol=1e-6)


def test_the_condition_is_the_pitch_that_is_sung():
    f0 = jnp.asarray([[0.0, 261.6256]])
    shown = show_pitch(jnp.zeros((1, 2, 3)), f0)
    assert shown.shape == (1, 2, 3, 3)
    np.testing.assert_allclose(shown[0, :, 0], [[0, 0, 0], [0, 0, 1]], atol=1e-5)
    assert CONDITIONS["none"](jnp.zeros((1, 2, 3)), f0).shape == (1, 2, 3, 1)


def test_places_are_a_row_s_own():
    key = jax.random.key(3)
    places = window_places(key, jnp.arange(4), 2)
    np.testing.assert_array_equal(places[2:], window_places(key, jnp.arange(2, 4), 2))
    assert len(np.unique(places)) == 8


@functools.cache
def step():
    """One program for the tests of both sides: the weights are arguments."""

    @jax.jit
    def update(state, frozen, batch, weights):
        losses = gan_singer_losses(ToySinger(), SCALING, DISCRIMINATORS_MODEL, show_pitch, weights)
        return adversarial_step(
            state,
            frozen,
            batch,
            jax.random.key(2),
            losses=losses,
            optimizers=optimizers(),
            ema_decay=0.99,
        )

    params, frozen = toy_params()
    return update, params, frozen


def test_each_side_learns_from_its_own_losses_on_real_frames_alone():
    update, params, frozen = step()
    batch = jax.tree.map(lambda x: np.concatenate([x, np.zeros_like(x[:1])]), random_batch())
    whole, losses = update(state_with(params), frozen, batch, WEIGHTS)
    none, _ = update(state_with(params), frozen, batch, dict.fromkeys(WEIGHTS, 0.0))
    assert not any(nonzero(gradients(none, GENERATOR)))
    assert all(nonzero(gradients(whole, GENERATOR)))
    assert all(nonzero(gradients(whole, DISCRIMINATORS)))
    assert same(gradients(whole, DISCRIMINATORS), gradients(none, DISCRIMINATORS))
    assert float(losses["skipped"]) == 0 and whole.ema.keys() == params[GENERATOR].keys()
    assert float(losses["mel_l1"].count) == 12 * batch.mask.sum()
    # What padding says, in frames or in a row of its own, changes no number.
    poisoned = batch._replace(mel=np.where(batch.mask[..., None], batch.mel, -3.0))
    again, found = update(state_with(params), frozen, poisoned, WEIGHTS)
    assert same(again, whole) and same(found, losses)


def test_two_sides_resume_bit_by_bit():
    update, params, frozen = step()
    state = state_with(params)
    for _ in range(2):
        state, _ = update(state, frozen, random_batch(rows=4), WEIGHTS)
    again, _ = update(state_with(params), frozen, random_batch(rows=4), WEIGHTS)
    again = jax.tree.map(lambda x: jnp.asarray(np.asarray(x).copy()), again)  # as from a file
    again, _ = update(again, frozen, random_batch(rows=4), WEIGHTS)
    assert same(state, again)


def small(corpus, **changes):
    config = tiny.get_config()
    gan_singer.gan_singer(config)
    config.corpus = str(corpus)
    config.discriminators.windows = (8,)
    config.discriminators.channels = 4
    config.auxiliary.steps = 4
    config.save_every_steps = 2
    config.update_from_flattened_dict(changes)
    return config


@pytest.mark.slow
def test_a_run_that_is_taken_up_again_is_bitwise_the_undisturbed_one(made_up_corpus, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    trained = train_gan_singer(small(made_up_corpus, songs_shown=0), whole)
    assert trained.sampling.k_step == 0 and (whole / "voice" / "voice.json").exists()
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert any("adversarial" in line for line in lines)
    assert any("validation_mel_l1" in line for line in lines)
    cut.mkdir()
    shutil.copytree(whole / "checkpoints", cut / "checkpoints")
    shutil.rmtree(cut / "checkpoints" / "gan_singer" / "4")
    again = train_gan_singer(small(made_up_corpus, songs_shown=0), cut)
    ours, theirs = (flax.traverse_util.flatten_dict(dict(v.params)) for v in (again, trained))
    assert all(np.array_equal(ours[path], theirs[path]) for path in theirs)


@pytest.mark.parametrize("module", [gan_singer, gan_singer_pjs_small])
def test_the_gan_configs_that_ship_are_sound(module):
    gan_singer_config(as_dict(module.get_config()))


@pytest.mark.parametrize(
    "changes,said",
    [
        (
            {"sampling.k_step": 8, "denoiser.steps": 1},
            "k_step is 8; a GAN-Singer sings its auxiliary mel",
        ),
        ({"discriminators.windows": ()}, "windows is empty"),
        ({"discriminators.bands": ((0.5, 0.2),)}, "bands is ..0.5, 0.2.,., expected pairs"),
        ({"discriminators.condition": "lyrics"}, "condition is one of none, pitch"),
        ({"auxiliary.steps": 0, "start_from": "v"}, "nothing to learn"),
    ],
)
def test_what_cannot_be_of_a_gan_singer_is_one_sentence(changes, said):
    config = small("somewhere")
    with config.ignore_type():
        config.update_from_flattened_dict(changes)
    with pytest.raises(InputError, match=said):
        gan_singer_config(as_dict(config))
