"""Runs whose workdir is in a bucket: what is copied when, what is whole, and the same training."""

import json
from importlib.util import find_spec
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fake_bucket import OBJECTS, REFUSED, serving

from diffsinger_jax.engine import workdir as workdir_module
from diffsinger_jax.engine.checkpoint import Checkpoints
from diffsinger_jax.engine.loop import RunContext, TrainTask, train
from diffsinger_jax.engine.run_config import MeshConfig, RunConfig
from diffsinger_jax.engine.sharding import batch_sharded, data_mesh, global_batch, replicated, shard
from diffsinger_jax.engine.workdir import Workdir, open_workdir
from diffsinger_jax.engine.writer import METRICS_FILE
from diffsinger_jax.errors import InputError

pytestmark = pytest.mark.skipif(bool(find_spec("tensorflow")), reason="epath asks TensorFlow first")
RUN = "gs://bucket/run"


@pytest.fixture(scope="module")
def server():
    with serving():
        yield


@pytest.fixture
def bucket(server):
    OBJECTS.clear()
    REFUSED.clear()


def names(prefix="bucket/run/"):
    return {name.removeprefix(prefix) for name in OBJECTS if name.startswith(prefix)}


def test_a_folder_is_its_own_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_workdir("here") as workdir:
        assert workdir.folder == tmp_path / "here" and not workdir.folder.exists()
        assert str(workdir) == str(tmp_path / "here")
        assert workdir.checkpoints == tmp_path / "here" / "checkpoints"
        workdir.copy()
        workdir.copy_soon()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("given", ["s3://bucket/run", "gs://bucket", "gs://bucket/", "http://x/y"])
def test_other_places_are_refused(given):
    with pytest.raises(InputError, match=f"--workdir {given} is neither a folder nor gs://BUCKET"):
        with open_workdir(given):
            pass


def test_what_reaches_buckets_is_asked_for_by_its_name():
    if find_spec("gcsfs"):
        pytest.skip("this would go to the network")
    with pytest.raises(InputError, match=r"gs://bucket/run needs gcsfs.*pip install gcsfs"):
        with open_workdir(RUN):
            pass


def test_small_files_come_back_and_only_changed_ones_are_copied(bucket):
    with open_workdir(RUN) as workdir:
        assert not list(workdir.folder.iterdir()) and str(workdir) == RUN
        assert str(workdir.checkpoints / "auxiliary") == f"{RUN}/checkpoints/auxiliary"
        for name in ("pictures", "checkpoints", "voice"):
            (workdir.folder / name).mkdir()
        (workdir.folder / "pictures" / "mel.png").write_bytes(b"\x89PNG")
        (workdir.folder / "checkpoints" / "prior_scale.json").write_text("[1.0]")
        (workdir.folder / "voice" / "params.safetensors").write_bytes(b"w")
        (workdir.folder / "config.json").write_text("{}")
        (workdir.folder / ".config.7.partial.json").write_text("{")
        workdir.copy()
        assert len(names()) == 4 and not any(".partial" in name for name in names())
        generations = {name: generation for name, (_, generation) in OBJECTS.items()}
        (workdir.folder / METRICS_FILE).write_text("1\n")
        workdir.copy_soon()
    assert (
        generations.items()
        <= {name: generation for name, (_, generation) in OBJECTS.items()}.items()
    )
    assert not workdir.folder.exists()
    with open_workdir(f"{RUN}/") as workdir:
        there = {p.relative_to(workdir.folder).as_posix() for p in workdir.folder.rglob("*.*")}
        assert there == {"checkpoints/prior_scale.json", "config.json", METRICS_FILE}
        with (workdir.folder / METRICS_FILE).open("a") as file:
            file.write("2\n")
    assert OBJECTS[f"bucket/run/{METRICS_FILE}"][0] == b"1\n2\n"
    assert OBJECTS["bucket/run/config.json"][1] == generations["bucket/run/config.json"]


