"""Our model in openvpi/DiffSinger's shape: padding, gradients and what it is told."""

import jax
import numpy as np
import pytest
from random_batches import grow, random_batch, random_params, small_acoustic_model

from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.models.diffsinger import SPEAKER_MIX
from diffsinger_jax.tasks.acoustic.stage_losses import auxiliary_loss, denoiser_loss

WEIGHTS = dict.fromkeys(
    ("mel_l1", "mel_ssim", "duration_phoneme", "duration_note", "pitch", "voicing"), 1.0
)
CURVES = ("energy", "key_shift")


@pytest.fixture(scope="module")
def acoustic():
    return small_acoustic_model(
        process="velocity",
        schedule={"name": "straight"},
        condition_on_prior=False,
        score_inputs="durations",
        positions="none",
        encoder_settings={
            "cross_lingual": [2, 5],
            "block_settings": {"rotary": "halves", "activation": "swiglu", "styled": [0]},
        },
        durations=False,
        pitch="none",
        pitch_input="mel_scale",
        curves=CURVES,
        stretch=True,
        speaker_in_condition=True,
        auxiliary="convnext",
        auxiliary_settings={"channels": 8, "layers": 1, "kernel_size": 3},
        trunk="lynxnet2",
        trunk_settings={"kernel_size": 5},
    )


@pytest.fixture(scope="module")
def params(acoustic):
    return random_params(acoustic)


def told_batch():
    batch, rng = random_batch(), np.random.default_rng(3)
    curves = {name: rng.normal(size=batch.mask.shape).astype("f4") * batch.mask for name in CURVES}
    return batch._replace(curves=curves)


@pytest.fixture(scope="module")
def sample(acoustic):
    sampling = Sampling(0.6, 3, "rk2")

    def run(params, batch, keys):
        return acoustic.sample_mel(params, batch, keys, 1.0, sampling=sampling)

    return jax.jit(run)


def test_padding_changes_no_number(sample, params):
    batch, keys = told_batch(), jax.random.split(jax.random.key(0), 3)
    plain = sample(params, batch, keys)
    padded = sample(params, grow(batch, frames=11, phonemes=3), keys)
    mask = batch.mask[..., None]
    np.testing.assert_allclose(
        padded[:, : batch.mask.shape[1]] * mask, plain * mask, rtol=1e-4, atol=1e-4
    )


def test_everything_that_it_is_told_is_heard(sample, params):
    batch, keys = told_batch(), jax.random.split(jax.random.key(0), 3)
    plain = np.asarray(sample(params, batch, keys))

    def moved(**changes):
        other = np.asarray(sample(params, batch._replace(**changes), keys))
        return np.abs(other - plain)[batch.mask].max()

    assert moved(f0=batch.f0 * 1.5) > 1e-4
    assert moved(speaker=1 - batch.speaker) > 1e-4
    for name in CURVES:
        assert moved(curves={**batch.curves, name: batch.curves[name] + 5.0}) > 1e-5
    assert moved(note_midi=batch.note_midi + 1) == 0  # of notes it knows nothing


def test_a_mix_of_one_speaker_is_that_speaker(acoustic, params):
    batch = told_batch()
    alone = np.eye(2, dtype="f4")[batch.speaker][:, None, :].repeat(batch.mask.shape[1], axis=1)
    mixed = batch._replace(curves={**batch.curves, SPEAKER_MIX: alone})
    condition = jax.jit(acoustic.condition)
    np.testing.assert_allclose(
        condition(params, mixed), condition(params, batch), rtol=1e-5, atol=1e-5
    )


def test_both_stages_learn_without_predictors(acoustic, params):
    keys = jax.random.key(1)
    model, scaling = acoustic.model, acoustic.scaling
    losses = (
        auxiliary_loss(model, scaling, WEIGHTS),
        denoiser_loss(
            model,
            scaling,
            acoustic.make_process,
            depth=0.6,
            distance="l2",
            weighting="logit_normal",
        ),
    )
    for loss in losses:
        value, gradients = jax.jit(
            jax.value_and_grad(lambda p, loss=loss: loss(p, told_batch(), keys, True)[0])
        )(params)
        assert np.isfinite(value) and value > 0
        assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))
