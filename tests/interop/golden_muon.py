"""Muon beside three recorded steps of openvpi/DiffSinger's (Apache-2.0), whose rounds are float16.

Our rounds are float32, and within 0.00001 of float64; from theirs a step differs by up
to 0.007 of lr * sqrt(larger side), so that a hundredth is the bound. That this is their rounding
and nothing else: `in_half` makes the same steps in numpy, in their order of operations, each
rounded to float16, and the tensor that is 0.007 away from ours is within 0.00003 of that. float16
in another order (one rounding less on the Gram matrix's diagonal) moves steps by up to 0.004.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from golden_measure import Found

from diffsinger_jax.engine.optimizers import muon_adamw

BOUND, BOUND_IN_HALF = 1e-2, 4e-3
"""Of the largest difference, in units of lr * sqrt(larger side): our steps, and `in_half`."""
LINEAR, CUBIC, QUINTIC = 3.4445, -4.7750, 2.0315
ROUNDS, RESTART = 5, 2
MOMENTUM, EPSILON = 0.95, 1e-7


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
    """As `differences`, and those of `in_half`; each step starts from the recorded tensors."""
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
    return found | half_differences(recorded, names, step)


def half_differences(recorded: Mapping[str, np.ndarray], names: list[str], steps: int) -> Found:
    """As `differences`, of `in_half`."""
    rate, decay = float(recorded["lr"]), float(recorded["weight_decay"])
    found: Found = {}
    for name in names:
        before, mean = recorded[f"{name}_before"], np.zeros_like(recorded[f"{name}_before"])
        for step in range(steps):
            gradient, after = recorded[f"{name}_grad{step}"], recorded[f"{name}_after{step}"]
            mean = mean + np.float32(1.0 - MOMENTUM) * (gradient - mean)
            ahead = mean - np.float32(1.0 - MOMENTUM) * (mean - gradient)
            matrix = ahead.reshape(len(ahead), -1)
            size = rate * max(matrix.shape) ** 0.5
            moved = before * (1.0 - rate * decay) - size * in_half(matrix).reshape(before.shape)
            found[f"{name}_half{step}"] = float(np.abs(moved - after).max()) / size, BOUND_IN_HALF
            before = after
    return found


def in_half(matrix: np.ndarray) -> np.ndarray:
    """Five Newton-Schulz rounds of f[m, n] as the recorded ones: float16 after each operation.

    What is not square goes by its Gram matrix R = X X^T, X = Q X with Q of all rounds, and starts
    again from X once.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = _half(wide / max(float(np.linalg.norm(wide)), EPSILON))
    x = _rounds(x) if x.shape[0] == x.shape[1] else _gram_rounds(x)
    return (x if wide is matrix else x.T).astype(np.float64)


def _rounds(x: np.ndarray) -> np.ndarray:
    for _ in range(ROUNDS):
        gram = _plus(x, x.T)
        x = _plus(_plus(gram, gram, gram, CUBIC, QUINTIC), x, x, LINEAR)
    return x


def _gram_rounds(x: np.ndarray) -> np.ndarray:
    gram, product = _plus(x, x.T), None
    for i in range(ROUNDS):
        if i == RESTART:
            x = _plus(product, x)
            gram, product = _plus(x, x.T), None
        z = _plus(gram, gram, gram, CUBIC, QUINTIC)
        if product is None:
            product = _half(z + _half(LINEAR * np.eye(len(z))))
        else:
            product = _plus(product, z, product, LINEAR)
        if i + 1 not in (RESTART, ROUNDS):
            half_way = _plus(gram, z, gram, LINEAR)
            gram = _plus(z, half_way, half_way, LINEAR)
    return _plus(product, x)


def _plus(
    left: np.ndarray, right: np.ndarray, term: Any = 0.0, beta: float = 1.0, alpha: float = 1.0
) -> np.ndarray:
    """beta term + alpha left right, summed in float64 and rounded once."""
    product = left.astype(np.float64) @ right.astype(np.float64)
    return _half(beta * np.float64(term) + alpha * product)


def _half(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16)


def as_kernel(tensor: np.ndarray) -> jax.Array:
    """[out, in] -> [in, out]; [out, in, taps] -> [taps, in, out]; [C, 1, taps] -> [taps, C]."""
    if tensor.ndim == 3 and tensor.shape[1] == 1:
        tensor = tensor[:, 0]
    return jnp.asarray(tensor.transpose())
