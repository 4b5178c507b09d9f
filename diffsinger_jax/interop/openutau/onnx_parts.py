"""Pure functions as pieces of ONNX graphs, traced by jax2onnx and joined by their names."""

from __future__ import annotations

import dataclasses
import importlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from diffsinger_jax.errors import InputError

OPSET, IR_VERSION = 17, 8
"""Those of openvpi's exports, which every OpenUtau with DiffSinger loads."""
Node = tuple[str, str, str] | tuple[str, str, str, dict[str, Any]]
"""Operator, inputs and outputs, names with spaces between them, and attributes."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A traced function whose names begin with its own.

    Attributes:
      nodes: NodeProtos, in order.
      weights: TensorProtos.
      outputs: names, in order.
    """

    nodes: Sequence[Any]
    weights: Sequence[Any]
    outputs: tuple[str, ...]


def onnx_module() -> Any:
    """The package `onnx`, with jax2onnx beside it.

    Raises:
      InputError: if one of them is not installed.
    """
    try:
        importlib.import_module("jax2onnx")
        return importlib.import_module("onnx")
    except ImportError as error:
        raise InputError(
            f"{error.name} is needed to write ONNX; install it with pip install "
            "'diffsinger_jax[export]'"
        ) from error


def traced(
    name: str, function: Callable[..., Any], inputs: Mapping[str, jax.ShapeDtypeStruct]
) -> Part:
    """A function as a part; its inputs are read from the values of these names.

    Args:
      name: before every name of its own.
      function: of as many arrays, to one or a tuple of them.
      inputs: shapes, sizes perhaps from `jax.export.symbolic_shape`.
    """
    onnx_module()
    jax2onnx = importlib.import_module("jax2onnx")
    logger = logging.getLogger("onnx_ir.serde")  # warns of sizes that only a run knows
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        model = jax2onnx.to_onnx(
            function, list(inputs.values()), opset=OPSET, input_names=list(inputs)
        )
    finally:
        logger.setLevel(level)
    graph = model.graph
    if model.functions:
        raise ValueError(f"{name}: jax2onnx made functions, which are not joined")
    outer = set(inputs) | {""}
    _rename(graph, lambda old: old if old in outer else f"{name}/{old}")
    outputs = tuple(value.name for value in graph.output)
    return Part(list(graph.node), list(graph.initializer), outputs)


def _rename(graph: Any, renamed: Callable[[str], str]) -> None:
    """Every value's and node's name, in loops and branches too."""
    for node in graph.node:
        node.input[:] = [renamed(one) for one in node.input]
        node.output[:] = [renamed(one) for one in node.output]
        node.name = ""
        for attribute in node.attribute:
            for inner in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                _rename(inner, renamed)
    for value in (*graph.initializer, *graph.input, *graph.output):
        value.name = renamed(value.name)
    del graph.value_info[:]


def nodes(rows: Sequence[Node]) -> list[Any]:
    """NodeProtos; see `Node`."""
    helper = onnx_module().helper
    made = []
    for op, ins, outs, *more in rows:
        attributes = more[0] if more else {}
        made.append(helper.make_node(op, ins.split(), outs.split(), **attributes))
    return made


def constants(values: Mapping[str, Any]) -> list[Any]:
    """TensorProtos of numbers and arrays, by name."""
    numpy_helper = onnx_module().numpy_helper
    return [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]


def value_info(name: str, dtype: str, shape: Sequence[int | str] | None) -> Any:
    """An input or output; `dtype` is "float", "int64" or "bool"."""
    onnx = onnx_module()
    kinds = {"float": onnx.TensorProto.FLOAT, "int64": onnx.TensorProto.INT64}
    kinds["bool"] = onnx.TensorProto.BOOL
    return onnx.helper.make_tensor_value_info(name, kinds[dtype], shape)


def graph(name: str, body: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
    """A GraphProto without weights: a loop's."""
    return onnx_module().helper.make_graph(body, name, inputs, outputs)


def model_bytes(
    name: str,
    body: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    weights: Sequence[Any],
) -> bytes:
    """A checked model, serialized."""
    onnx = onnx_module()
    graph = onnx.helper.make_graph(body, name, inputs, outputs, weights)
    model = onnx.helper.make_model(
        graph,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="diffsinger_jax",
    )
    onnx.checker.check_model(model)
    return model.SerializeToString()
