"""A flow that samples from noise alone: trained in one stage, cut off, resumed, and sung."""

import jax
import numpy as np
import pytest
from diffsinger_jax.configs import tiny
from random_batches import random_batch

from diffsinger_jax.errors import InputError
from diffsinger_jax.tasks.acoustic.task import train_voice
from diffsinger_jax.voices.voice import load_voice

STEPS = 4


@pytest.fixture
def config(made_up_corpus):
    """LYNXNet2 without auxiliary mel and predictors."""
    config = tiny.get_config().copy_and_resolve_references()
    config.unlock()
    config.corpus, config.process, config.buckets = str(made_up_corpus), "velocity", 1
    config.schedule = {"name": "straight", "time_scale": 1000.0}
    config.sampling.k_step, config.denoiser.t_below = 1, 1
    config.sampling.method, config.sampling.steps = "euler", 2
    config.model.hidden, config.model.heads = 16, 2
    config.model.durations, config.model.pitch, config.model.auxiliary = False, "none", "none"
    config.model.condition_on_prior, config.model.speaker_in_condition = False, True
    config.model.trunk, config.model.stretch = "lynxnet2", True
    config.model.score_inputs, config.model.pitch_input = "durations", "mel_scale"
    config.denoiser.frames_per_batch = 128
    config.songs_shown = 0
    return config


def trained(config, workdir, *stops):
    for steps in stops:
        config.denoiser.steps = steps
        train_voice(config, workdir)
    return load_voice(workdir / "voice")


@pytest.mark.slow
def test_cut_off_and_resumed_is_bitwise_the_undisturbed_run_and_sings(config, tmp_path):
    whole = trained(config, tmp_path / "whole", STEPS)
    parts = trained(config, tmp_path / "parts", STEPS // 2, STEPS)
    jax.tree.map(np.testing.assert_array_equal, whole.params, parts.params)
    assert not (tmp_path / "whole" / "checkpoints" / "auxiliary").exists()
    assert whole.sampling.start == "gaussian" and whole.requires == ("durations", "f0")
    batch = random_batch(rows=1)
    mel = whole.sample_mel(batch, jax.random.split(jax.random.key(0), 1))
    assert np.isfinite(np.asarray(mel)).all()


def test_there_is_no_stage_of_an_auxiliary_mel(config, tmp_path):
    with pytest.raises(InputError, match="no stage auxiliary with config.model.auxiliary"):
        train_voice(config, tmp_path, "auxiliary")
