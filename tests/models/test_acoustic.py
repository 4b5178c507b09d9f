"""The acoustic model: padding, batching and precomputation change no number."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_batches import (
    grow,
    random_batch,
    random_params,
    small_acoustic_model,
)

from diffsinger_jax.diffusion.sampling import Sampling


@pytest.fixture(scope="module")
def acoustic():
    return small_acoustic_model()


@pytest.fixture(scope="module")
def params(acoustic):
    return random_params(acoustic)


@pytest.fixture(scope="module")
def predict(acoustic):
    """Everything a voice predicts, in one jitted call."""

    @jax.jit
    def everything(params, batch, keys):
        return {
            "frames": acoustic.predict_frames(params, batch),
            "f0": acoustic.predict_f0(params, batch),
            "auxiliary": acoustic.sample_mel(params, batch, keys, 1.0, sampling=Sampling(0, 1)),
            "shallow": acoustic.sample_mel(params, batch, keys, 1.0, sampling=Sampling(9, 9)),
        }

    return everything


def rows_of(batch, rows):
    return jax.tree.map(lambda x: x[rows], batch)


def test_padding_changes_no_number(predict, params):
    batch = random_batch()
    keys = jax.random.split(jax.random.key(0), 3)
    plain = predict(params, batch, keys)
    padded = predict(params, grow(batch, frames=23, phonemes=5), keys)
    phonemes, frames = batch.tokens.shape[1], batch.mask.shape[1]
    np.testing.assert_allclose(
        padded["frames"][:, :phonemes] * (batch.tokens > 0),
        plain["frames"] * (batch.tokens > 0),
        atol=1e-5,
    )
    for name in ("f0", "auxiliary", "shallow"):
        mask = batch.mask if name == "f0" else batch.mask[..., None]
        np.testing.assert_allclose(
            padded[name][:, :frames] * mask, plain[name] * mask, rtol=1e-5, atol=2e-5
        )


def test_padding_changes_no_number_of_a_process_that_looks_at_neighbouring_frames():
    acoustic = small_acoustic_model(process="field")
    params, batch = random_params(acoustic), random_batch()
    sample = jax.jit(functools.partial(acoustic.sample_mel, sampling=Sampling(9, 9)))
    keys = jax.random.split(jax.random.key(0), 3)
    plain = sample(params, batch, keys, 1.0)
    padded = sample(params, grow(batch, frames=23), keys, 1.0)[:, : plain.shape[1]]
    mask = batch.mask[..., None]
    np.testing.assert_allclose(padded * mask, plain * mask, rtol=1e-5, atol=2e-5)


def test_one_batch_of_four_is_four_batches_of_one(predict, params):
    batch = random_batch(rows=4)
    keys = jax.random.split(jax.random.key(1), 4)
    together = predict(params, batch, keys)
    for row in range(4):
        alone = predict(params, rows_of(batch, slice(row, row + 1)), keys[row : row + 1])
        for name, values in alone.items():
            np.testing.assert_allclose(values[0], together[name][row], rtol=1e-5, atol=2e-5)


def test_the_seed_matters_and_k_zero_is_the_auxiliary_mel(predict, params):
    batch = random_batch()
    one, two = (predict(params, batch, jax.random.split(jax.random.key(s), 3)) for s in (2, 3))
    np.testing.assert_array_equal(one["auxiliary"], two["auxiliary"])
    assert np.abs(one["shallow"] - two["shallow"])[batch.mask].max() > 1e-3


def test_an_untrained_pitch_predictor_sings_the_notes(acoustic):
    from diffsinger_jax.modules.length_regulator import expand_to_frames
    from diffsinger_jax.pitch import hz_to_midi
    from diffsinger_jax.voices.voice import empty_batch

    params = jax.jit(acoustic.model.init)(jax.random.key(0), empty_batch(acoustic))["params"]
    params["pitch_predictor"]["out"]["dense"]["bias"] = jnp.asarray([0.0, 1.0])  # all voiced
    batch = random_batch()
    f0 = jax.jit(acoustic.predict_f0)(params, batch)
    note = expand_to_frames(jnp.asarray(batch.note_midi), jnp.asarray(batch.mel2ph))
    sung = np.asarray(note) > 0
    np.testing.assert_allclose(hz_to_midi(f0)[sung], note[sung], atol=1e-3)
    assert np.all(np.asarray(f0)[~sung] == 0)


def test_the_eps_process_denoises_too(params):
    acoustic = small_acoustic_model(process="eps")
    batch = random_batch()
    keys = jax.random.split(jax.random.key(4), 3)
    sample = jax.jit(acoustic.sample_mel, static_argnames="sampling")
    mel = sample(params, batch, keys, 1.0, sampling=Sampling(5, 2))
    assert mel.shape == batch.mel.shape and bool(jnp.isfinite(mel).all())


def test_the_auxiliary_decoder_is_needed_only_where_its_mel_is():
    acoustic = small_acoustic_model(process="eps", condition_on_prior=False)
    kept = {k: v for k, v in random_params(acoustic).items() if k != "auxiliary_decoder"}
    batch, keys = random_batch(), jax.random.split(jax.random.key(5), 3)
    sample = jax.jit(acoustic.sample_mel, static_argnames="sampling")
    sampling = Sampling(20, 3, "unipc", start="gaussian")
    mel = sample(kept, batch, keys, 1.0, sampling=sampling)
    assert bool(jnp.isfinite(mel).all())
    assert acoustic.needs_prior("auxiliary") and not acoustic.needs_prior("gaussian")
    assert small_acoustic_model().needs_prior("gaussian")
