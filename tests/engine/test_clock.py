"""A training by the clock: it ends when its minutes are spent, over however many starts."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_workdir import CONFIG, toy_task

from diffsinger_jax.engine import loop
from diffsinger_jax.engine.clock import CLOCK_FILE, Clock, is_out_of_time, minutes_spent
from diffsinger_jax.engine.loop import RunContext, train
from diffsinger_jax.engine.optimizers import (
    OptimizerConfig,
    at_progress,
    make_learning_rate,
    make_optimizer,
)
from diffsinger_jax.engine.sharding import data_mesh
from diffsinger_jax.engine.workdir import Workdir

BY_TIME = {"name": "by_time", "peak": 0.1, "warmup_steps": 4}


class FakeTime:
    """Seconds that pass when it is told."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def mesh():
    return data_mesh(jax.devices()[:1])


def test_it_goes_on_from_where_it_was_saved(mesh, tmp_path):
    workdir, now = Workdir(tmp_path), FakeTime()
    clock = Clock(workdir, mesh, "toy", 4.0, now=now)
    assert float(clock.progress) == 0.0 and not clock.is_over
    now.seconds += 60
    clock.save()
    now.seconds += 60  # lost: nothing is saved after it
    clock.look()
    assert float(clock.progress) == 0.5 and minutes_spent(workdir, "toy") == 1.0

    again = Clock(workdir, mesh, "toy", 4.0, now=now)
    assert float(again.progress) == 0.25
    now.seconds += 3.5 * 60
    again.look()
    again.save()
    assert float(again.progress) == 1.0 and again.is_over
    assert is_out_of_time(workdir, "toy", 4.0) and not is_out_of_time(workdir, "toy", 5.0)
    assert not is_out_of_time(workdir, "other", 4.0) and not is_out_of_time(workdir, "toy", 0.0)


def test_without_minutes_it_never_ends_and_writes_nothing(mesh, tmp_path):
    clock = Clock(Workdir(tmp_path), mesh, "toy", 0.0, now=FakeTime())
    clock.look()
    clock.save()
    assert float(clock.progress) == 0.0 and not clock.is_over and not list(tmp_path.iterdir())


def by_the_clock(mesh, monkeypatch, workdir, *, minutes_a_step, lost_at=None):
    """Trains 2 minutes of a task of 6 steps that looks at the clock every second step."""
    now = FakeTime()
    task = toy_task(mesh, lost_at=lost_at)

    def batches(done):
        for batch in task.batches(done):
            now.seconds += 60 * minutes_a_step
            yield batch

    def clock(*given):
        return Clock(*given, now=now)

    monkeypatch.setattr(loop, "Clock", clock)
    monkeypatch.setattr(loop, "prefetch", iter)
    run = RunContext(CONFIG, Workdir(workdir), mesh)
    return train(task._replace(batches=batches, minutes=2.0), run)


def test_a_training_ends_with_its_minutes_and_is_saved(mesh, monkeypatch, tmp_path):
    state = by_the_clock(mesh, monkeypatch, tmp_path, minutes_a_step=0.5)
    assert int(state.step) == 4
    assert json.loads((tmp_path / CLOCK_FILE).read_text()) == {"toy": 2.0}
    assert {path.name for path in (tmp_path / "checkpoints" / "toy").iterdir()} == {"2", "4"}
    again = by_the_clock(mesh, monkeypatch, tmp_path, minutes_a_step=0.5)  # no step more
    np.testing.assert_array_equal(again.w, state.w)
    assert int(again.step) == 4


def test_a_training_cut_off_has_the_minutes_that_are_left(mesh, monkeypatch, tmp_path):
    with pytest.raises(ConnectionError):
        by_the_clock(mesh, monkeypatch, tmp_path, minutes_a_step=0.5, lost_at=4)
    assert minutes_spent(Workdir(tmp_path), "toy") == 1.0  # of step 2; what came after is lost
    state = by_the_clock(mesh, monkeypatch, tmp_path, minutes_a_step=0.25)
    assert int(state.step) == 6
    assert minutes_spent(Workdir(tmp_path), "toy") == 2.0


def test_the_rate_rises_with_steps_and_falls_with_time():
    rate = make_learning_rate(BY_TIME)
    np.testing.assert_allclose([rate(step, 0.0) for step in (0, 1, 3, 99)], [0.025, 0.05, 0.1, 0.1])
    np.testing.assert_allclose(
        [rate(99, share) for share in (0.5, 1.0)], [0.1 * 0.505, 0.001], rtol=1e-5
    )


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "muon_adamw"])
def test_an_optimizer_by_time_moves_as_one_with_that_constant_rate(optimizer):
    about = {"steps": 9, "optimizer": optimizer, "betas": (0.9, 0.99)}
    about |= {"weight_decay": 0.1, "clip_norm": 1.0}
    constant = {"name": "halving", "peak": 0.1 * 0.505, "every_steps": 10**6}
    timed = make_optimizer(OptimizerConfig(learning_rate=BY_TIME, **about))
    plain = make_optimizer(OptimizerConfig(learning_rate=constant, **about))
    params = {"kernel": jnp.arange(6.0).reshape(2, 3), "bias": jnp.ones(3)}
    gradient = jax.tree.map(jnp.cos, params)

    def moved(one, steps_before):
        state = one.init(params)
        for _ in range(steps_before):  # past the rise, without moving the params
            _, state = at_progress(one, 0.5).update(gradient, state, params)
        return at_progress(one, 0.5).update(gradient, state, params)[0]

    ours, theirs = moved(timed, 5), moved(plain, 5)
    assert optax.tree.norm(theirs) > 0.01
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), ours, theirs)
