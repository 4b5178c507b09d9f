"""A variance model's training: what it leaves, and that it resumes to the bit."""

import json
import shutil

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from diffsinger_jax.configs import variance_base, variance_pjs_small, variance_tiny
from random_batches import SPEC, grow, random_batch
from small_variance import TRUNK, random_variance_params, small_variance_model

from diffsinger_jax.engine.typed_config import as_dict
from diffsinger_jax.errors import InputError
from diffsinger_jax.models.scaling import PITCH
from diffsinger_jax.models.variance_inputs import inputs_of_batch
from diffsinger_jax.tasks.variance.config import variance_config
from diffsinger_jax.tasks.variance.losses import (
    DURATION_LOSSES,
    duration_losses,
    retake_masks,
    variance_loss,
)
from diffsinger_jax.tasks.variance.task import train_variance
from diffsinger_jax.voices.variance import load_variance

CURVES = ("energy",)
MODEL = as_dict(variance_tiny.get_config().model)


def tiny(corpus, **changes):
    config = variance_tiny.get_config()
    config.corpus = str(corpus)
    for name, value in changes.items():
        config[name] = value
    return config


@pytest.mark.parametrize("module", [variance_base, variance_pjs_small, variance_tiny])
def test_the_variance_configs_that_ship_are_sound(module):
    variance_config(as_dict(module.get_config()))


@pytest.mark.parametrize(
    "changes,said",
    [
        ({"process": "eps"}, "pitch is made by .velocity. with .straight."),
        ({"ranges": {"pitch": (2.0, -2.0, -6.0, 6.0)}}, "config.ranges.pitch is"),
        ({"ranges": {"vibrato": ()}}, "it knows pitch, energy"),
        ({"process": "residual"}, "config.process is 'residual'"),
        ({"model": {**MODEL, "heads": 3}}, "which 3 attention heads"),
        ({"model": {**MODEL, "width": 3}}, "width"),
    ],
)
def test_what_contradicts_is_one_sentence(changes, said):
    with pytest.raises(InputError, match=said):
        variance_config({**as_dict(variance_tiny.get_config()), **changes})


@pytest.mark.slow
def test_a_run_that_is_taken_up_again_is_bitwise_the_undisturbed_one(made_up_corpus, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    trained = train_variance(tiny(made_up_corpus), whole)
    kept = load_variance(whole / "variance")
    assert kept.model == json.loads(json.dumps(dict(trained.model)))
    assert kept.predicts == {"durations", "f0"}
    assert list((whole / "pictures").glob("variance_000008_f0_*.png"))
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert any("validation_pitch" in line for line in lines)
    cut.mkdir()
    shutil.copytree(whole / "checkpoints", cut / "checkpoints")
    shutil.rmtree(cut / "checkpoints" / "variance" / "8")
    again = train_variance(tiny(made_up_corpus, songs_shown=0), cut)
    ours, theirs = (flax.traverse_util.flatten_dict(dict(v.params)) for v in (again, trained))
    assert all(np.array_equal(ours[path], theirs[path]) for path in theirs)


@pytest.fixture(scope="module")
def loss():
    variance = small_variance_model(curves=CURVES, curve_settings=TRUNK)
    params = random_variance_params(variance)
    weights = dict.fromkeys(
        ("duration_phoneme", "duration_word", "duration_sentence", PITCH, "voicing", "curves"), 1.0
    )
    how = {"distance": "l2", "weighting": "logit_normal", "retake_all": 0.5}
    loss_fn = variance_loss(variance, SPEC.frames_per_sec, weights, **how)
    return jax.jit(lambda batch, rows: loss_fn.parts(params, batch, jax.random.key(0), rows, False))


def told(batch):
    return batch._replace(curves={"energy": np.where(batch.mask, -40.0, 0.0).astype("f4")})


def test_padding_changes_no_loss_and_rows_are_their_own(loss):
    batch, rows = random_batch(), jnp.arange(3)
    whole = loss(told(batch), rows)
    assert all(float(part.count) > 0 and np.isfinite(part.total) for part in whole.values())
    without_first = jax.tree.map(
        lambda x: x * (np.arange(3) > 0).reshape(3, *(1,) * (x.ndim - 1)), told(batch)
    )
    without_first = without_first._replace(mask=without_first.mask.astype(bool))
    others = loss(without_first, rows)
    padded = jax.tree.map(lambda x: x[1:], told(grow(batch, phonemes=2)))
    alone = loss(padded, rows[1:])
    for name, part in others.items():
        assert float(alone[name].total) == pytest.approx(float(part.total), rel=2e-4), name
        assert float(alone[name].count) == float(part.count) < float(whole[name].count)


def test_true_durations_have_no_loss():
    batch = random_batch()
    right = jax.jit(duration_losses)(jnp.log1p(batch.ph_frames.astype("f4")), batch)
    assert all(float(part.total) == pytest.approx(0, abs=1e-8) for part in right.values())
    real = batch.tokens > 0
    counts = {name: int(part.count) for name, part in right.items()}
    phonemes, words = int(real.sum()), int((batch.onset * real).sum())
    assert counts == dict(zip(DURATION_LOSSES, (phonemes, words, 3), strict=True))


def test_retake_masks_are_all_of_a_row_or_one_stretch_of_it():
    batch = random_batch(rows=64)

    @jax.jit
    def masks(batch, keys):
        return retake_masks(keys, inputs_of_batch(batch, SPEC.frames_per_sec), 0.5)

    mask = np.asarray(masks(batch, jax.random.split(jax.random.key(2), 64))[PITCH])
    whole = mask.all(axis=1)
    assert 0.3 < whole.mean() < 0.7
    assert np.all(np.abs(np.diff(mask[~whole].astype(int), axis=1)).sum(axis=1) <= 2)
