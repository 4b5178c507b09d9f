"""Toys of two sides, a vocoder and a singer, trained on layouts of devices, in their own process.

    PYTHONPATH=.:tests XLA_FLAGS=--xla_force_host_platform_device_count=8 \\
        python tests/tasks/vocoder/toy_vocoder.py OUT.npz

Writes the final states of 1 and 8 devices; the discriminators rest in the first step.
"""

import sys

import jax
import numpy as np
import toy_singer
from random_batches import random_batch
from test_adversarial import FRAMES, GENERATOR, HOP, WEIGHTS, random_params, views

from diffsinger_jax.engine.adversarial import adversarial_step, create_adversarial_state
from diffsinger_jax.engine.microbatches import microbatching
from diffsinger_jax.engine.optimizers import OptimizerConfig, make_optimizer
from diffsinger_jax.engine.sharding import (
    data_mesh,
    global_batch,
    replicated,
    shard,
)
from diffsinger_jax.models.discriminators import Discriminators
from diffsinger_jax.models.mel_discriminators import show_pitch
from diffsinger_jax.tasks.gan_singer.losses import gan_singer_losses
from diffsinger_jax.tasks.vocoder.losses import Segments, vocoder_losses

ROWS, STEPS, STARTS_AFTER = 8, 3, 1
OPTIMIZER = OptimizerConfig(
    steps=STEPS,
    learning_rate={"name": "exponential", "peak": 1e-3, "factor": 1.0, "every_steps": 1},
    optimizer="adamw",
    betas=(0.8, 0.99),
    weight_decay=0.01,
    clip_norm=10.0,
)
DISCRIMINATORS = Discriminators(periods=(3,), scales=0, n_ffts=(), width=1 / 8)


def batch_of(step):
    rng = np.random.default_rng(step)
    return Segments(
        wav=rng.normal(0, 0.2, (ROWS, FRAMES * HOP)).astype("f4"),
        mel=rng.uniform(-6, 0, (ROWS, FRAMES, GENERATOR.mel_bins)).astype("f4"),
        f0=rng.uniform(100, 400, (ROWS, FRAMES)).astype("f4"),
    )


def vocoder():
    """Losses, params, frozen ones and batches."""
    losses = vocoder_losses(GENERATOR, DISCRIMINATORS, views(), WEIGHTS, starts_after=STARTS_AFTER)
    return losses, random_params(batch_of(0), DISCRIMINATORS), {}, batch_of


def singer():
    """The same of a GAN-Singer, whose rows count as many frames as they have."""
    losses = gan_singer_losses(
        toy_singer.ToySinger(),
        toy_singer.SCALING,
        toy_singer.DISCRIMINATORS_MODEL,
        show_pitch,
        toy_singer.WEIGHTS,
        starts_after=STARTS_AFTER,
    )
    return losses, *toy_singer.toy_params(), lambda step: random_batch(rows=ROWS, seed=step)


def train(devices, losses, params, frozen, batches):
    """The states after each step, f32 arrays by path."""
    mesh = data_mesh(jax.devices()[:devices])
    optimizers = {side: make_optimizer(OPTIMIZER) for side in ("generator", "discriminators")}

    @jax.jit
    def update(state, batch):
        return adversarial_step(
            state,
            frozen,
            batch,
            jax.random.key(0),
            losses=losses,
            optimizers=optimizers,
            ema_decay=0.9,
            microbatching=microbatching(mesh, ROWS),
        )

    state = shard(create_adversarial_state(params, optimizers), replicated(mesh))
    found = {}
    for step in range(STEPS):
        state, _ = update(state, global_batch(mesh, batches(step)))
        flat = jax.tree_util.tree_flatten_with_path(jax.device_get(state.params))[0]
        found |= {f"{step}{jax.tree_util.keystr(path)}": x for path, x in flat}
    return found


if __name__ == "__main__":
    toys = {"vocoder": vocoder(), "singer": singer()}
    np.savez(
        sys.argv[1],
        **{
            f"{count}/{toy}/{name}": x
            for count in (1, 8)
            for toy, given in toys.items()
            for name, x in train(count, *given).items()
        },
    )
