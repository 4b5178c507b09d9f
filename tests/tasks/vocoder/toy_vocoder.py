"""A toy vocoder trained on layouts of devices, in a process of its own.

    PYTHONPATH=.:tests XLA_FLAGS=--xla_force_host_platform_device_count=8 \\
        python tests/tasks/vocoder/toy_vocoder.py OUT.npz

Writes the final states of 1 and 8 devices; the discriminators rest in the first step.
"""

import sys

import jax
import numpy as np
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


def train(devices):
    """The states after each step, f32 arrays by path."""
    mesh = data_mesh(jax.devices()[:devices])
    optimizers = {side: make_optimizer(OPTIMIZER) for side in ("generator", "discriminators")}
    losses = vocoder_losses(GENERATOR, DISCRIMINATORS, views(), WEIGHTS, starts_after=STARTS_AFTER)

    @jax.jit
    def update(state, batch):
        return adversarial_step(
            state,
            {},
            batch,
            jax.random.key(0),
            losses=losses,
            optimizers=optimizers,
            ema_decay=0.9,
            microbatching=microbatching(mesh, ROWS),
        )

    state = create_adversarial_state(random_params(batch_of(0), DISCRIMINATORS), optimizers)
    state = shard(state, replicated(mesh))
    found = {}
    for step in range(STEPS):
        state, _ = update(state, global_batch(mesh, batch_of(step)))
        flat = jax.tree_util.tree_flatten_with_path(jax.device_get(state.params))[0]
        found |= {f"{step}{jax.tree_util.keystr(path)}": x for path, x in flat}
    return found


if __name__ == "__main__":
    trained = {count: train(count) for count in (1, 8)}
    np.savez(
        sys.argv[1],
        **{f"{count}/{name}": x for count, all_of in trained.items() for name, x in all_of.items()},
    )
