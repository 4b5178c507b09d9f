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
from diffsinger_jax.interop.openutau.onnx_operators import native_operators

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
        with native_operators():
            model = jax2onnx.to_onnx(
                function, list(inputs.values()), opset=OPSET, input_names=list(inputs)
            )
    finally:
        logger.setLevel(level)
    graph = model.graph
    if model.functions:
        raise ValueError(f"{name}: jax2onnx made functions, which are not joined")
    _leave_out_masks(graph)
    outer = set(inputs) | {""}
    rename_values(graph, lambda old: old if old in outer else f"{name}/{old}")
    outputs = tuple(value.name for value in graph.output)
    return Part(list(graph.node), list(graph.initializer), outputs)


def _leave_out_masks(graph: Any) -> None:
    """Choices by a constant that is true, as masks of rows without padding are."""
    to_array = onnx_module().numpy_helper.to_array
    true = {
        tensor.name
        for tensor in graph.initializer
        if tensor.data_type == BOOL and to_array(tensor).all()
    }
    for node in graph.node:
        if node.op_type == "Where" and node.input[0] in true:
            node.op_type, kept = "Identity", node.input[1]
            node.input[:] = [kept]


def rename_values(graph: Any, renamed: Callable[[str], str]) -> None:
    """Every value's and node's name, in loops and branches too."""
    for node in graph.node:
        node.input[:] = [renamed(one) for one in node.input]
        node.output[:] = [renamed(one) for one in node.output]
        node.name = ""
        for attribute in node.attribute:
            for inner in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                rename_values(inner, renamed)
    for value in (*graph.initializer, *graph.input, *graph.output):
        value.name = renamed(value.name)
    del graph.value_info[:]


FLOAT32, INT32, INT64, BOOL, FLOAT64 = 1, 6, 7, 9, 11
"""Types of tensors, as onnx.TensorProto numbers them."""


class GraphBuilder:
    """A graph in the making: traced parts and single nodes, joined by the names of their values.

    Example:
      graph = GraphBuilder("twice")
      graph.add_input("x", "float", [1, "n"])
      graph.add(("Add", "x x", "y"))
      graph.add_output("y", "float", [1, "n"])
      data = graph.serialized()
    """

    def __init__(self, name: str):
        """Begins an empty one."""
        self.name = name
        self._helper = onnx_module().helper
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._nodes: list[Any] = []
        self._weights: list[Any] = []

    def add_input(self, name: str, dtype: str, shape: Sequence[int | str]) -> None:
        """An input; `dtype` is "float", "int64" or "bool"."""
        self._inputs.append(self._value_info(name, dtype, shape))

    def add_output(self, name: str, dtype: str, shape: Sequence[int | str]) -> None:
        """An output, see `add_input`."""
        self._outputs.append(self._value_info(name, dtype, shape))

    def add(self, *rows: Node) -> None:
        """Nodes, after those that there are."""
        for op, ins, outs, *more in rows:
            attributes = more[0] if more else {}
            self._nodes.append(self._helper.make_node(op, ins.split(), outs.split(), **attributes))

    def join(self, part: Part, names: Sequence[str]) -> None:
        """A traced part, whose outputs get these names."""
        self._nodes += part.nodes
        self._weights += part.weights
        self.add(*(("Identity", o, name) for o, name in zip(part.outputs, names, strict=True)))

    def hold(self, **values: Any) -> None:
        """Numbers and arrays, by name."""
        numpy_helper = onnx_module().numpy_helper
        self._weights += [numpy_helper.from_array(np.asarray(v), n) for n, v in values.items()]

    def loop(self, body: GraphBuilder, inputs: str, outputs: str) -> None:
        """A loop over another graph, which sees the values of this one; ONNX's Loop."""
        self._weights += body._weights
        inner = self._helper.make_graph(body._nodes, body.name, body._inputs, body._outputs)
        self.add(("Loop", inputs, outputs, {"body": inner}))

    def serialized(self) -> bytes:
        """A checked model."""
        onnx = onnx_module()
        graph = self._helper.make_graph(
            self._nodes, self.name, self._inputs, self._outputs, self._weights
        )
        model = self._helper.make_model(
            graph,
            opset_imports=[onnx.helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="diffsinger_jax",
        )
        onnx.checker.check_model(model)
        return model.SerializeToString()

    def _value_info(self, name: str, dtype: str, shape: Sequence[int | str]) -> Any:
        kind = onnx_module().TensorProto.DataType.Value(dtype.upper())
        return self._helper.make_tensor_value_info(name, kind, shape)


def noise_as_inputs(model: bytes, axes: int = 3) -> bytes:
    """The form for tests: what a graph draws before its loops is given, by the names of the values.

    What an ancestral sampler draws at each step stays inside.

    Args:
      model: a serialized graph.
      axes: of the noise; openvpi's graphs draw f32[1, F, R, T].
    """
    onnx = onnx_module()
    proto = onnx.load_model_from_string(model)
    kept = [node for node in proto.graph.node if node.op_type not in _DRAWS]
    for node in proto.graph.node:
        if node.op_type in _DRAWS:
            value = onnx.helper.make_tensor_value_info(node.output[0], FLOAT32, [None] * axes)
            proto.graph.input.append(value)
    del proto.graph.node[:]
    proto.graph.node.extend(kept)
    onnx.checker.check_model(proto)
    made: bytes = proto.SerializeToString()
    return made


_DRAWS = ("RandomNormalLike", "RandomUniformLike")
