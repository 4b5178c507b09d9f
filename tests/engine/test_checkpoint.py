"""Checkpoints that are broken, cut off, or meet a full disk."""

import json
import os
import resource
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import multihost_utils
from tensorboardX.proto.event_pb2 import Event

from diffsinger_jax.engine import checkpoint as checkpoint_module
from diffsinger_jax.engine import writer as writer_module
from diffsinger_jax.engine.checkpoint import SUMS_FILE, Checkpoints
from diffsinger_jax.engine.hosts import PreemptionHandler, join
from diffsinger_jax.engine.sharding import data_mesh, replicated, shard
from diffsinger_jax.engine.writer import Writer
from diffsinger_jax.errors import InputError

# After a write that failed, tensorstore may call back into a loop that Orbax has closed by then; it
# is ignored there, and says so whenever its thread comes to it.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(?s)Exception ignored in.*Event loop is closed:pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(scope="module")
def mesh():
    return data_mesh(jax.devices()[:1])


def state_of(mesh, step):
    numbers = np.random.default_rng(step).normal(size=(64, 64)).astype("f4")
    return shard({"step": np.int32(step), "w": {"x": numbers}}, replicated(mesh))


def write(folder, mesh, *steps, **options):
    checkpoints = Checkpoints(folder, **{"keep": 10, **options})
    for step in steps:
        checkpoints.save(step, state_of(mesh, step))
    checkpoints.close()


def read(folder, mesh):
    checkpoints = Checkpoints(folder, keep=10)
    state = checkpoints.restore(state_of(mesh, 0))
    checkpoints.close()
    np.testing.assert_array_equal(state["w"]["x"], state_of(mesh, int(state["step"]))["w"]["x"])
    return int(state["step"])


def largest_file(folder):
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def flip(path, shard):
    data = bytearray(path.read_bytes())
    data[shard] ^= 0x40
    path.write_bytes(data)


def test_the_last_and_some_between_are_kept(mesh, tmp_path):
    write(tmp_path, mesh, 2, 4, 5, 6, 7, keep=2, keep_every_steps=4)
    assert sorted(int(p.name) for p in tmp_path.iterdir()) == [4, 6, 7]
    assert read(tmp_path, mesh) == 7


