"""Where arrays live: one mesh over all devices, batches cut along it, the rest on each."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

DATA_AXIS = "data"


def data_mesh(devices: list[jax.Device] | None = None) -> Mesh:
    """A mesh with one axis, "data", over the given devices or all of them."""
    devices = devices or jax.devices()
    return jax.make_mesh(
        (len(devices),), (DATA_AXIS,), axis_types=(AxisType.Auto,), devices=devices
    )


def by_rows(mesh: Mesh) -> NamedSharding:
    """Cut along the first axis."""
    return NamedSharding(mesh, PartitionSpec(DATA_AXIS))


def on_each(mesh: Mesh) -> NamedSharding:
    """A whole copy on each device."""
    return NamedSharding(mesh, PartitionSpec())


def global_batch(mesh: Mesh, rows_of_this_host: Any) -> Any:
    """This host's rows -> arrays over all devices, [rows of all hosts, ...].

    Args:
      mesh: see `data_mesh`.
      rows_of_this_host: a pytree of numpy arrays, the same number of rows on every host.
    """
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(by_rows(mesh), np.asarray(x)),
        rows_of_this_host,
    )
