"""The update of a stage compiled for all of its shapes, before the first step."""

from __future__ import annotations

import concurrent.futures
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax

from diffsinger_jax.engine.hosts import log_primary

COMPILE_EVENT = "/jax/core/compile/backend_compile_duration"
"""What JAX tells for each program that it compiles or fetches from its cache."""


class Shape(Protocol):
    """Of a batch; it can be the key of a dict."""

    @property
    def rows(self) -> int:
        """Over all devices."""

    @property
    def frames(self) -> int:
        """Of each row."""


class CompiledStep(NamedTuple):
    """One shape's update, ready to run.

    Attributes:
      call: the compiled update; it cannot compile again.
      compile_sec: what that took, tracing included.
      flops: of matmuls and convolutions of one step on one device, counted from the
        model: what is computed twice to save memory counts once.
      memory_bytes: that the program takes of one device, arguments included; 0 where the backend
        does not tell.
    """

    call: Callable
    compile_sec: float
    flops: float
    memory_bytes: int


def compile_all(
    update: Any, arguments: Mapping[Shape, Sequence[Any]], *, stage: str
) -> dict[Shape, CompiledStep]:
    """Compiles a jitted function for each shape's arguments, several at a time.

    Args:
      update: jitted.
      arguments: arrays or their shapes, with shardings.
      stage: for the progress lines.
    """
    programs: dict[Shape, CompiledStep] = {}
    threads = max(1, min(len(arguments), os.cpu_count() or 1))
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        waiting = {pool.submit(_compile, update, args): s for s, args in arguments.items()}
        for done in concurrent.futures.as_completed(waiting):
            shape, program = waiting[done], done.result()
            programs[shape] = program
            log_primary(
                f"stage {stage}: compiled {shape.rows} x {shape.frames} frames in "
                f"{program.compile_sec:.1f} s ({len(programs)} of {len(arguments)})"
            )
    return {shape: programs[shape] for shape in arguments}


def _compile(update: Any, arguments: Sequence[Any]) -> CompiledStep:
    start = time.perf_counter()
    traced = update.trace(*arguments)
    compiled = traced.lower().compile()
    seconds = time.perf_counter() - start
    memory = compiled.memory_analysis()
    taken = 0
    if memory is not None:
        taken = memory.argument_size_in_bytes + memory.temp_size_in_bytes
        taken += memory.output_size_in_bytes - memory.alias_size_in_bytes
    return CompiledStep(compiled, seconds, count_flops(traced.jaxpr.jaxpr), taken)


class CompileCounter:
    """Counts the programs that this process compiles, or fetches from a cache, until it closes."""

    def __init__(self) -> None:
        """Counts from now on."""
        self._count = 0
        jax.monitoring.register_event_duration_secs_listener(self._hear)

    def _hear(self, event: str, duration_secs: float, **about: Any) -> None:
        self._count += event == COMPILE_EVENT

    def since_last(self) -> int:
        """How many since it was made or last asked."""
        count, self._count = self._count, 0
        return count

    def close(self) -> None:
        """Counts no more."""
        jax.monitoring.unregister_event_duration_listener(self._hear)


def count_flops(jaxpr: Any, *, sharded: bool = False) -> float:
    """Of the matmuls and convolutions that are computed by shards, on one device.

    2 m n k of a product, twice the taps that meet a number of a convolution; of branches the
    largest counts. Those outside are an update's own, or only there to be left out by the compiler.
    """
    total = 0.0
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        if name in _FLOPS:
            total += _FLOPS[name](equation) if sharded else 0.0
            continue
        inner = [count_flops(one, sharded=sharded or name == "shard_map") for one in _inner(params)]
        times = params["length"] if name == "scan" else 1
        total += times * (max(inner) if name == "cond" else sum(inner))
    return total


def _product_flops(equation: Any) -> float:
    (contracted, _), _ = equation.params["dimension_numbers"]
    depth = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
    return 2.0 * depth * math.prod(equation.outvars[0].aval.shape)


def _convolution_flops(equation: Any) -> float:
    kernel, params = equation.invars[1].aval.shape, equation.params
    inner = [kernel[axis] for axis in params["dimension_numbers"].rhs_spec[1:]]  # in, taps
    gaps = math.prod(params["lhs_dilation"])  # taps that fall between the numbers are no work
    return 2.0 * math.prod(inner) / gaps * math.prod(equation.outvars[0].aval.shape)


_FLOPS = {"dot_general": _product_flops, "conv_general_dilated": _convolution_flops}


def _inner(params: Mapping[str, Any]) -> list[Any]:
    """The programs inside an equation."""
    inner = []
    for value in params.values():
        for one in value if isinstance(value, tuple | list) else (value,):
            one = getattr(one, "jaxpr", one)
            if hasattr(one, "eqns"):
                inner.append(one)
    return inner


PEAK_FLOPS = {
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5": 459e12,
    "TPU v5p": 459e12,
    "TPU v6 lite": 918e12,
    "NVIDIA A100": 312e12,
    "NVIDIA L4": 121e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H200": 989e12,
}
"""Dense bfloat16 FLOP/s of a device by the front of its name, from the makers' data sheets."""


def peak_flops(device_kind: str) -> float:
    """Of the longest name in `PEAK_FLOPS` that `device_kind` begins with, 0 if there is none."""
    known = [name for name in PEAK_FLOPS if device_kind.startswith(name)]
    return PEAK_FLOPS[max(known, key=len)] if known else 0.0
