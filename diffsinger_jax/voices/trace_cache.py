"""Jitted functions whose traces outlive the process.

JAX keeps what XLA compiled in a folder, but before it can look there it traces the function again:
seconds for a voice, before the first sound. So what tracing gave is kept there too, in files whose
names say all that it depends on: programs (StableHLO, by `jax.export`) and shapes of params.
"""

from __future__ import annotations

import functools
import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import flax.traverse_util
import jax
from jax import export

from diffsinger_jax.atomic_write import atomic_write

SUBFOLDER = "traced"
"""Of JAX's compilation cache."""
TRACED_UNDER = (
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_enable_x64",
    "jax_threefry_partitionable",
)
"""Settings of JAX that change what is traced."""

T = TypeVar("T")


class TraceCache:
    """A function that is called as its `jax.jit` would be.

    Where JAX keeps compiled programs (`jax_compilation_cache_dir`), it is traced once for its
    shapes and static arguments, ever; elsewhere, and within other traces, it is the jitted
    function.
    """

    def __init__(self, function: Callable, about: Any = None, static_argnames: Sequence[str] = ()):
        """Of a function of arrays.

        Args:
          function: pure; its arguments are pytrees of arrays.
          about: all that it closes over, as something whose repr tells it.
          static_argnames: keyword arguments that a program is compiled for; their repr tells them.
        """
        self._jitted = jax.jit(function, static_argnames=static_argnames)
        self._about = f"{function.__module__}.{function.__qualname__} of {about!r}"
        self._static = frozenset(static_argnames)
        self._loaded: dict[str, Callable] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the function returns."""
        static = {name: value for name, value in kwargs.items() if name in self._static}
        arrays = {name: value for name, value in kwargs.items() if name not in self._static}
        leaves, tree = jax.tree.flatten((args, arrays))
        if _folder() is None or any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
            return self._jitted(*args, **kwargs)
        avals = [jax.typeof(leaf) for leaf in leaves]
        about = f"{self._about} {sorted(static.items())} {tree} {[str(aval) for aval in avals]}"
        if about not in self._loaded:

            def flat(*leaves: jax.Array) -> Any:
                args, arrays = jax.tree.unflatten(tree, leaves)
                return self._jitted(*args, **arrays, **static)

            def trace() -> export.Exported:
                shapes = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in avals]
                return export.export(jax.jit(flat))(*shapes)

            program = _kept(about, trace, lambda made: made.serialize(), export.deserialize)
            self._loaded[about] = jax.jit(program.call)
        # Whether keys are used twice was seen while tracing; in a program that was kept it cannot
        # be, and all its keys, those it returns too, would be taken for used ones.
        with jax.debug_key_reuse(False):
            return self._loaded[about](*leaves)


def cached_shapes(init: Callable[[], Any], about: Any) -> Any:
    """Shapes and dtypes of what a function returns, without computing anything.

    Args:
      init: without arguments; it returns nested dicts of arrays.
      about: all that it closes over, as something whose repr tells it.

    Returns:
      The same dicts of `jax.ShapeDtypeStruct`.
    """

    def write(shapes: Any) -> bytes:
        flat = flax.traverse_util.flatten_dict(shapes, sep="/")
        return json.dumps({k: (x.shape, x.dtype.name) for k, x in flat.items()}).encode()

    def read(text: bytearray) -> Any:
        flat = {k: jax.ShapeDtypeStruct(*shape) for k, shape in json.loads(text).items()}
        return flax.traverse_util.unflatten_dict(flat, sep="/")

    return _kept(f"shapes of {about!r}", lambda: jax.eval_shape(init), write, read)


def _kept(
    about: str,
    make: Callable[[], T],
    write: Callable[[T], bytes | bytearray],
    read: Callable[[bytearray], T],
) -> T:
    """Reads what was made of this before, or makes it and writes it for the next time."""
    if (folder := _folder()) is None:
        return make()
    file = folder / hashlib.sha256(f"{_ground()} {about}".encode()).hexdigest()
    if file.exists():
        try:
            return read(bytearray(file.read_bytes()))
        except Exception as error:  # flatbuffers and XLA raise what they like
            warnings.warn(f"{file} is damaged ({error}) and will be written anew", stacklevel=3)
    made = make()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as partial:
            partial.write_bytes(write(made))
    except OSError as error:
        warnings.warn(f"{file} cannot be kept ({error}); the next start is slower", stacklevel=3)
    return made


def _folder() -> Path | None:
    """Where JAX keeps compiled programs, if that is a folder of this machine."""
    cache = jax.config.values["jax_compilation_cache_dir"]
    return Path(cache, SUBFOLDER) if cache and "://" not in cache else None


def _ground() -> str:
    """What all of it depends on: JAX, where it runs, and every line of this project."""
    settings = [getattr(jax.config, name) for name in TRACED_UNDER]
    return f"{jax.__version__} {jax.default_backend()} {settings} {_source()}"


@functools.cache
def _source() -> str:
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
