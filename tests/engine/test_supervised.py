"""What one update does when numbers are not numbers, and that microbatches change nothing."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_stage import batch_of, update_on

from diffsinger_jax.engine.compile import count_flops, peak_flops
from diffsinger_jax.engine.metrics import Mean
from diffsinger_jax.engine.optimizers import (
    OPTIMIZERS,
    OptimizerConfig,
    make_learning_rate,
    make_optimizer,
)
from diffsinger_jax.engine.progress import Progress
from diffsinger_jax.engine.sharding import data_mesh
from diffsinger_jax.errors import InputError


@functools.cache
def toy(microbatches=1):
    return update_on(data_mesh(jax.devices()[:1]), microbatches)


def train(steps, *, poison=None):
    state, update = toy()
    metrics = {}
    for step in steps:
        # A run that leaves a step out counts it all the same: `step` says which data comes next.
        state = state.replace(step=jnp.int32(step))
        state, metrics[step] = update(state, batch_of(step, poison))
    return state, metrics


def test_a_nan_in_one_example_is_skipped_and_counted():
    clean, _ = train([0, 1, 3, 4])
    state, metrics = train(range(5), poison=2)
    assert [float(metrics[step]["skipped"]) for step in range(5)] == [0, 0, 1, 0, 0]
    assert not np.isfinite(metrics[2]["loss"]) and int(state.step) == 5
    for name in ("params", "ema", "opt_state"):
        jax.tree.map(np.testing.assert_array_equal, getattr(state, name), getattr(clean, name))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.params))


def progress(**changes):
    about = dict(name="toy", steps=5, weights={"toy": 1.0}, names_of=lambda step: f"song{step}#0")
    return Progress(types.SimpleNamespace(**about), 0, stop_after_nonfinite=2, **changes)


def test_it_is_named_and_ends_the_training_when_it_does_not_end(capsys):
    _, metrics = train(range(5), poison=2)
    line = progress()
    for step in range(5):
        line.add(step + 1, metrics[step], frames=100, flops=1e6, waited=0.0)
    numbers = line.flush()
    assert numbers["skipped"] == 1 and np.isfinite(numbers["loss"])
    said = capsys.readouterr().out
    assert "step 3 of toy: the loss toy was not finite" in said and "song3#0" in said
    line.add(6, metrics[2], frames=100, flops=1e6, waited=0.0)
    line.flush()
    line.add(7, metrics[2], frames=100, flops=1e6, waited=0.0)
    with pytest.raises(InputError, match="steps 6 to 7 of stage toy the loss toy was not finite"):
        line.flush()
    line.close()


def test_a_weight_with_nothing_to_learn_from_is_said_once(capsys):
    line = progress()
    for step in range(1, 5):
        metrics = {"toy": Mean(np.float32(0), np.float32(0)), "loss": 0.0, "skipped": 0.0}
        line.add(step, metrics, frames=1, flops=0.0, waited=0.0)
        if step % 2 == 0:
            assert np.isnan(line.flush()["toy"])
    line.close()
    said = capsys.readouterr().out
    assert said.count("the loss toy has the weight 1, but nothing") == 1 and "steps 1 to 2" in said


def test_microbatches_are_the_whole_batch():
    results = []
    for microbatches in (1, 4):
        state, update = toy(microbatches)
        results.append(update(state, batch_of(0)))
    (one, whole), (other, summed) = results
    np.testing.assert_allclose(whole["loss"], summed["loss"], rtol=1e-6)
    np.testing.assert_allclose(whole["gradient_norm"], summed["gradient_norm"], rtol=1e-5)


def test_flops_are_those_of_the_matmuls_in_any_number_of_microbatches():
    batch = batch_of(0)
    rows, frames, bins = batch.mel.shape
    forward = 2 * rows * frames * (13 * 16 + 16 * 12)
    attention = 2 * rows * frames**2 * (16 + 16)  # logits, and what their weights add up
    backward = 2 * forward - 2 * rows * frames * 13 * 16  # the first input needs no gradient
    for microbatches in (1, 4):
        state, update = toy(microbatches)
        traced = update.trace(state, batch)
        assert count_flops(traced.jaxpr.jaxpr) == forward + backward + 3 * attention


def test_a_device_is_known_by_the_front_of_its_name():
    assert peak_flops("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_flops("TPU v5 lite") == 197e12 and peak_flops("cpu") == 0.0


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_go_downhill(name):
    optimizer = make_optimizer(
        OptimizerConfig(
            steps=10,
            learning_rate={"name": "halving", "peak": 0.05, "every_steps": 100},
            optimizer=name,
            betas=(0.9, 0.99),
            weight_decay=0.0,
            clip_norm=1.0,
        )
    )
    shapes = {"kernel": (3, 4, 5), "embedding": (6, 2), "bias": (5,)}
    rng = np.random.default_rng(0)
    params = {name: 3 * rng.normal(size=shape).astype("f4") for name, shape in shapes.items()}
    before = {name: np.abs(value).mean() for name, value in params.items()}
    state = optimizer.init(params)

    @jax.jit
    def update(params, state):
        updates, state = optimizer.update(params, state, params)  # the gradient of |x|^2 / 2
        return jax.tree.map(jnp.add, params, updates), state

    for _ in range(10):
        params, state = update(params, state)
    for name, value in params.items():
        assert np.abs(value).mean() < 0.99 * before[name], name


def test_flops_of_convolutions_and_of_the_larger_branch():
    def convolve(x, kernel, stride):
        return jax.lax.conv_general_dilated(x, kernel, (stride,), "SAME")

    def flops(function, *shapes):
        arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
        return count_flops(jax.make_jaxpr(function)(*arguments).jaxpr, sharded=True)

    x, kernel = (2, 3, 32), (5, 3, 7)  # [B, in, L], [out, in, taps]
    assert flops(lambda x, k: convolve(x, k, 1), x, kernel) == 2 * (2 * 5 * 32) * 3 * 7
    strided = flops(lambda x, k: convolve(x, k, 2), x, kernel)
    assert strided == 2 * (2 * 5 * 16) * 3 * 7
    # The gradient for what comes in: as many products as the other way, up to the ends.
    grad = flops(lambda x, k: jax.grad(lambda x: convolve(x, k, 2).sum())(x), x, kernel)
    assert 1.8 * strided < grad < 2.4 * strided
    product, none = (lambda x: x @ x), (lambda x: x)
    branches = flops(lambda x: jax.lax.cond(x.sum() > 0, product, none, x), (4, 4))
    assert branches == 2 * 4**3


def test_a_rate_that_falls_without_stairs():
    rate = make_learning_rate(
        {"name": "exponential", "peak": 2e-4, "factor": 0.5, "every_steps": 4}
    )
    np.testing.assert_allclose([rate(step) for step in (0, 2, 8)], [2e-4, 2e-4 / 2**0.5, 5e-5])
