"""A toy stage that compiles in a moment, trained as a real one is, in a process of its own.

    PYTHONPATH=.:tests XLA_FLAGS=--xla_force_host_platform_device_count=8 \\
        python tests/toy_stage.py OUT --devices 1 8

Writes the final params of each to OUT_1.npz, OUT_8.npz.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from random_batches import random_batch

from diffsinger_jax.engine import hosts
from diffsinger_jax.engine.checkpoint import Checkpoints
from diffsinger_jax.engine.losses import LossFn, row_noise
from diffsinger_jax.engine.metrics import Mean
from diffsinger_jax.engine.microbatches import microbatching
from diffsinger_jax.engine.sharding import (
    data_mesh,
    global_batch,
    replicate,
    shard,
    state_shardings,
)
from diffsinger_jax.engine.state import create_state
from diffsinger_jax.engine.supervised import train_step
from diffsinger_jax.modules.transformer import attend

ROWS = 8


def toy_loss():
    """A small network from noise and f0 to mels: products, attention, draws, a loss with kinks."""

    def parts(params, batch, key, rows, train):
        noise = row_noise(key, rows, batch.mel.shape[1:])
        shown = jnp.concatenate([batch.mel + noise, batch.f0[..., None] / 400.0], axis=-1)
        hidden = jnp.tanh(shown @ params["one"] + params["bias"][None, None, :])
        heads = hidden.reshape(*hidden.shape[:2], 2, -1)
        hidden += attend(heads, heads, heads, batch.mask).reshape(hidden.shape)
        error = jnp.abs(hidden @ params["two"] - batch.mel)
        return {"toy": Mean.of(error, batch.mask[..., None])}

    return LossFn(parts, {"toy": 1.0})


def toy_params(bins=12, hidden=16):
    rng = np.random.default_rng(0)
    return {
        "one": rng.normal(0, 0.1, (bins + 1, hidden)).astype("f4"),
        "bias": np.zeros(hidden, "f4"),
        "two": rng.normal(0, 0.1, (hidden, bins)).astype("f4"),
    }


def update_on(mesh, microbatches):
    """Jitted: (state, batch) -> (state, metrics)."""
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-2))
    state = create_state(toy_params(), optimizer)
    shardings = state_shardings(mesh, state)

    def update(state, batch):
        return train_step(
            state,
            {},
            batch,
            jax.random.key(0),
            loss_fn=toy_loss(),
            optimizer=optimizer,
            ema_decay=0.9,
            microbatching=microbatching(mesh, microbatches),
        )

    return shard(state, shardings), jax.jit(update, out_shardings=(shardings, None))


def batch_of(step, poison=None):
    """Everything follows from the step; the mel of the poisoned step's first row has a NaN."""
    batch = random_batch(rows=ROWS, seed=step)
    if step == poison:
        batch.mel[0, 0, 0] = np.nan
    return batch


def train(mesh, microbatches, steps, checkpoints=None, save_at=0):
    """The final params, f32 arrays by name; goes on from the last checkpoint."""
    state, update = update_on(mesh, microbatches)
    if checkpoints and checkpoints.latest() is not None:
        state = checkpoints.restore(state)
    share = ROWS // jax.process_count()
    mine = slice(jax.process_index() * share, (jax.process_index() + 1) * share)
    for step in range(int(state.step), steps):
        rows = jax.tree.map(lambda x: x[mine], batch_of(step))
        state, _ = update(state, global_batch(mesh, rows))
        if step + 1 == save_at:
            checkpoints.save(save_at, state)
    return jax.device_get(replicate(mesh, state.params))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--devices", nargs="+", help="a training on each: COUNT or COUNT/FSDP")
    parser.add_argument("--microbatches", type=int, default=8)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--distributed", default="off")
    parser.add_argument("--checkpoints", type=Path, help="to go on from, or to write")
    parser.add_argument("--save_at", type=int, default=0)
    options = parser.parse_args()
    hosts.join(options.distributed)
    checkpoints = options.checkpoints and Checkpoints(options.checkpoints, keep=2)
    for layout in options.devices:
        count, _, fsdp = layout.partition("/")
        mesh = data_mesh(jax.devices()[: int(count)], fsdp=int(fsdp or 1))
        params = train(mesh, options.microbatches, options.steps, checkpoints, options.save_at)
        if hosts.is_primary():
            np.savez(
                options.out.with_name(f"{options.out.name}_{layout.replace('/', '_')}.npz"),
                **params,
            )
    if checkpoints:
        checkpoints.close()


if __name__ == "__main__":
    main()
