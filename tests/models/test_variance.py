"""The variance model: padding, what is kept and what is drawn anew, how expressive it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_batches import SPEC, grow, random_batch
from small_variance import (
    TRUNK,
    random_inputs,
    random_variance_params,
    small_variance_model,
)

from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.models.scaling import CURVE_RANGES, PITCH, curve_scaling
from diffsinger_jax.models.variance_inputs import inputs_of_batch

CURVES = ("energy", "breathiness")
SAMPLING = Sampling(1.0, 2, "euler", start="gaussian")


@pytest.fixture(scope="module")
def variance():
    return small_variance_model(curves=CURVES, curve_settings=TRUNK)


@pytest.fixture(scope="module")
def params(variance):
    return random_variance_params(variance)


def everything(variance):
    def run(params, inputs, keys):
        pitch = variance.sample_pitch(params, inputs, keys, 1.0, sampling=SAMPLING)
        inputs = inputs._replace(pitch=pitch)
        curves = variance.sample_curves(params, inputs, keys, 1.0, sampling=SAMPLING)
        frames = variance.predict_frames(params, inputs)
        return {"frames": frames, PITCH: pitch, **curves, "v": variance.voiced(params, inputs)}

    return jax.jit(run)


def test_padding_changes_no_number_and_rows_are_their_own(variance, params):
    run, keys = everything(variance), jax.random.split(jax.random.key(1), 3)
    inputs = random_inputs(CURVES)
    alone = run(params, inputs, keys)
    padded = random_inputs(CURVES, batch=grow(random_batch(), frames=6, phonemes=2))
    padded = padded._replace(batch=padded.batch._replace(curves={n: padded.pitch for n in CURVES}))
    together = run(params, padded, keys)
    mask, tokens = np.asarray(inputs.batch.mask), np.asarray(inputs.batch.tokens) > 0
    for name, value in alone.items():
        real = tokens if name == "frames" else mask
        shape = real.shape[1]
        np.testing.assert_allclose(
            np.asarray(together[name])[:, :shape][real], np.asarray(value)[real], atol=2e-4
        )


def test_given_curves_are_seen_only_where_they_are_kept(variance, params):
    inputs = random_inputs(CURVES)
    other = inputs._replace(
        pitch=inputs.pitch + 3.0,
        batch=inputs.batch._replace(curves={n: x + 5.0 for n, x in inputs.batch.curves.items()}),
    )
    expanded = variance.expanded(params, inputs)

    def conditions(inputs):
        return (
            variance.apply(params, "pitch_condition", expanded, inputs),
            variance.apply(params, "curve_condition", expanded, inputs._replace(pitch=other.line)),
        )

    for ours, theirs in zip(conditions(inputs), conditions(other), strict=True):
        assert np.array_equal(ours, theirs)
    kept = {name: x & (np.arange(x.shape[1]) > 5)[None] for name, x in inputs.retake.items()}
    for ours, theirs in zip(
        conditions(inputs._replace(retake=kept)),
        conditions(other._replace(retake=kept)),
        strict=True,
    ):
        differs = np.any(np.asarray(ours) != np.asarray(theirs), axis=2)
        assert differs[:, :6].all() and not differs[:, 6:].any()


def test_no_expressiveness_reads_as_given_pitch_on_the_line(variance, params):
    """The embedding of a share of 0 is that of what is kept, where the distance kept is 0."""
    inputs = random_inputs()
    inputs = inputs._replace(pitch=inputs.line)
    expanded = variance.expanded(params, inputs)
    flat = inputs._replace(expressiveness=jnp.zeros_like(inputs.expressiveness))
    kept = inputs._replace(retake={PITCH: jnp.zeros_like(inputs.retake[PITCH])})
    ours = variance.apply(params, "pitch_condition", expanded, flat)
    np.testing.assert_allclose(
        ours, variance.apply(params, "pitch_condition", expanded, kept), atol=1e-6
    )


def test_without_a_melody_encoder_the_given_pitch_is_the_base():
    variance = small_variance_model(melody_settings={}, voicing_settings={})
    inputs = random_inputs()
    half = (np.arange(inputs.line.shape[1]) % 2 == 0)[None] & inputs.batch.mask
    inputs = inputs._replace(retake={PITCH: half})
    base = variance.apply({}, "base", inputs)
    assert np.array_equal(base, np.where(half, inputs.line, inputs.pitch))


def test_curves_over_several_channels_are_their_mean_and_kept_in_bounds():
    scaling = curve_scaling([CURVE_RANGES[PITCH], CURVE_RANGES["energy"]], repeats=3)
    values = jnp.asarray(np.stack([np.linspace(-20, 20, 9), np.linspace(-120, 10, 9)], -1))[None]
    z = scaling.scale(values)
    assert z.shape == (1, 9, 6) and np.array_equal(z[..., 0], z[..., 2])
    back = np.asarray(scaling.unscale(z + jnp.asarray([0.1, -0.1, 0, 0.2, -0.1, -0.1])[None, None]))
    inside = np.asarray(values).clip([-12, -96], [12, 0])
    np.testing.assert_allclose(back, inside, atol=1e-4)


def test_the_notes_of_a_row_without_singing_are_in_the_middle():
    batch = random_batch()
    batch = batch._replace(note_midi=batch.note_midi * 0, f0=batch.f0 * 0)
    inputs = inputs_of_batch(batch, SPEC.frames_per_sec)
    assert np.all(np.asarray(inputs.line)[batch.mask] == 60) and np.all(
        inputs.notes.rest == (np.asarray(inputs.notes.midi) >= 0)
    )
