"""openvpi/DiffSinger's variance models: slices that travel with the tests."""

import functools
import json
from pathlib import Path

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
from golden_measure import BOUND, SAMPLED_BOUND, relative
from golden_variance import duration_numbers, from_noise, inputs_of, seeing_padding

from diffsinger_jax.models.variance_model import variance_model
from diffsinger_jax.types import Vocabulary

HERE = Path(__file__).parent


def read_slice(name):
    """(the model, its params, cases) of a part of a model that travels with the tests."""
    with np.load(HERE / f"{name}.npz") as arrays:
        cases = dict(arrays)
    said = json.loads(str(cases.pop("description")))
    params = {
        tuple(key.split("/")[1:]): jnp.asarray(value)
        for key, value in cases.items()
        if key.startswith("params/")
    }
    words = {key: tuple(value) for key, value in said.pop("vocabulary").items()}
    variance = variance_model(**said, vocabulary=Vocabulary(**words))
    return seeing_padding(variance), flax.traverse_util.unflatten_dict(params), cases


def test_durations_melody_and_conditions_of_a_slice_agree():
    variance, params, cases = read_slice("openvpi_variance_reflow")
    curves = variance.model.curves
    inputs = inputs_of(cases, curves, retake="in_retake_", expressive=True)
    call = functools.partial(variance.apply, params)

    @jax.jit
    def numbers(encoded):
        expanded = call("expand", encoded, inputs.batch)
        return {
            **duration_numbers(call, inputs_of(cases, curves), encoded, cases),
            "melody_encoder_out": call("encode_melody", inputs.notes),
            "retake_pitch_cond": call("pitch_condition", expanded, inputs),
            "retake_variance_cond": call("curve_condition", expanded, inputs),
        }

    for name, ours in numbers(cases["out_encoder_out"]).items():
        assert relative(ours, cases[f"out_{name}"]) <= BOUND, name


def test_a_sample_of_a_slice_agrees():
    variance, params, cases = read_slice("openvpi_variance_ddpm")
    inputs = inputs_of(cases, variance.model.curves, retake="in_retake_", expressive=True)

    @jax.jit
    def sampled(cond):
        generator = variance.pitch_generator(params)
        return from_noise(variance, generator, cond, inputs, cases["pitch_noise"], "ddim", 100)

    z = sampled(cases["out_retake_pitch_cond"])
    assert relative(z, cases["out_retake_ddim100_pitch_raw"]) <= SAMPLED_BOUND
    distance = variance.pitch_scaling.unscale(z)[..., 0]
    assert relative(distance, cases["out_retake_ddim100_delta_pitch"]) <= SAMPLED_BOUND
