"""Gradients over microbatches, summed in one order on every layout of devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, PartitionSpec

from diffsinger_jax.engine.sharding import BATCH_AXES

MicrobatchSum = Callable[[Callable[[Any, Any], Any], Any, Any], Any]
"""(function, fixed, by rows) -> the sum of function(fixed, a microbatch) over all of them."""
Isolate = Callable[[Callable[[Any, Any], Any], Any, Any, jax.Array], Any]
"""(function, start, given, a number) -> function(start, given), compiled in some way."""


def whole_batch(function: Callable[[Any, Any], Any], fixed: Any, batched: Any) -> Any:
    """All rows as one microbatch, see `MicrobatchSum`."""
    return function(fixed, batched)


def compile_inline(
    function: Callable[[Any, Any], Any], start: Any, given: Any, number: jax.Array
) -> Any:
    """As it comes, see `Isolate`."""
    return function(start, given)


def compile_isolated(
    function: Callable[[Any, Any], Any], start: Any, given: Any, number: jax.Array
) -> Any:
    """function(start, given), compiled as a program of its own.

    What a compiler fuses a product with decides where it rounds. As the body of a loop, whose one
    round the compiler cannot know to be one, a function is compiled alike whatever is around it.

    Args:
      function: its result has the shapes of `start`.
      start: a pytree of arrays.
      given: a pytree of arrays. What else the function uses may be computed outside of the loop.
      number: i32[] of any value that is not known before the program runs.
    """
    rounds = jnp.minimum(jnp.abs(number) + 1, 1)

    def body(carry: tuple[jax.Array, Any, Any]) -> tuple[jax.Array, Any, Any]:
        done, value, given = carry
        # What a loop leaves as it was is not part of it to the compiler, so it is overwritten.
        return done + 1, function(value, given), jax.tree.map(jnp.zeros_like, given)

    start = (jnp.zeros_like(rounds), start, given)
    return jax.lax.while_loop(lambda carry: carry[0] < rounds, body, start)[1]


class Microbatching(NamedTuple):
    """How a step computes a batch: whole, or in microbatches, each a program of its own.

    Attributes:
      sum: see `MicrobatchSum`.
      isolate: how the gradient of a microbatch, and the update after it, are compiled.
    """

    sum: MicrobatchSum = whole_batch
    isolate: Isolate = compile_inline


WHOLE_BATCH = Microbatching()


def microbatching(mesh: Mesh, microbatches: int) -> Microbatching:
    """So many microbatches, at least one a device; one only is not isolated."""
    return Microbatching(
        microbatch_sum(mesh, max(microbatches, mesh.size)),
        compile_isolated if microbatches > 1 else compile_inline,
    )


def microbatch_sum(mesh: Mesh, microbatches: int) -> MicrobatchSum:
    """A sum over microbatches with one order of additions on every layout.

    In floating point the order of a sum is part of its result. Here each microbatch is computed
    by itself, in a shape that depends on `microbatches` alone, and their results are added as a
    binary tree of neighbours: those of one device there, one after the other (which is gradient
    accumulation), those of different devices after an exchange that only moves numbers. So 1, 2,
    4 or 8 devices, in one process or in several, give the same bits for 8 microbatches, if the
    function does (see `compile_isolated`). The exchange moves as many bytes as an all-reduce in a
    ring.

    Args:
      mesh: see `data_mesh`.
      microbatches: a power of two that the number of devices divides.

    Returns:
      f(function, fixed, batched): the sum of function(fixed, a microbatch) over them,
      a pytree of f32 arrays that is whole on each device.
    """
    here = microbatches // mesh.size

    def summed(function: Callable[[Any, Any], Any], fixed: Any, batched: Any) -> Any:
        def on_device(fixed: Any, rows: Any) -> Any:
            rows = jax.tree.map(lambda x: x.reshape(here, len(x) // here, *x.shape[1:]), rows)
            total = _sum_here(lambda microbatch: function(fixed, microbatch), rows, here)
            return _sum_over_devices(total, mesh.size)

        return jax.shard_map(
            on_device,
            mesh=mesh,
            in_specs=(PartitionSpec(), PartitionSpec(BATCH_AXES)),
            out_specs=PartitionSpec(),
            check_vma=False,  # that all devices end with the same is not seen by the types
        )(fixed, batched)

    return summed


def _sum_here(function: Callable[[Any], Any], rows: Any, count: int) -> Any:
    """The microbatches of one device, [count, ...]; the program holds the function once."""
    if count == 1:
        return function(jax.tree.map(lambda x: x[0], rows))
    halves = jax.tree.map(lambda x: x.reshape(2, count // 2, *x.shape[1:]), rows)
    two = jax.lax.map(lambda half: _sum_here(function, half, count // 2), halves)
    return jax.tree.map(lambda x: x[0] + x[1], two)


def _sum_over_devices(tree: Any, devices: int) -> Any:
    """Each device sums its part of all devices' numbers, then all get all parts."""
    if devices == 1:
        return tree
    numbers, unravel = ravel_pytree(tree)
    length = -(-len(numbers) // devices)
    cut = jnp.pad(numbers, (0, length * devices - len(numbers))).reshape(devices, length)
    parts = list(jax.lax.all_to_all(cut, BATCH_AXES, split_axis=0, concat_axis=0))
    while len(parts) > 1:  # neighbours first, as in `_sum_here`
        pairs = [a + b for a, b in zip(parts[0::2], parts[1::2], strict=False)]
        parts = pairs + parts[len(pairs) * 2 :]
    return unravel(jax.lax.all_gather(parts[0], BATCH_AXES, tiled=True)[: len(numbers)])
