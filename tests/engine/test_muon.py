"""Muon beside three recorded steps of openvpi/DiffSinger's (Apache-2.0), whose rounds are float16.

A float64 version of its iteration differs from them by up to 0.007 of a step.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from diffsinger_jax.engine.optimizers import muon_adamw


@pytest.fixture(scope="module")
def recorded():
    with np.load(Path(__file__).parent / "golden_muon.npz") as arrays:
        return dict(arrays)


def ours(tensor):
    """[out, in] -> [in, out]; [out, in, taps] -> [taps, in, out]; [C, 1, taps] -> [taps, C]."""
    if tensor.ndim == 3 and tensor.shape[1] == 1:
        tensor = tensor[:, 0]
    return jnp.asarray(tensor.transpose())


def test_steps_are_openvpis(recorded):
    names = [f"p{i}" for i in range(6)]
    rate = float(recorded["lr"])
    optimizer = muon_adamw(
        optax.constant_schedule(rate), (0.9, 0.999), float(recorded["weight_decay"])
    )
    params = {name: {"kernel": ours(recorded[f"{name}_before"])} for name in names}
    state, update = optimizer.init(params), jax.jit(optimizer.update)
    for step in range(3):
        gradients = {name: {"kernel": ours(recorded[f"{name}_grad{step}"])} for name in names}
        updates, state = update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        for name in names:
            theirs = ours(recorded[f"{name}_after{step}"])
            side = max(theirs.shape[-1], theirs.size // theirs.shape[-1])
            difference = np.abs(params[name]["kernel"] - theirs).max()
            assert difference <= 0.01 * rate * side**0.5, (name, step)
            params[name] = {"kernel": theirs}  # each step is compared alone


def test_embeddings_output_layers_and_vectors_are_adamws():
    params = {
        "phoneme": {"embedding": jnp.ones((5, 3))},
        "denoiser": {"head": {"dense": {"kernel": jnp.ones((4, 3)), "bias": jnp.ones(3)}}},
        "auxiliary_decoder": {"out": {"kernel": jnp.ones((7, 4, 3))}},
        "encoder": {"out": {"dense": {"kernel": jnp.ones((4, 3))}}},
    }
    optimizer = muon_adamw(optax.constant_schedule(0.1), (0.9, 0.999), 0.5)
    gradients = jax.tree.map(lambda p: jnp.full_like(p, 1e-3), params)
    updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    by_muon = updates["encoder"]["out"]["dense"]["kernel"]
    assert np.abs(by_muon + 0.1).max() > 5e-3
    updates["encoder"] = jax.tree.map(lambda u: jnp.full_like(u, -0.1), updates["encoder"])
    for update in jax.tree.leaves(updates):  # Adam's first step, without decay
        np.testing.assert_allclose(update, -0.1, rtol=1e-3)
