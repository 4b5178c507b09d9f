"""Losses against numpy in float64, and exact under padding and splitting."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from random_batches import grow, random_batch, random_params, small_acoustic_model

from diffsinger_jax.diffusion.schedule import linear_schedule
from diffsinger_jax.engine.losses import LossFn, spread_places
from diffsinger_jax.engine.metrics import Mean
from diffsinger_jax.engine.state import create_state, split_params
from diffsinger_jax.engine.supervised import train_step
from diffsinger_jax.models.diffsinger import AUXILIARY_PARAMS
from diffsinger_jax.tasks.acoustic.losses import pitch_losses, ssim
from diffsinger_jax.tasks.acoustic.regularizers import Regularizers
from diffsinger_jax.tasks.acoustic.stage_losses import (
    AuxiliaryOutputs,
    auxiliary_loss,
    auxiliary_losses,
    denoiser_loss,
)

WEIGHTS = dict.fromkeys(
    ("mel_l1", "mel_ssim", "duration_phoneme", "duration_note", "pitch", "voicing"), 1.0
)


def ssim_by_hand(x, y):
    """Wang et al. 2004, eq. 13, one window at a time in float64."""
    window = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window = np.outer(window, window) / np.outer(window, window).sum()
    x, y = (np.pad(np.asarray(a, np.float64), 5) for a in (x, y))
    out = np.zeros((x.shape[0] - 10, x.shape[1] - 10))
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            var_a = (window * a * a).sum() - mean_a**2
            var_b = (window * b * b).sum() - mean_b**2
            covariance = (window * a * b).sum() - mean_a * mean_b
            out[i, j] = (2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4)
            out[i, j] /= (mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4)
    return out


def test_ssim_is_that_of_the_paper():
    x, y = np.random.default_rng(0).uniform(0, 2, (2, 14, 9)).astype(np.float32)
    np.testing.assert_allclose(ssim(x[None], y[None])[0], ssim_by_hand(x, y), atol=2e-5)
    np.testing.assert_allclose(ssim(x[None], x[None]), 1.0, atol=1e-5)


def test_means_of_parts_merge_exactly():
    values, mask = jnp.arange(12.0), jnp.arange(12) % 3 > 0
    whole = Mean.of(values, mask)
    parts = Mean.of(values[:5], mask[:5]).merge(Mean.of(values[5:], mask[5:]))
    assert float(whole.compute()) == float(parts.compute()) == np.arange(12)[mask].mean()


def test_a_mean_over_nothing_is_nan_and_adds_nothing_to_a_loss():
    nothing = Mean.of(jnp.arange(3.0), jnp.zeros(3, bool))
    assert np.isnan(nothing.compute()) and nothing.share() == 0.0
    something = Mean.of(jnp.arange(3.0), jnp.ones(3, bool))
    loss = LossFn(lambda *_: {}, {"pitch": 2.0, "mel": 3.0})
    assert loss.weighted({"pitch": nothing, "mel": something}) == 3.0


def test_pitch_without_notes_is_learnt_as_it_is_or_counts_nothing():
    distance = jnp.asarray([[60.0, 61.0, 1.0, 7.0]])  # semitones from 0, and from two notes
    arguments = dict(
        residual=jnp.zeros((1, 4)),
        voiced_logits=jnp.zeros((1, 4)),
        distance=distance,
        voiced=jnp.ones((1, 4), bool),
        has_note=jnp.asarray([[False, False, True, True]]),
        mask=jnp.ones((1, 4), bool),
    )
    from_notes, absolute = (
        pitch_losses(**arguments, needs_notes=x)["pitch"] for x in (True, False)
    )
    assert from_notes.compute() == 1.0  # 7 semitones off is an error, and so is no note
    np.testing.assert_allclose(absolute.compute(), (60 + 61 + 1) / 3)
    none = pitch_losses(
        **{**arguments, "has_note": jnp.zeros((1, 4), bool), "distance": 60 + 0 * distance}
    )
    assert np.isnan(none["pitch"].compute())


def test_a_predictor_of_pitch_itself_learns_from_data_without_notes():
    frame = small_acoustic_model(pitch="frame")
    batch = random_batch()
    batch = batch._replace(note_midi=np.zeros_like(batch.note_midi))
    loss_fn = auxiliary_loss(frame.model, frame.scaling, {**WEIGHTS, "mel_l1": 0.0})
    parts = jax.jit(lambda p: loss_fn(p, batch, jax.random.key(0), False)[1])(random_params(frame))
    assert parts["pitch"].count == (batch.f0 > 0).sum() and parts["pitch"].compute() > 1.0
    silent = small_acoustic_model(pitch="none")
    loss_fn = auxiliary_loss(silent.model, silent.scaling, WEIGHTS)
    assert set(loss_fn.weights) == set(WEIGHTS) - {"pitch", "voicing"}


@pytest.mark.parametrize("level", ["frame", "phoneme"])
def test_pitch_and_energy_of_speech_are_learnt(level):
    energy = dict(curves=("energy",), predicted_curves=("energy",), curve_input="bins")
    model = small_acoustic_model(
        pitch=level, curve_level=level, score_inputs="phonemes", predictor_dropout=0.0, **energy
    )
    batch = random_batch()
    curve = np.random.default_rng(0).uniform(-60, -20, batch.f0.shape).astype("f4") * batch.mask
    batch = batch._replace(note_midi=np.zeros_like(batch.note_midi), curves={"energy": curve})
    params, module = random_params(model), model.model
    names = ("pitch_predictor", "curve_predictor")  # what is trained: the rest costs compiling
    trained = {name: params[name] for name in names}
    encoded = jax.jit(lambda p: module.apply({"params": p}, batch, method="encode"))(params)
    optimizer = optax.adam(0.03)

    def loss(trained):
        variables = {"params": {**params, **trained}}
        of_pitch = module.apply(variables, encoded, batch, method="predict_pitch")
        curves = module.apply(variables, encoded, batch, method="predict_curves")
        outputs = AuxiliaryOutputs(jnp.zeros_like(batch.mel), *of_pitch, None, curves)
        parts = auxiliary_losses(module, model.scaling, batch, outputs)
        return sum(parts[name].compute() for name in ("pitch", "voicing", "curves")), parts

    @jax.jit
    def step(trained, state):
        (_, parts), gradient = jax.value_and_grad(loss, has_aux=True)(trained)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(trained, updates), state, parts

    state, found = optimizer.init(trained), []
    for _ in range(60):
        trained, state, parts = step(trained, state)
        found.append({name: float(parts[name].compute()) for name in ("pitch", "curves")})
    assert found[-1]["pitch"] < 0.3 * found[0]["pitch"]
    assert found[-1]["curves"] < 0.5 * found[0]["curves"]
    if level == "phoneme":
        f0 = np.asarray(jax.jit(model.predict_f0)({**params, **trained}, batch))
        same = np.diff(batch.mel2ph) == 0
        assert same.any() and not np.any(np.diff(f0)[same])


@pytest.fixture(scope="module")
def acoustic():
    return small_acoustic_model()


@pytest.fixture(scope="module")
def params(acoustic):
    return random_params(acoustic)


def test_padding_changes_neither_auxiliary_loss_nor_gradient(acoustic, params):
    loss_fn = auxiliary_loss(acoustic.model, acoustic.scaling, WEIGHTS)
    loss = jax.jit(
        jax.value_and_grad(lambda p, b: loss_fn(p, b, jax.random.key(0), False), has_aux=True)
    )
    batch = random_batch()
    (one, parts), gradient = loss(params, batch)
    (two, _), padded = loss(params, grow(batch, rows=1, frames=17, phonemes=6))
    assert set(parts) == set(WEIGHTS)
    np.testing.assert_allclose(one, two, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=5e-5), gradient, padded)


FLOW = {
    "schedule": {"name": "straight"},
    "trunk": "lynxnet2",
    "auxiliary": "convnext",
    "auxiliary_settings": {"channels": 8, "layers": 1},
    "stretch": True,
}


@pytest.mark.parametrize(
    "process, parts, depth", [("residual", {}, 20), ("field", {}, 20), ("velocity", FLOW, 0.6)]
)
def test_padding_frames_change_no_diffusion_loss(process, parts, depth):
    # Rows draw their step and noise together, so only frames and phonemes are padded here.
    acoustic = small_acoustic_model(process=process, **parts)
    params = random_params(acoustic)
    loss_fn = denoiser_loss(
        acoustic.model, acoustic.scaling, acoustic.make_process, depth=depth, distance="l2"
    )
    loss = jax.jit(lambda p, b: loss_fn(p, b, jax.random.key(0), False)[0])
    batch = random_batch(rows=1)
    np.testing.assert_allclose(
        loss(params, batch), loss(params, grow(batch, frames=17, phonemes=6)), rtol=1e-5
    )


@pytest.mark.parametrize("what", ["drop_condition", "drop_prior"])
def test_rows_are_trained_without_what_is_dropped(acoustic, params, what):
    """With almost all of them dropped the loss does not see it; in validation nothing is."""

    @functools.partial(jax.jit, static_argnums=1, static_argnames=("drop_condition", "drop_prior"))
    def loss(params, train, **drop):
        loss_fn = denoiser_loss(
            acoustic.model,
            acoustic.scaling,
            acoustic.make_process,
            depth=20,
            distance="l2",
            regularizers=Regularizers(**drop),
        )
        return loss_fn(params, random_batch(), jax.random.key(0), train)[0]

    shown = {"drop_condition": slice(None, 16), "drop_prior": slice(16, None)}[what]
    moved = jax.tree.map(jnp.copy, params)
    kernel = moved["denoiser"]["condition"]["dense"]["kernel"]
    moved["denoiser"]["condition"]["dense"]["kernel"] = kernel.at[shown].add(1.0)
    drop = {what: 0.999999}
    np.testing.assert_allclose(loss(params, True, **drop), loss(moved, True, **drop), rtol=1e-6)
    assert abs(loss(params, True) - loss(moved, True)) > 1e-3
    np.testing.assert_array_equal(loss(params, False, **drop), loss(params, False))


def test_steps_are_uniform_and_spread():
    keys = jax.random.split(jax.random.key(0), 4000)
    path = linear_schedule(100).path

    def draw(key):
        return path.training_times(spread_places(key, jnp.arange(5)), 20)

    draws = jax.vmap(draw)(keys)
    counts = np.bincount(np.asarray(draws).ravel(), minlength=20)
    assert counts.min() > 800 and counts.max() < 1200  # 1000 expected of each
    gaps = np.diff(np.sort(np.asarray(draws), axis=1), axis=1)
    assert gaps.min() >= 2  # of 20 * (0.618^4 = 0.146), give or take the rounding


@pytest.mark.parametrize("stage", ["auxiliary", "denoiser"])
def test_a_step_learns_and_leaves_the_frozen_alone(acoustic, params, stage):
    if stage == "auxiliary":
        trained = AUXILIARY_PARAMS
        loss_fn = auxiliary_loss(acoustic.model, acoustic.scaling, WEIGHTS)
    else:
        trained = ("denoiser",)
        loss_fn = denoiser_loss(
            acoustic.model, acoustic.scaling, acoustic.make_process, depth=20, distance="l2"
        )
    mine, frozen = split_params(params, trained)
    optimizer = optax.adam(3e-3)
    state = create_state(mine, optimizer)
    step = jax.jit(
        functools.partial(train_step, loss_fn=loss_fn, optimizer=optimizer, ema_decay=0.9)
    )
    batch, losses = random_batch(), []
    for _ in range(40):
        state, metrics = step(state, frozen, batch, jax.random.key(0))
        losses.append(float(metrics["loss"]))
    assert int(state.step) == 40 and set(state.params) == set(params) & set(trained)
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])
