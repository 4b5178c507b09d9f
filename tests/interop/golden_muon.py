"""Muon beside three recorded steps of openvpi/DiffSinger's (Apache-2.0), whose rounds are float16.

By the plain iteration in float64 a step differs from theirs by up to 0.007 of lr * sqrt(larger
side): float16 has ten bits, and five rounds add up what it drops. So a hundredth is the bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from golden_measure import Found

from diffsinger_jax.engine.optimizers import muon_adamw

BOUND = 1e-2
"""Of the largest difference, in units of lr * sqrt(larger side)."""


def matches(folder: Path) -> bool:
    """Whether it holds steps of Muon."""
    if not (folder / "cases.npz").is_file():
        return False
    with np.load(folder / "cases.npz") as cases:
        return "ns_steps" in cases


def differences(folder: Path) -> Found:
    """Of each tensor after each step."""
    with np.load(folder / "cases.npz") as arrays:
        return step_differences(dict(arrays))


def step_differences(recorded: Mapping[str, np.ndarray]) -> Found:
    """As `differences`; each step starts from the tensors that were recorded."""
    names = sorted(name.removesuffix("_before") for name in recorded if name.endswith("_before"))
    rate = float(recorded["lr"])
    optimizer = muon_adamw(
        optax.constant_schedule(rate), (0.9, 0.999), float(recorded["weight_decay"])
    )
    params = {name: {"kernel": as_kernel(recorded[f"{name}_before"])} for name in names}
    state, update = optimizer.init(params), jax.jit(optimizer.update)
    found: Found = {}
    step = 0
    while f"{names[0]}_grad{step}" in recorded:
        gradients = {name: {"kernel": as_kernel(recorded[f"{name}_grad{step}"])} for name in names}
        updates, state = update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        for name in names:
            theirs = as_kernel(recorded[f"{name}_after{step}"])
            side = max(theirs.shape[-1], theirs.size // theirs.shape[-1])
            difference = float(jnp.abs(params[name]["kernel"] - theirs).max())
            found[f"{name}_after{step}"] = difference / (rate * side**0.5), BOUND
            params[name] = {"kernel": theirs}
        step += 1
    return found


def as_kernel(tensor: np.ndarray) -> jax.Array:
    """[out, in] -> [in, out]; [out, in, taps] -> [taps, in, out]; [C, 1, taps] -> [taps, C]."""
    if tensor.ndim == 3 and tensor.shape[1] == 1:
        tensor = tensor[:, 0]
    return jnp.asarray(tensor.transpose())