def test_what_stands_for_a_folder_is_copied_last(bucket):
    with open_workdir(RUN) as workdir:
        (workdir.folder / "voice").mkdir()
        for name in ("z", "voice.json"):
            (workdir.folder / "voice" / name).write_text(name)
        workdir.copy()
    assert OBJECTS["bucket/run/voice/voice.json"][1] > OBJECTS["bucket/run/voice/z"][1]


def test_a_bucket_that_takes_nothing_is_said_once_and_tried_again(bucket, capsys):
    with open_workdir(RUN) as workdir:
        REFUSED.append("run/")
        (workdir.folder / METRICS_FILE).write_text("1\n")
        for _ in range(3):
            workdir.copy_soon()
            workdir._mirror._copying.result()
        with pytest.raises(InputError, match="cannot write to --workdir gs://bucket/run .no stor"):
            workdir.copy()
        REFUSED.clear()
    assert capsys.readouterr().out.count("nothing can be copied to gs://bucket/run (no stor") == 1
    assert names() == {METRICS_FILE}


def test_a_bucket_that_cannot_be_read_is_one_sentence(bucket, monkeypatch):
    def refuse(*_, **__):
        raise ValueError(
            "Anonymous caller does not have storage.objects.list access\nat great length"
        )

    monkeypatch.setattr("fake_bucket.FakeGcs.ls", refuse)
    with pytest.raises(InputError, match=r"cannot read --workdir gs://bucket/run \(.* access\); "):
        with open_workdir(RUN):
            pass


def test_only_the_first_process_copies(bucket, monkeypatch):
    monkeypatch.setattr(workdir_module, "is_primary", lambda: False)
    with open_workdir(RUN) as workdir:
        (workdir.folder / "config.json").write_text("{}")
        workdir.copy()
        workdir.copy_soon()
    assert not OBJECTS


def state_of(step):
    numbers = np.random.default_rng(step).normal(size=(64, 64)).astype("f4")
    return shard({"step": np.int32(step), "w": numbers}, replicated(data_mesh(jax.devices()[:1])))


def save(*steps, keep=10):
    checkpoints = Checkpoints(Workdir(None, _Named()).checkpoints / "toy", keep=keep)
    for step in steps:
        checkpoints.save(step, state_of(step))
    checkpoints.close()


def restored():
    checkpoints = Checkpoints(Workdir(None, _Named()).checkpoints / "toy", keep=10)
    state = checkpoints.restore(state_of(0))
    checkpoints.close()
    np.testing.assert_array_equal(state["w"], state_of(int(state["step"]))["w"])
    return int(state["step"])


class _Named:
    url = RUN


def saved():
    return {name.split("/")[0] for name in names("bucket/run/checkpoints/toy/")}


COMMIT = "bucket/run/checkpoints/toy/{}/commit_success.txt"


def test_checkpoints_are_kept_in_the_bucket_alone(bucket):
    save(1, 2, 3, keep=2)
    assert saved() == {"2", "3"} and COMMIT.format(3) in OBJECTS
    assert restored() == 3


def test_one_that_was_cut_off_is_not_taken_and_gives_way(bucket):
    save(1, 2, 3)
    for step in (2, 3):
        del OBJECTS[COMMIT.format(step)]
    assert restored() == 1 and saved() == {"1", "2", "3"}  # another may be writing them
    save(3)
    assert restored() == 3 and saved() == {"1", "3"}


