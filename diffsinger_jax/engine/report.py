"""What a run says of itself before it trains: devices and parameters."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from diffsinger_jax.engine.hosts import log_primary


def describe_devices(fsdp: int) -> None:
    """Once for a run; `fsdp` devices share one copy of the training state."""
    devices, hosts = jax.devices(), jax.process_count()
    log_primary(
        f"devices: {len(devices)} x {devices[0].device_kind} in {hosts} "
        f"process{'es' if hosts > 1 else ''}"
        + (f", {fsdp} to a copy of the training state" if fsdp > 1 else "")
    )


def describe_params(params: dict[str, Any]) -> None:
    """How many there are, in all and of each part."""
    sizes = {name: sum(np.size(x) for x in jax.tree.leaves(p)) for name, p in params.items()}
    parts = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
    log_primary(f"parameters: {sum(sizes.values()):,}; {parts}")
