"""What earlier versions wrote is read, and training goes on from it; see tests/fixtures."""

import json
import tarfile
from pathlib import Path

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from random_batches import random_batch

from diffsinger_jax.evaluation.boundary import read_config
from diffsinger_jax.old_names import ADDED, FIELDS, completed, renamed, renamed_flag
from diffsinger_jax.tasks.acoustic.task import train_voice
from diffsinger_jax.tasks.vocoder.task import train_vocoder
from diffsinger_jax.voices.vocoder import load_vocoder
from diffsinger_jax.voices.voice import load_voice

ARCHIVE = Path(__file__).resolve().parents[1] / "fixtures" / "old_runs.tar.xz"


@pytest.fixture
def old_runs(tmp_path, monkeypatch):
    """The folder that they were written in: their paths are relative to it."""
    with tarfile.open(ARCHIVE) as archive:
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # since 3.11.4
        archive.extractall(tmp_path, **safely)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def require_close(params, file):
    """A step that was lost or done twice moves params by some 1e-3."""
    expected = np.load(file)
    found = flatten_dict(jax.tree.map(np.asarray, dict(params)), sep="/")
    assert found.keys() == set(expected.files)
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("name,train", [("acoustic", train_voice), ("vocoder", train_vocoder)])
def test_a_run_that_was_cut_off_goes_on(old_runs, capsys, name, train):
    workdir = old_runs / f"{name}_workdir"
    config = completed(json.loads((workdir / "config.json").read_text()))
    assert config["microbatches"] == 2
    trained = train(config, workdir)
    assert ": steps 3 to 6" in capsys.readouterr().out
    require_close(trained.params, old_runs / f"{name}_expected.npz")


def test_a_voice_sings_as_it_did(old_runs):
    voice = load_voice(old_runs / "voice")
    assert voice.model["unmasked_convs"] and voice.sampling.start == "auxiliary"
    expected = np.load("voice_expected.npz")
    mel = voice.sample_mel(random_batch(), jax.random.split(jax.random.key(0), 3))
    real = expected["mask"]
    np.testing.assert_allclose(np.asarray(mel)[real], expected["mel"][real], atol=1e-4)


def test_a_vocoder_and_a_workdir_are_read(old_runs):
    assert load_vocoder(old_runs / "vocoder").model["channels"] == 4
    assert read_config(old_runs / "acoustic_workdir").microbatches == 2


def test_old_names_of_fields_values_and_flags():
    old = {"row_groups": 4, "model": {"sees_padding": True}, "sampling": {"start": "blurry"}}
    now = {"microbatches": 4, "model": {"unmasked_convs": True}, "sampling": {"start": "auxiliary"}}
    assert renamed(old) == now and renamed(now) == now
    assert old["row_groups"] == 4  # left as it was
    assert not set(FIELDS) & set(FIELDS.values())
    assert renamed_flag("--config.row_groups=8") == "--config.microbatches=8"
    assert renamed_flag("--config.sampling.start=blurry") == "--config.sampling.start=auxiliary"
    assert renamed_flag("--workdir=row_groups") == "--workdir=row_groups"


def test_fields_that_came_later_are_what_a_run_trained_with():
    config = completed({"auxiliary": {"steps": 3}})
    assert config["kind"] == "acoustic" and config["auxiliary"]["optimizer"] == "adamw"
    assert config["mesh"] == {"fsdp": 1} and "vocoder" not in config
    assert all(value is not None for value in ADDED.values())
    assert "freeze" not in completed({"kind": "vocoder"})