def test_a_broken_one_is_put_aside(bucket, capsys):
    save(1, 2, 3)
    toy = "bucket/run/checkpoints/toy"
    data, largest = max(
        ((x, n) for n, (x, _) in OBJECTS.items() if f"{toy}/3/" in n), key=lambda x: len(x[0])
    )
    data = bytearray(data)
    data[len(data) // 2] ^= 0x40
    OBJECTS[largest] = bytes(data), 0
    del OBJECTS[f"{toy}/2/default/_METADATA"]
    assert restored() == 1
    said = capsys.readouterr().out
    assert f"{RUN}/checkpoints/toy/3 is broken: its file default/" in said
    assert f"{RUN}/checkpoints/toy/2 is broken: its file default/_METADATA is missing" in said
    assert saved() == {"1", "broken-2", "broken-3"}
    save(2)
    assert restored() == 2


def test_a_save_that_the_bucket_refuses_is_said_and_training_goes_on(bucket, capsys):
    checkpoints = Checkpoints(f"{RUN}/checkpoints/toy", keep=10)
    checkpoints.save(1, state_of(1))
    checkpoints.finish()
    REFUSED.append("toy/2/commit_success.txt")
    checkpoints.save(2, state_of(2))
    checkpoints.finish()
    assert "the checkpoint of step 2 could not be written" in (said := capsys.readouterr().out)
    assert "the last good one is of step 1" in said
    REFUSED.clear()
    checkpoints.save(3, state_of(3))
    checkpoints.close()
    assert restored() == 3 and saved() == {"1", "3"}


CONFIG = RunConfig(
    kind="toy",
    name="toy",
    seed=0,
    start_from="",
    ema_decay=0.9,
    read_threads=1,
    microbatches=1,
    mesh=MeshConfig(fsdp=1),
    peak_flops=0.0,
    stop_after_nonfinite=3,
    stop_after_minutes=0.0,
    log_every_steps=2,
    evaluate_every_steps=6,
    songs_shown=0,
    save_every_steps=2,
    save_every_minutes=0.0,
    keep_checkpoints=2,
    keep_every_steps=0,
)


class ToyShape(NamedTuple):
    rows: int
    frames: int


class ToyState(NamedTuple):
    step: Any
    w: Any


def toy_task(mesh, *, lost_at=None):
    """Adds up numbers that depend on the step; at `lost_at` its batches end as a killed host's."""

    def update(state, fixed, batch, progress):
        w = 0.9 * state.w + batch.sum(axis=0) * fixed
        return ToyState(state.step + 1, w), {"loss": w.sum(), "skipped": jnp.float32(0)}

    def batches(done):
        for step in range(done + 1, 7):
            if step == lost_at:
                raise ConnectionError("lost")
            yield global_batch(mesh, np.random.default_rng(step).normal(size=(1, 3)).astype("f4"))

    return TrainTask(
        name="toy",
        steps=6,
        start=lambda: shard(ToyState(np.int32(0), np.zeros(3, "f4")), replicated(mesh)),
        fixed=shard(np.float32(0.5), replicated(mesh)),
        update=update,
        learning_rate=lambda step, progress: 0.1,
        weights={},
        shapes={
            ToyShape(1, 1): jax.ShapeDtypeStruct((1, 3), jnp.float32, sharding=batch_sharded(mesh))
        },
        shape_of=lambda step: ToyShape(1, 1),
        batches=batches,
        frames_of=lambda step: 1,
        names_of=lambda step: "",
        describe=lambda programs, done: None,
        evaluate=lambda step, state, writer: writer.numbers(step, {"validation": 1.0}),
    )


def test_a_run_in_a_bucket_cut_off_and_resumed_is_the_run_in_a_folder(bucket, tmp_path):
    mesh = data_mesh(jax.devices()[:1])
    whole = train(toy_task(mesh), RunContext(CONFIG, Workdir(tmp_path), mesh))
    with pytest.raises(ConnectionError), open_workdir(RUN) as workdir:
        train(toy_task(mesh, lost_at=6), RunContext(CONFIG, workdir, mesh))
    assert METRICS_FILE in names() and saved() == {"2", "4"}
    with open_workdir(RUN) as workdir:
        again = train(toy_task(mesh), RunContext(CONFIG, workdir, mesh))
    np.testing.assert_array_equal(again.w, whole.w)

    def steps(text):
        return [x["step"] for x in map(json.loads, text.splitlines()) if "loss" in x]

    there = OBJECTS[f"bucket/run/{METRICS_FILE}"][0].decode()
    assert steps(there) == steps((tmp_path / METRICS_FILE).read_text()) == [2, 4, 6]
    assert saved() == {"4", "6"} and any("tensorboard/toy/events" in name for name in names())
