"""States of adversarial steps that remember their gradients, for tests of who learns from what."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from diffsinger_jax.engine.adversarial import create_adversarial_state


def remember():
    """An optimizer that passes the gradients on, and keeps them as its state."""
    return optax.GradientTransformation(
        lambda params: jax.tree.map(jnp.zeros_like, params),
        lambda gradients, state, params=None: (gradients, gradients),
    )


@functools.lru_cache
def optimizers():
    """Of both sides; learning rates are part of their states."""
    adam = optax.inject_hyperparams(optax.adam)(learning_rate=1e-3)
    return {n: optax.chain(remember(), adam) for n in ("generator", "discriminators")}


def state_with(params, **rates):
    """The state before the first step, with the learning rates of some sides."""
    state = create_adversarial_state(params, optimizers())
    for name, rate in rates.items():
        state.opt_state[name][1].hyperparams["learning_rate"] = jnp.float32(rate)
    return state


def gradients(state, name):
    """Of a side in the last step."""
    return state.opt_state[name][0]


def same(a, b):
    return all(jax.tree.leaves(jax.tree.map(lambda x, y: np.array_equal(x, y), a, b)))


def nonzero(tree):
    return [bool(np.any(x)) for x in jax.tree.leaves(tree)]
