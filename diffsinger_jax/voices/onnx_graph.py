"""ONNX graphs from strangers: looked at before onnxruntime is, and run within bounds."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from diffsinger_jax.errors import InputError, first_line

FLOAT, INT, BOOL = "float", "int64", "bool"
DOMAINS = ("", "ai.onnx", "com.microsoft")
"""Of operators that onnxruntime has without a library of somebody's."""
MOST_BYTES = 4 * 2**30
"""Of all tensors that the graphs of one process compute."""
MOST_SEC = 900.0
"""Of one call: no phrase takes as long on any machine."""
_TYPES = {1: FLOAT, 7: INT, 9: BOOL}  # of onnx.TensorProto
_NUMPY = {FLOAT: np.float32, INT: np.int64, BOOL: np.bool_}


class Tensor(NamedTuple):
    """An input or output of a graph.

    Attributes:
      dtype: `FLOAT`, `INT`, `BOOL`, or another's number in ONNX.
      shape: sizes, None where they are free; None if it is not said.
    """

    dtype: str
    shape: tuple[int | None, ...] | None


@dataclasses.dataclass(frozen=True)
class OnnxGraph:
    """A graph that holds nothing but standard operators and its own weights.

    Attributes:
      where: its path, for messages.
      inputs, outputs: by name, in order.
      draws: whether it draws random numbers.
    """

    where: str
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    draws: bool
    _bytes: bytes = dataclasses.field(repr=False)

    @classmethod
    def read(cls, model: bytes, where: str) -> OnnxGraph:
        """Looks through a model; nothing of it is run.

        Raises:
          InputError: if it is none, has operators of a library, keeps weights in other files, or
            the packages to read it are not installed.
        """
        onnx = _import("onnx")
        try:
            proto = onnx.load_model_from_string(model)
        except Exception as error:  # protobuf's own, which have no common base
            raise InputError(
                f"{where}: is no ONNX graph ({first_line(error)}); copy it again"
            ) from (error)
        if not proto.graph.node:
            raise InputError(f"{where}: is no ONNX graph, it has no nodes; copy it again")
        weights = {t.name for t in proto.graph.initializer}
        draws = False
        for node in _nodes(proto):
            if node.domain not in DOMAINS and not _defined(node, proto):
                raise InputError(
                    f"{where}: uses the operator {node.domain}.{node.op_type} of a library, which "
                    "neither OpenUtau nor this program loads; export it with standard operators"
                )
            draws = draws or node.op_type.startswith(("Random", "Multinomial", "Bernoulli"))
        for tensor in _tensors(proto):
            if tensor.data_location == tensor.EXTERNAL or tensor.external_data:
                place = next((e.value for e in tensor.external_data if e.key == "location"), "?")
                raise InputError(
                    f"{where}: keeps its weights in another file ({place}), which is not read; "
                    "save it as one file"
                )
        return cls(
            where,
            {v.name: _tensor(v) for v in proto.graph.input if v.name not in weights},
            {v.name: _tensor(v) for v in proto.graph.output},
            draws,
            model,
        )

    def run(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All outputs, by name.

        Args:
          feed: arrays by input; they are made of the declared type.

        Raises:
          InputError: if it fails on them, or needs more memory or time than any song's does.
        """
        arrays = {
            name: np.asarray(value, _NUMPY.get(self.inputs[name].dtype))
            for name, value in feed.items()
        }
        ort = _import("onnxruntime")
        options = ort.RunOptions()
        watch = threading.Timer(MOST_SEC, setattr, (options, "terminate", True))
        watch.daemon = True
        session = self._session()
        with _failures(self.where, "cannot be run"):
            watch.start()
            try:
                found = session.run(None, arrays, options)
            finally:
                watch.cancel()
        return dict(zip(self.outputs, found, strict=True))

    def load(self) -> None:
        """Makes it ready to run.

        Raises:
          InputError: if onnxruntime does not take it, or is not installed.
        """
        self._session()

    def seed(self, seed: int) -> None:
        """Begins its random numbers anew.

        A node's generator is seeded once, when its session is made: so it is made again.
        """
        if self.draws:
            self._sessions.clear()
            self._session(seed)

    @functools.cached_property
    def _sessions(self) -> dict[str, Any]:
        """The one session there is, once there is one."""
        return {}

    def _session(self, seed: int = 0) -> Any:
        if "session" not in self._sessions:
            ort = _import("onnxruntime")
            _bound_memory()
            ort.set_seed(seed % 2**31)
            options = ort.SessionOptions()
            options.log_severity_level = 4
            options.add_session_config_entry("session.use_env_allocators", "1")
            with _failures(self.where, "is no ONNX graph that can be run"):
                self._sessions["session"] = ort.InferenceSession(
                    self._bytes,
                    options,
                    providers=["CPUExecutionProvider"],
                    disabled_optimizers=["ConstantFolding"],  # computes outside of the arena
                )
        return self._sessions["session"]


@functools.cache
def _bound_memory() -> None:
    """One arena for the whole process, that grows to `MOST_BYTES`."""
    ort = _import("onnxruntime")
    info = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    ort.create_and_register_allocator(info, ort.OrtArenaCfg(MOST_BYTES, 1, -1, -1))


@contextlib.contextmanager
def _failures(where: str, what: str) -> Iterator[None]:
    """onnxruntime's exceptions, which have no common base, as a sentence."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.startswith("onnxruntime") or isinstance(error, RuntimeError):
            reason = first_line(error)
            raise InputError(f"{where}: {what} ({reason}); export or copy it again") from error
        raise


def _import(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"{name} is needed for ONNX; install it with pip install 'diffsinger_jax[onnx]'"
        ) from error


def _tensor(value: Any) -> Tensor:
    kind = value.type.tensor_type
    dtype = _TYPES.get(kind.elem_type, str(kind.elem_type))
    if not kind.HasField("shape"):
        return Tensor(dtype, None)
    sizes = (d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)
    return Tensor(dtype, tuple(sizes))


def _defined(node: Any, proto: Any) -> bool:
    """Whether an operator is a function that the model itself defines."""
    return any(f.domain == node.domain and f.name == node.op_type for f in proto.functions)


def _nodes(proto: Any) -> Iterator[Any]:
    """All nodes, those of loops, branches and functions too."""
    waiting: list[Sequence[Any]] = [proto.graph.node, *(f.node for f in proto.functions)]
    while waiting:
        for node in waiting.pop():
            yield node
            for attribute in node.attribute:
                waiting += [attribute.g.node] if attribute.HasField("g") else []
                waiting += [graph.node for graph in attribute.graphs]


def _tensors(proto: Any) -> Iterator[Any]:
    """All constants: of graphs, and of attributes."""

    def of_graph(graph: Any) -> Iterator[Any]:
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)

    yield from of_graph(proto.graph)
    for node in _nodes(proto):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            sparse = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
            for one in [*sparse, *attribute.sparse_tensors]:
                yield from (one.values, one.indices)
            for graph in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                yield from of_graph(graph)
