"""Where arrays live, and sums that come out the same wherever they live.

One mesh over all devices of all hosts. Batches are cut along it by rows; a training state is
whole on each device, or, where the mesh has an axis "fsdp", cut along that.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

DATA_AXIS, FSDP_AXIS = "data", "fsdp"
_AXES = (DATA_AXIS, FSDP_AXIS)


def data_mesh(devices: list[jax.Device] | None = None, *, fsdp: int = 1) -> Mesh:
    """A mesh over the given devices or all of them.

    Args:
      devices: of all hosts.
      fsdp: so many devices share one copy of the training state; it divides their number.
    """
    devices = devices or jax.devices()
    return jax.make_mesh(
        (len(devices) // fsdp, fsdp),
        _AXES,
        axis_types=(AxisType.Auto, AxisType.Auto),
        devices=devices,
    )


def batch_sharded(mesh: Mesh) -> NamedSharding:
    """Cut along the first axis."""
    return NamedSharding(mesh, PartitionSpec(_AXES))


def replicated(mesh: Mesh) -> NamedSharding:
    """A whole copy on each device."""
    return NamedSharding(mesh, PartitionSpec())


def state_shardings(mesh: Mesh, state: Any) -> Any:
    """For each array: cut along its longest axis that the mesh's "fsdp" divides, else whole."""
    parts = mesh.shape[FSDP_AXIS]

    def of(x: Any) -> NamedSharding:
        shape = np.shape(x)
        fitting = [axis for axis, length in enumerate(shape) if length % parts == 0]
        if parts == 1 or not fitting:
            return replicated(mesh)
        longest = max(fitting, key=lambda axis: shape[axis])
        return NamedSharding(mesh, PartitionSpec(*[None] * longest, FSDP_AXIS))

    return jax.tree.map(of, state)


def shard(tree: Any, shardings: Any) -> Any:
    """Arrays that every host has alike -> arrays over all devices.

    Args:
      tree: of arrays.
      shardings: one for all, or a tree of them.
    """

    def of(x: Any, sharding: NamedSharding) -> jax.Array:
        if isinstance(x, jax.Array) and x.sharding == sharding:
            return x
        x = np.asarray(x)
        return jax.make_array_from_callback(x.shape, sharding, lambda part: x[part])

    if isinstance(shardings, NamedSharding):
        return jax.tree.map(lambda x: of(x, shardings), tree)
    return jax.tree.map(of, tree, shardings)


def replicate(mesh: Mesh, tree: Any) -> Any:
    """The arrays with a whole copy on each device, wherever they are."""
    if all(x.sharding == replicated(mesh) for x in jax.tree.leaves(tree)):
        return tree
    return jax.jit(lambda x: x, out_shardings=replicated(mesh))(tree)


def global_batch(mesh: Mesh, rows_of_this_host: Any) -> Any:
    """This host's rows -> arrays over all devices, [rows of all hosts, ...].

    Args:
      mesh: see `data_mesh`.
      rows_of_this_host: a pytree of numpy arrays, the same number of rows on every host.
    """
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(batch_sharded(mesh), np.asarray(x)),
        rows_of_this_host,
    )


def prefetch(batches: Iterable[Any], *, depth: int = 2) -> Iterator[Any]:
    """The same, with `depth` of them on their way to the devices before they are asked for."""
    batches = iter(batches)
    waiting = collections.deque(itertools.islice(batches, depth))
    while waiting:
        yield waiting.popleft()
        waiting.extend(itertools.islice(batches, 1))


def microbatch_sum(mesh: Mesh, groups: int) -> Callable:
    """A sum over groups of rows with one order of additions on every layout.

    In floating point the order of a sum is part of its result. Here each group of rows is
    computed by itself, in a shape that depends on `groups` alone, and the groups are added as a
    binary tree of neighbours: those of one device there, one after the other (which is gradient
    accumulation), those of different devices after an exchange that only moves numbers. So 1, 2,
    4 or 8 devices, in one process or in several, give the same bits for 8 groups, if the function
    does (see `compile_isolated`). The exchange moves as many bytes as an all-reduce in a ring.

    Args:
      mesh: see `data_mesh`.
      groups: a power of two that the number of devices divides.

    Returns:
      f(function, fixed, by_rows): the sum of function(fixed, rows of a group) over the groups,
      a pytree of f32 arrays that is whole on each device.
    """
    here = groups // mesh.size

    def summed(function: Callable[[Any, Any], Any], fixed: Any, batch_sharded: Any) -> Any:
        def on_device(fixed: Any, rows: Any) -> Any:
            rows = jax.tree.map(lambda x: x.reshape(here, len(x) // here, *x.shape[1:]), rows)
            total = _sum_here(lambda group: function(fixed, group), rows, here)
            return _sum_over_devices(total, mesh.size)

        return jax.shard_map(
            on_device,
            mesh=mesh,
            in_specs=(PartitionSpec(), PartitionSpec(_AXES)),
            out_specs=PartitionSpec(),
            check_vma=False,  # that all devices end with the same is not seen by the types
        )(fixed, batch_sharded)

    return summed


def _sum_here(function: Callable[[Any], Any], rows: Any, groups: int) -> Any:
    """The groups of one device, rows [groups, ...]; the program holds the function once."""
    if groups == 1:
        return function(jax.tree.map(lambda x: x[0], rows))
    halves = jax.tree.map(lambda x: x.reshape(2, groups // 2, *x.shape[1:]), rows)
    two = jax.lax.map(lambda half: _sum_here(function, half, groups // 2), halves)
    return jax.tree.map(lambda x: x[0] + x[1], two)


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


def _sum_over_devices(tree: Any, devices: int) -> Any:
    """Each device sums its part of all devices' numbers, then all get all parts."""
    if devices == 1:
        return tree
    numbers, unravel = ravel_pytree(tree)
    length = -(-len(numbers) // devices)
    parts = jnp.pad(numbers, (0, length * devices - len(numbers))).reshape(devices, length)
    parts = jax.lax.all_to_all(parts, _AXES, split_axis=0, concat_axis=0)
    parts = list(parts)
    while len(parts) > 1:  # neighbours first, as in `_sum_here`
        pairs = [a + b for a, b in zip(parts[0::2], parts[1::2], strict=False)]
        parts = pairs + parts[len(pairs) * 2 :]
    return unravel(jax.lax.all_gather(parts[0], _AXES, tiled=True)[: len(numbers)])
