"""Muon for kernels, AdamW for the rest. Its steps are compared in tests/interop."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from diffsinger_jax.engine.optimizers import muon_adamw


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
