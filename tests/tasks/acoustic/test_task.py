"""The training program: whole, killed and resumed, and in its static shapes."""

import functools
import json
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from random_batches import SPEC, random_example
from torture import STAGES, Kill, Training, require_same, torture
from toy_stage import toy_loss, toy_params

from diffsinger_jax.engine.state import create_state
from diffsinger_jax.engine.supervised import train_step
from diffsinger_jax.pipeline.collate import collate
from diffsinger_jax.pipeline.plan import BatchPlan, make_buckets
from diffsinger_jax.voices.voice import load_voice

ROOT = Path(__file__).resolve().parents[3]


SMALL_BATCHES = [f"--config.{stage}.frames_per_batch=128" for stage in STAGES]


@pytest.fixture(scope="module")
def undisturbed(made_up_corpus, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("undisturbed")
    Training(made_up_corpus, workdir, SMALL_BATCHES).finish()
    return workdir


@pytest.mark.slow
def test_training_leaves_a_voice_numbers_and_pictures(undisturbed):
    voice = load_voice(undisturbed / "voice")
    assert voice.name == "tiny" and voice.info.vocabulary.phonemes == tuple("abcdefgh")
    lines = [json.loads(x) for x in (undisturbed / "metrics.jsonl").read_text().splitlines()]
    for stage, loss in (("auxiliary", "mel_l1"), ("denoiser", "diffusion")):
        of_stage = [line for line in lines if line["stage"] == stage]
        assert [x["step"] for x in of_stage if "frames_per_sec" in x] == [5, 10, 15, 20]
        assert all(np.isfinite(x["loss"]) for x in of_stage if "loss" in x)
        assert any(f"validation_{loss}" in x for x in of_stage)
        assert all("learning_rate" in x for x in of_stage if "loss" in x)
        assert all(x["compiles"] == 0 for x in of_stage if "loss" in x)
    assert list((undisturbed / "pictures").glob("denoiser_000020_mel_*.png"))
    assert list((undisturbed / "tensorboard").rglob("events*"))


@pytest.mark.slow
def test_killed_and_started_again_is_bitwise_the_undisturbed_run(
    made_up_corpus, undisturbed, tmp_path
):
    workdir = tmp_path / "tortured"
    kills = [Kill(signal.SIGKILL, True, 1, 0.0), Kill(signal.SIGTERM, False, 1, 0.0)]
    # Pictures change nothing.
    torture(made_up_corpus, workdir, kills, [*SMALL_BATCHES, "--config.songs_shown=0"])
    require_same(undisturbed, workdir)
    steps = []
    for folder in (undisturbed, workdir):
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        steps.append([x["step"] for x in map(json.loads, lines) if "loss" in x])
    # A SIGTERM logs where it stops; else the lines are those of one run.
    assert [step for step in steps[1] if step % 5 == 0] == steps[0]


def test_flags_that_do_not_fit_are_one_sentence(tmp_path):
    def error(*flags):
        done = subprocess.run(
            [sys.executable, "run_train.py", *flags], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
        assert not (tmp_path / "work").exists()
        return done.stderr

    workdir = f"--workdir={tmp_path / 'work'}"
    assert "no_such_field" in error("--config=configs/tiny.py", "--config.no_such_field=1", workdir)
    assert "configs that ship are" in error()
    tiny = "--config=configs/tiny.py"
    assert "START:STOP" in error(tiny, "--profile=5", workdir)
    assert "HOST:PORT,N,I" in error(tiny, "--distributed=yes", workdir)
    assert "nowhere" in error("--config=configs/tiny.py", "--config.corpus=nowhere", workdir)


def test_one_compile_for_each_bucket():
    rng = np.random.default_rng(0)
    examples = [random_example(rng, longest=n) for n in (4, 4, 8, 8, 12, 12) * 3]
    lengths = np.asarray([len(e["f0"]) for e in examples])
    buckets = make_buckets(
        lengths,
        np.full(len(examples), 7),
        bucket_edges=(24, 48, 96),
        frames_per_batch=200,
    )
    plan = BatchPlan(lengths, buckets, seed=0)

    optimizer = optax.sgd(1e-3)
    state = create_state(jax.tree.map(jnp.asarray, toy_params()), optimizer)
    step = jax.jit(
        functools.partial(train_step, loss_fn=toy_loss(), optimizer=optimizer, ema_decay=0.9)
    )
    for number in range(2 * plan.batches_per_epoch):
        planned = plan[number]
        rows = [examples[i] if i >= 0 else None for i in planned.indices]
        batch = collate(rows, planned.bucket, SPEC.n_mels)
        state, _ = step(state, {}, batch, jax.random.key(0))
    assert step._cache_size() == len(buckets)
