"""The small layers, against plain references."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from diffsinger_jax.modules import layers
from diffsinger_jax.modules.dilated import convolve, im2col, winograd
from diffsinger_jax.modules.layers import (
    Conv1D,
    DepthwiseConv,
    arctan,
    depthwise,
    sinusoidal_positions,
)
from diffsinger_jax.modules.length_regulator import expand_to_frames, segment_sum

ALL = ("cpu", "cuda", "tpu")


def test_convolution_is_a_convolution():
    layer = Conv1D(5, 3, dilation=4)
    x = jax.random.normal(jax.random.key(0), (2, 20, 7))
    variables = layer.init(jax.random.key(1), x)
    expected = jax.lax.conv_general_dilated(
        x,
        variables["params"]["kernel"],
        window_strides=(1,),
        padding="SAME",
        rhs_dilation=(4,),
        dimension_numbers=("NWC", "WIO", "NWC"),
    )
    np.testing.assert_allclose(layer.apply(variables, x), expected, atol=1e-5)


@pytest.mark.parametrize("frames", [20, 3])
def test_depthwise_convolution_is_a_convolution_of_each_channel(frames):
    layer = DepthwiseConv(5)
    x = jax.random.normal(jax.random.key(0), (2, frames, 7))
    variables = layer.init(jax.random.key(1), x)
    expected = jax.lax.conv_general_dilated(
        x,
        variables["params"]["kernel"][:, None, :],
        window_strides=(1,),
        padding="SAME",
        dimension_numbers=("NWC", "WIO", "NWC"),
        feature_group_count=7,
    )
    np.testing.assert_allclose(layer.apply(variables, x), expected, atol=1e-6)


@pytest.mark.parametrize("frames", [35, 3])
def test_gradients_of_a_depthwise_convolution_are_those_of_a_convolution(frames):
    def plain(x, kernel):
        kernel = kernel[:, None, :]
        layout = ("NWC", "WIO", "NWC")
        return jax.lax.conv_general_dilated(x, kernel, (1,), "SAME", None, None, layout, 7)

    keys = jax.random.split(jax.random.key(0), 3)
    x, y = (jax.random.normal(key, (2, frames, 7)) for key in keys[:2])
    kernel = jax.random.normal(keys[2], (5, 7))
    ours, expected = (jax.vjp(form, x, kernel)[1](y) for form in (depthwise, plain))
    for found, wanted in zip(ours, expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    elsewhere = layers._correlate(5, x, y)  # what other machines than CPUs compute
    np.testing.assert_allclose(elsewhere, expected[1], atol=1e-5)


def test_arctan_is_numpys_and_so_is_its_slope():
    x = np.concatenate([np.linspace(-9, 9, 4001), np.logspace(-38, 38, 999)]).astype("f4")
    x = np.concatenate([x, [-0.0, np.inf, -np.inf]]).astype("f4")
    found, slope = jax.jit(lambda x: jax.jvp(arctan, (x,), (jnp.ones_like(x),)))(x)
    np.testing.assert_allclose(found, np.arctan(x.astype("f8")), atol=2e-7, rtol=3e-7)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(x))
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(slope, 1 / (1 + x.astype("f8") ** 2), rtol=1e-6, atol=1e-37)
    half = jnp.asarray([0.5, -3.0], jnp.bfloat16)
    assert arctan(half).dtype == jnp.bfloat16
    np.testing.assert_allclose(arctan(half).astype("f4"), np.arctan([0.5, -3.0]), rtol=4e-3)


@pytest.mark.parametrize("form", [im2col, winograd, convolve])
@pytest.mark.parametrize("frames,dilation", [(20, 4), (33, 1), (7, 2), (1, 8), (64, 8)])
def test_both_forms_are_the_dilated_convolution(form, frames, dilation):
    """And so are their gradients: the convolution is linear in either argument."""
    rng = np.random.default_rng(0)
    x, kernel = (rng.normal(size=shape).astype("f4") for shape in ((2, frames, 7), (3, 7, 5)))

    def plain(x, kernel):
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            window_strides=(1,),
            padding=((dilation, dilation),),
            rhs_dilation=(dilation,),
            dimension_numbers=("NWC", "WIO", "NWC"),
        )

    def with_gradients(form):
        out, back = jax.vjp(form, x, kernel)
        return out, back(jnp.sin(out))

    ours, expected = (
        jax.jit(functools.partial(with_gradients, form))()
        for form in (functools.partial(form, dilation=dilation), plain)
    )
    for one, other in zip(*map(jax.tree.leaves, (ours, expected)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(other).max())


def test_the_form_is_that_of_the_platform_a_program_runs_on_whoever_traces_it():
    """Winograd's takes six matmuls, the other one; a program for several platforms holds both."""
    x, kernel = jnp.ones((1, 16, 4)), jnp.ones((3, 4, 4))
    jitted = jax.jit(functools.partial(convolve, dilation=2))

    def matmuls(platform, dtype):
        traced = jitted.trace(x.astype(dtype), kernel.astype(dtype))
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        return text.count("= stablehlo.dot_general")

    assert [matmuls(platform, jnp.float32) for platform in ALL] == [6, 1, 1]
    assert matmuls("cpu", jnp.bfloat16) == 1  # rounding forbids the other
    text = export.export(jitted, platforms=ALL)(x, kernel).mlir_module()
    operands = set(re.findall(r"= stablehlo.dot_general .*: \((.*)\) ->", text))
    assert operands == {  # of a tile at one point, and of the three taps side by side
        "tensor<4x4xf32>, tensor<4x4xf32>",
        "tensor<16x12xf32>, tensor<12x4xf32>",
    }


def test_positions_count_real_places_from_one():
    code = sinusoidal_positions(jnp.asarray([[True, True, False]]), 8)
    rates = np.exp(-np.log(10_000.0) / 3 * np.arange(4))
    np.testing.assert_allclose(code[0, 1], np.r_[np.sin(2 * rates), np.cos(2 * rates)], atol=1e-6)
    assert np.all(code[0, 2] == 0)


def test_expansion_repeats_and_pads_with_zero():
    x = jnp.asarray([[[1.0], [2.0]]])
    frames = expand_to_frames(x, jnp.asarray([[1, 1, 2, 0]]))
    np.testing.assert_array_equal(frames[0, :, 0], [1, 1, 2, 0])


def test_groups_run_from_one_onset_to_the_next():
    sums, is_group = segment_sum(
        jnp.asarray([[1.0, 2.0, 4.0, 8.0, 0.0]]), jnp.asarray([[1, 0, 1, 0, 0]])
    )
    np.testing.assert_array_equal(sums[0], [3, 12, 0, 0, 0])
    np.testing.assert_array_equal(is_group[0], [True, True, False, False, False])
