"""What the graphs are given, as our models take it: batches of one row without padding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import export

from diffsinger_jax.interop.openutau.onnx_parts import INT32, GraphBuilder
from diffsinger_jax.types import Batch

N_TOKENS, N_WORDS, N_NOTES, N_FRAMES = export.symbolic_shape("n_tokens, n_words, n_notes, n_frames")
"""Sizes that only a run knows."""
_TYPES = {"float": jnp.float32, "int64": jnp.int32, "bool": jnp.bool_}


def row(size: Any, *more: Any) -> jax.ShapeDtypeStruct:
    """f32[1, size, ...], as `onnx_parts.traced` takes it."""
    return jax.ShapeDtypeStruct((1, size, *more), jnp.float32)


class GraphInputs:
    """Inputs of a graph, and what a traced function is given of them: whole numbers as i32.

    Attributes:
      shapes: by the values' names.
    """

    def __init__(self, graph: GraphBuilder):
        """None yet."""
        self.shapes: dict[str, jax.ShapeDtypeStruct] = {}
        self._graph, self._names = graph, dict[str, str]()

    def add(self, name: str, dtype: str, *sizes: Any) -> None:
        """A further one, [1, *sizes]; `dtype` is "float", "int64" or "bool"."""
        shape = [size if isinstance(size, int) else str(size) for size in sizes]
        self._graph.add_input(name, dtype, [1, *shape])
        value = name
        if dtype == "int64":
            value = f"{name}_32"
            self._graph.add(("Cast", name, value, {"to": INT32}))
        self.shapes[value] = jax.ShapeDtypeStruct((1, *sizes), _TYPES[dtype])
        self._names[value] = name

    def named(self, arrays: Sequence[jax.Array]) -> dict[str, jax.Array]:
        """The arrays of these shapes, by the names of the inputs."""
        return {self._names[value]: array for value, array in zip(self.shapes, arrays, strict=True)}


def owner_of_frames(durations: jax.Array, frame: jax.Array) -> jax.Array:
    """Whose each frame is, from 1: durations i32[1, N], any array [1, T] -> i32[1, T]."""
    ends = jnp.cumsum(durations, axis=1)
    index = jax.lax.broadcasted_iota(jnp.int32, frame.shape, 1)
    return 1 + jnp.sum((index[:, :, None] >= ends[:, None, :]).astype(jnp.int32), axis=2)


def row_batch(
    tokens: jax.Array,
    durations: jax.Array,
    f0: jax.Array,
    *,
    languages: jax.Array | None = None,
    onset: jax.Array | None = None,
    curves: Mapping[str, jax.Array] | None = None,
) -> Batch:
    """A batch in which what is not given is zero.

    Args:
      tokens: i32[1, N].
      durations: i32[1, N] frames.
      f0: f32[1, T] Hz, or another array of this shape.
      languages: i32[1, N] as OpenUtau counts them: from 1, 0 for none.
      onset: i32[1, N], see `Batch`.
      curves: f32[1, T] by name.
    """
    none, nothing = jnp.zeros_like(tokens), jnp.zeros(tokens.shape, jnp.float32)
    return Batch(
        tokens=tokens,
        note_midi=nothing,
        note_sec=nothing,
        slur=none,
        onset=none if onset is None else onset,
        ph_frames=durations,
        mel2ph=owner_of_frames(durations, f0),
        f0=f0,
        mel=f0,
        mask=f0 == f0,
        speaker=jnp.zeros((1,), jnp.int32),
        language=none if languages is None else languages - 1,
        curves=dict(curves or {}),
    )
