"""Where arrays live.

One mesh over all devices of all hosts. Batches are cut along it by rows; a training state is
whole on each device, or, where the mesh has an axis "fsdp", cut along that.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

DATA_AXIS, FSDP_AXIS = "data", "fsdp"
BATCH_AXES = (DATA_AXIS, FSDP_AXIS)
"""Rows of a batch are cut along both."""


def data_mesh(devices: list[jax.Device] | None = None, *, fsdp: int = 1) -> Mesh:
    """A mesh over the given devices or all of them.

    Args:
      devices: of all hosts.
      fsdp: so many devices share one copy of the training state; it divides their number.
    """
    devices = devices or jax.devices()
    return jax.make_mesh(
        (len(devices) // fsdp, fsdp),
        BATCH_AXES,
        axis_types=(AxisType.Auto, AxisType.Auto),
        devices=devices,
    )


def batch_sharded(mesh: Mesh) -> NamedSharding:
    """Cut along the first axis."""
    return NamedSharding(mesh, PartitionSpec(BATCH_AXES))


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
