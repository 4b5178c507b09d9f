"""Layers that ONNX has an operator for, exported as that operator.

Our layers are written for what XLA compiles well: shifted products, matrix products of
neighbouring frames, a scan. ONNX Runtime has convolutions and recurrent units of its own, many
times faster than what such a composition becomes there.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jax.extend.core import Primitive

from diffsinger_jax.modules.dilated import DilatedConv
from diffsinger_jax.modules.hifigan import Convolution, Downsampling, Upsampling
from diffsinger_jax.modules.layers import Conv1D, DepthwiseConv, Linear
from diffsinger_jax.modules.stretch import GRU

_operator = Primitive("onnx_operator")


@_operator.def_abstract_eval
def _shaped(*arrays: Any, shape: tuple, op: str, attributes: tuple) -> Any:
    return arrays[0].update(shape=shape, weak_type=False)


def operator(op: str, shape: tuple, *arrays: Any, **attributes: Any) -> jax.Array:
    """One operator of ONNX in a function that is traced for export, and only there.

    Args:
      op: its name.
      shape: of its first output, which has the type of its first input.
      *arrays: its inputs.
      **attributes: numbers or tuples of them.
    """
    return _operator.bind(*arrays, shape=shape, op=op, attributes=tuple(attributes.items()))


class _Lowering:
    """Of the primitive above, as jax2onnx's plugins are."""

    def lower(self, ctx: Any, eqn: Any) -> None:
        """Adds the operator to the graph."""
        inputs = [ctx.get_value_for_var(var) for var in eqn.invars]
        expected = ctx.get_value_for_var(eqn.outvars[0])
        attributes = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in eqn.params["attributes"]
        }
        make = getattr(ctx.builder, eqn.params["op"])
        made = make(*inputs, _outputs=[expected.name], **attributes)
        made.type, made.shape = expected.type, expected.shape
        ctx.bind_value_for_var(eqn.outvars[0], made)


@functools.cache
def _load_jax2onnx() -> None:
    """Only its lowerings of JAX: the rest costs ten seconds, for libraries that are not used."""
    system: Any = importlib.import_module("jax2onnx.plugins.plugin_system")
    system._import_tree(Path(system.__file__).parent / "jax", "jax2onnx.plugins.jax")
    system._already_imported_plugins = True
    system.PLUGIN_REGISTRY[_operator.name] = _Lowering()
    system.PLUGIN_REGISTRY.pop("jax.nn.mish", None)  # an operator of opset 18


@contextlib.contextmanager
def native_operators() -> Iterator[None]:
    """While it lasts, layers of `_LAYERS` are traced as operators; for jax2onnx alone."""
    _load_jax2onnx()

    def intercept(call: Callable, arguments: tuple, keywords: Mapping, context: Any) -> Any:
        layer = _LAYERS.get(type(context.module))
        if layer is None or context.method_name != "__call__":
            return call(*arguments, **keywords)
        return layer(context.module, *arguments)

    with nn.intercept_methods(intercept):
        yield


def _weight(layer: nn.Module, name: str = "kernel") -> np.ndarray:
    """A parameter, on the host: what is done with it is not part of the graph."""
    return np.asarray(layer.get_variable("params", name))


def _convolve(
    x: jax.Array, length: Any, kernel: np.ndarray, bias: np.ndarray, op: str = "Conv", **how: Any
) -> jax.Array:
    """[B, L, in] -> [B, length, out] by a kernel in ONNX's order."""
    shape = (x.shape[0], len(bias), length)
    y = operator(op, shape, x.swapaxes(1, 2), np.ascontiguousarray(kernel), bias, **how)
    return y.swapaxes(1, 2)


def _depthwise(layer: DepthwiseConv, x: jax.Array) -> jax.Array:
    kernel, reach = _weight(layer).T[:, None], layer.kernel_size // 2  # [C, 1, K]
    how: dict[str, Any] = {"group": x.shape[-1], "pads": (reach, reach)}
    return _convolve(x, x.shape[1], kernel, _weight(layer, "bias"), **how)


def _convolution(layer: Conv1D | Convolution | DilatedConv, x: jax.Array) -> jax.Array:
    kernel = _weight(layer).transpose(2, 1, 0)  # [K, in, out] -> [out, in, K]
    reach = (kernel.shape[-1] - 1) * layer.dilation // 2
    how: dict[str, Any] = {"dilations": (layer.dilation,), "pads": (reach, reach)}
    return _convolve(x, x.shape[1], kernel, _weight(layer, "bias"), **how)


def _upsampling(layer: Upsampling, x: jax.Array) -> jax.Array:
    kernel, cut = _weight(layer).transpose(1, 2, 0), (layer.kernel_size - layer.rate) // 2
    length = (x.shape[1] - 1) * layer.rate + layer.kernel_size - 2 * cut
    how: dict[str, Any] = {"op": "ConvTranspose", "strides": (layer.rate,), "pads": (cut, cut)}
    return _convolve(x, length, kernel, _weight(layer, "bias"), **how)


def _downsampling(layer: Downsampling, x: jax.Array) -> jax.Array:
    kernel, half = _weight(layer).T[:, None], layer.rate // 2  # [out, 1, K]
    how: dict[str, Any] = {"strides": (layer.rate,), "pads": (half, half)}
    return _convolve(x, x.shape[1] // layer.rate, kernel, _weight(layer, "bias"), **how)


def _gru(layer: GRU, x: jax.Array) -> jax.Array:
    """ONNX has the gates z, r, h and a row for each direction."""

    def gates(name: str) -> np.ndarray:
        reset, update, new = np.split(_weight(layer, name), 3, axis=-1)
        return np.concatenate([update, reset, new], axis=-1).T

    biases = np.concatenate([gates("input_bias"), gates("recurrent_bias")])
    weights = [gates("input_kernel")[None], gates("recurrent_kernel")[None], biases[None]]
    batch, frames = x.shape[:2]
    states = operator(
        "GRU",
        (frames, 1, batch, layer.features),
        x.swapaxes(0, 1),
        *weights,
        hidden_size=layer.features,
        linear_before_reset=1,
    )
    return states.squeeze(1).swapaxes(0, 1)


def _layer_norm(layer: nn.LayerNorm, x: jax.Array) -> jax.Array:
    """Over the last axis."""
    scale, bias = _weight(layer, "scale"), _weight(layer, "bias")
    return operator("LayerNormalization", x.shape, x, scale, bias, epsilon=layer.epsilon)


def _linear(layer: Linear, x: jax.Array) -> jax.Array:
    kernel = np.asarray(layer.variables["params"]["dense"]["kernel"])
    y = operator("MatMul", (*x.shape[:-1], layer.features), x, kernel)
    if not layer.use_bias:
        return y
    bias = np.asarray(layer.variables["params"]["dense"]["bias"])
    return y + bias.reshape((1,) * (x.ndim - 1) + bias.shape)


_LAYERS: Mapping[type, Callable] = {
    Linear: _linear,
    nn.LayerNorm: _layer_norm,
    DepthwiseConv: _depthwise,
    Conv1D: _convolution,
    DilatedConv: _convolution,
    Convolution: _convolution,
    Upsampling: _upsampling,
    Downsampling: _downsampling,
    GRU: _gru,
}
