"""A toy vocoder trained on layouts of devices, in a process of its own.

    PYTHONPATH=.:tests XLA_FLAGS=--xla_force_host_platform_device_count=8 \\
        python tests/tasks/vocoder/toy_vocoder.py OUT.npz

Writes the final states of 1 and 8 devices; the discriminators rest in the first step.
"""

import sys

import jax
import numpy as np
from test_vocoder_steps import FRAMES, GENERATOR, HOP, WEIGHTS, random_params, views

from diffsinger_jax.engine.optimizers import make_optimizer
from diffsinger_jax.engine.sharding import (
    compile_isolated,
    data_mesh,
    global_batch,
    microbatch_sum,
    replicated,
    shard,
)
from diffsinger_jax.models.discriminators import Discriminators
from diffsinger_jax.tasks.vocoder.losses import (
    Segments,
    adversarial_step,
    create_adversarial_state,
)

ROWS, STEPS, JUDGED_AFTER = 8, 3, 1
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
    optimizers = {
        side: make_optimizer(lambda _: 1e-3, betas=(0.8, 0.99), weight_decay=0.01, clip_norm=10.0)
        for side in ("generator", "discriminators")
    }

    @jax.jit
    def update(state, batch):
        return adversarial_step(
            state,
            batch,
            jax.random.key(0),
            generator=GENERATOR,
            discriminators=DISCRIMINATORS,
            optimizers=optimizers,
            views=views(),
            weights=WEIGHTS,
            ema_decay=0.9,
            judged_after=JUDGED_AFTER,
            microbatch_sum=microbatch_sum(mesh, ROWS),
            isolate=compile_isolated,
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