def test_flipped_bytes_are_found_and_the_one_before_is_taken(mesh, tmp_path, capsys):
    write(tmp_path, mesh, 1, 2, 3)
    broken = largest_file(tmp_path / "3")
    flip(broken, broken.stat().st_size // 2)
    (tmp_path / "2" / "default" / "_METADATA").unlink()
    assert read(tmp_path, mesh) == 1
    said = capsys.readouterr().out
    assert f"{tmp_path / '3'} is broken: its file default/" in said
    assert f"{tmp_path / '2'} is broken: its file default/_METADATA is missing" in said
    assert said.count("broken:") == 2
    assert (tmp_path / "broken-3").is_dir() and not (tmp_path / "3").exists()
    assert read(tmp_path, mesh) == 1 and "broken" not in capsys.readouterr().out
    write(tmp_path, mesh, 2, 3)  # their numbers are free again
    assert read(tmp_path, mesh) == 3


def test_one_without_sums_is_read_and_one_that_cannot_be_is_not(mesh, tmp_path, capsys):
    write(tmp_path, mesh, 1, 2)
    for step in "12":
        (tmp_path / step / SUMS_FILE).unlink()
    assert read(tmp_path, mesh) == 2
    (tmp_path / "2" / "default" / "_METADATA").write_text("{")
    assert read(tmp_path, mesh) == 1
    (tmp_path / "1" / "default" / "_METADATA").write_text("{")
    with pytest.raises(InputError, match="none of the checkpoints in .* can be read"):
        read(tmp_path, mesh)
    assert (tmp_path / "1").exists()  # nothing is put aside for nothing


def test_only_the_loop_asks_whether_all_processes_stop(mesh, tmp_path, monkeypatch):
    # They stop at one more than the number of the last question, whoever asked it.
    monkeypatch.setattr(multihost_utils, "reached_preemption_sync_point", pytest.fail)
    write(tmp_path, mesh, 1, 2)
    assert read(tmp_path, mesh) == 2


def test_a_save_that_was_cut_off_is_cleared_away(mesh, tmp_path):
    write(tmp_path, mesh, 1)
    cut_off = tmp_path / "2.orbax-checkpoint-tmp"
    (cut_off / "default").mkdir(parents=True)
    assert read(tmp_path, mesh) == 1 and cut_off.exists()  # another may be writing it
    write(tmp_path, mesh, 3)
    assert read(tmp_path, mesh) == 3 and not cut_off.exists()


def test_a_full_disk_is_said_and_training_goes_on(mesh, tmp_path, capsys):
    checkpoints = Checkpoints(tmp_path, keep=10)
    checkpoints.save(1, state_of(mesh, 1))
    checkpoints.finish()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # no file may be longer
    try:
        checkpoints.save(2, state_of(mesh, 2))
        checkpoints.finish()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    said = capsys.readouterr().out
    assert "the checkpoint of step 2 could not be written" in said
    assert "the last good one is of step 1" in said
    assert sorted(os.listdir(tmp_path)) == ["1"]
    checkpoints.save(3, state_of(mesh, 3))
    checkpoints.close()
    assert read(tmp_path, mesh) == 3


def test_a_folder_that_is_away_for_long_is_said_and_training_goes_on(
    mesh, tmp_path, capsys, monkeypatch
):
    def fail(*_, **__):
        raise OSError("the network is away")

    checkpoints = Checkpoints(tmp_path, keep=10)
    checkpoints.save(1, state_of(mesh, 1))
    checkpoints.finish()
    monkeypatch.setattr(checkpoints._manager, "save", fail)
    monkeypatch.setattr(checkpoint_module, "_Manager", fail)
    for step in (2, 3):
        checkpoints.save(step, state_of(mesh, step))
        checkpoints.look()
        said = capsys.readouterr().out
        assert f"step {step} could not be written" in said and "good one is of step 1" in said
    monkeypatch.undo()
    checkpoints.save(4, state_of(mesh, 4))
    checkpoints.close()
    assert read(tmp_path, mesh) == 4 and sorted(os.listdir(tmp_path)) == ["1", "4"]


def test_a_save_that_the_disk_has_no_room_for_is_not_begun(mesh, tmp_path, capsys, monkeypatch):
    checkpoints = Checkpoints(tmp_path, keep=10)
    checkpoints.save(1, state_of(mesh, 1))
    checkpoints.finish()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=500_000))
    checkpoints.save(2, state_of(mesh, 2))
    checkpoints.finish()
    assert "step 2 could not be written" in (said := capsys.readouterr().out)
    assert "it takes 1 MB, the disk has 0 MB left" in said
    assert sorted(os.listdir(tmp_path)) == ["1"]
    monkeypatch.undo()
    checkpoints.save(3, state_of(mesh, 3))
    checkpoints.close()
    assert read(tmp_path, mesh) == 3


def test_a_log_that_cannot_be_written_is_said_once_and_goes_on_later(tmp_path, capsys):
    writer = Writer(tmp_path, "toy", start_step=0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer.numbers(1, {"loss": 1.0})
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        for step in range(2, 30):
            writer.numbers(step, {"loss": 1.0})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    writer.numbers(30, {"loss": 1.0})
    writer.close()
    assert capsys.readouterr().out.count("is not written") == 1
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 30]
    again = Writer(tmp_path, "toy", start_step=7)
    again.close()
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1


def test_events_are_in_files_of_bounded_size(tmp_path, monkeypatch):
    monkeypatch.setattr(writer_module, "EVENTS_FILE_BYTES", 500)
    writer = Writer(tmp_path, "toy", start_step=0)
    for step in range(1, 101):
        writer.numbers(step, {"loss": 1.0})
    writer.close()
    files = sorted((tmp_path / "tensorboard" / "toy").iterdir())
    assert len(files) > 3 and all(file.stat().st_size < 3000 for file in files)
    found = []
    for file in files:
        data = file.read_bytes()
        while data:  # u64 length, its sum, the event, its sum
            length = int.from_bytes(data[:8], "little")
            found.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    assert [x.step for x in found if x.HasField("summary")] == list(range(1, 101))


@pytest.mark.parametrize("how", ["on", "host:1", "host:x,2,0", "host:1,2,0,1", ":1,2,0"])
def test_a_bad_distributed_is_one_sentence(how):
    with pytest.raises(InputError, match="--distributed is off, auto or HOST:PORT,N,I"):
        join(how)


def test_processes_are_numbered_from_0():
    with pytest.raises(InputError, match="process 2 of 2; they are numbered from 0 to 1"):
        join("host:1,2,2")


def test_sigterm_is_seen_once_it_came():
    notice = PreemptionHandler()
    assert not notice.seen()
    os.kill(os.getpid(), 15)
    assert notice.seen()
    notice.close()
    assert jnp.ones(1).sum() == 1  # and we are still here
