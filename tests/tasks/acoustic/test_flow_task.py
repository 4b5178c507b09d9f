"""Flows by LYNXNet2, from noise alone and from ConvNeXt's mel: cut off, resumed, and sung."""

import shutil

import jax
import numpy as np
import pytest
from diffsinger_jax.configs import flow_pjs_small, tiny
from random_batches import random_batch

from diffsinger_jax.errors import InputError
from diffsinger_jax.evaluation.boundary import find_boundary
from diffsinger_jax.tasks.acoustic.task import train_voice

STEPS = 4


@pytest.fixture(params=["none", "convnext"])
def config(made_up_corpus, request):
    """LYNXNet2 without predictors, alone or behind an auxiliary decoder."""
    config = tiny.get_config().copy_and_resolve_references()
    config.unlock()
    config.corpus, config.process, config.buckets = str(made_up_corpus), "velocity", 1
    config.schedule = {"name": "straight", "time_scale": 1000.0}
    with config.ignore_type():
        config.sampling.k_step = config.denoiser.t_below = 1 if request.param == "none" else 0.6
    config.sampling.method, config.sampling.steps = "euler", 2
    config.model.hidden, config.model.heads = 16, 2
    config.model.durations, config.model.pitch = False, "none"
    config.model.auxiliary = request.param
    config.model.condition_on_prior, config.model.speaker_in_condition = False, True
    config.model.trunk, config.model.stretch = "lynxnet2", True
    config.model.score_inputs, config.model.pitch_input = "durations", "mel_scale"
    if request.param == "convnext":
        config.model.auxiliary_settings = {"channels": 8, "layers": 1}
    config.auxiliary.steps = config.denoiser.steps = STEPS
    config.save_every_steps = STEPS // 2
    config.auxiliary.frames_per_batch = config.denoiser.frames_per_batch = 128
    config.songs_shown = 0
    return config


def require_it_sings(voice):
    assert voice.requires == ("durations", "f0")
    mel = voice.sample_mel(random_batch(rows=1), jax.random.split(jax.random.key(0), 1))
    assert np.isfinite(np.asarray(mel)).all()


@pytest.mark.slow
@pytest.mark.parametrize("config", ["convnext"], indirect=True)
def test_cut_off_and_resumed_is_bitwise_the_undisturbed_run_and_sings(config, tmp_path, capsys):
    whole = train_voice(config, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole" / "checkpoints", tmp_path / "parts" / "checkpoints")
    for last in (tmp_path / "parts" / "checkpoints").glob(f"*/{STEPS}"):
        shutil.rmtree(last)
    capsys.readouterr()
    parts = train_voice(config, tmp_path / "parts")
    assert f"stage denoiser: steps {STEPS // 2} to {STEPS};" in capsys.readouterr().out
    jax.tree.map(np.testing.assert_array_equal, whole.params, parts.params)
    assert whole.sampling.start == "auxiliary"
    require_it_sings(whole)


@pytest.mark.slow
@pytest.mark.parametrize("config", ["none"], indirect=True)
def test_without_an_auxiliary_mel_it_sings_from_noise(config, tmp_path):
    voice = train_voice(config, tmp_path)
    assert not (tmp_path / "checkpoints" / "auxiliary").exists()
    assert voice.sampling.start == "gaussian"
    require_it_sings(voice)


@pytest.mark.parametrize("config", ["none"], indirect=True)
def test_there_is_no_stage_of_an_auxiliary_mel(config, tmp_path):
    with pytest.raises(InputError, match="no stage auxiliary with config.model.auxiliary"):
        train_voice(config, tmp_path, "auxiliary")


def test_a_flow_has_no_step_that_the_boundary_could_be(tmp_path):
    kept = flow_pjs_small.get_config().to_json_best_effort()
    (tmp_path / "config.json").write_text(kept)
    with pytest.raises(InputError, match="trains a flow, which has no step K"):
        find_boundary(tmp_path)
