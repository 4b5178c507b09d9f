"""Students and DiffGANs are trained on shards from a voice, go on where they were, and sing."""

import dataclasses
import shutil

import flax.traverse_util
import numpy as np
import pytest
from diffsinger_jax.configs import diffgan, distill, tiny

from diffsinger_jax.engine.typed_config import as_dict
from diffsinger_jax.engine.workdir import open_workdir
from diffsinger_jax.tasks.acoustic.config import acoustic_config
from diffsinger_jax.tasks.acoustic.task import initial_params, make_voice, open_run
from diffsinger_jax.tasks.diffgan.task import train_diffgan
from diffsinger_jax.tasks.distill.task import train_student
from diffsinger_jax.voices.voice import load_voice, save_voice


@pytest.fixture(scope="module")
def base(made_up_corpus, tmp_path_factory):
    """An untrained voice, to start from."""
    config = tiny.get_config()
    config.corpus = str(made_up_corpus)
    folder = tmp_path_factory.mktemp("base")
    with open_workdir(folder / "run") as workdir:
        run = open_run(acoustic_config(as_dict(config)), workdir)
        voice = make_voice(run.config, run.corpus, initial_params(run))
    save_voice(folder / "voice", dataclasses.replace(voice, name="base"))
    return folder / "voice"


def short(config, section, corpus, base):
    config.corpus, config.start_from = str(corpus), str(base)
    config.buckets, config.songs_shown = 1, 0
    config.save_every_steps, config.log_every_steps = 1, 1
    config[section].steps, config[section].frames_per_batch = 2, 128
    return config


def flat(voice):
    return flax.traverse_util.flatten_dict(dict(voice.params))


@pytest.mark.slow
def test_a_student_goes_on_bit_by_bit_and_leaves_all_but_the_denoiser(
    made_up_corpus, base, tmp_path
):
    config = short(distill.get_config(), "distill", made_up_corpus, base)
    config.distill.intervals = 4
    whole = train_student(config, tmp_path / "whole")
    assert whole.process == "consistency_residual" and whole.sampling.steps == 1
    teacher = flat(load_voice(base))
    changed = {path[0] for path, x in flat(whole).items() if not np.array_equal(x, teacher[path])}
    assert changed == {"denoiser"}
    shutil.copytree(tmp_path / "whole" / "checkpoints", tmp_path / "cut" / "checkpoints")
    shutil.rmtree(tmp_path / "cut" / "checkpoints" / "distill" / "2")
    again = flat(train_student(config, tmp_path / "cut"))
    assert all(np.array_equal(again[path], x) for path, x in flat(whole).items())


@pytest.mark.slow
def test_a_diffgan_is_trained_on_a_voice_and_is_one(made_up_corpus, base, tmp_path):
    config = short(diffgan.get_config(), "diffgan", made_up_corpus, base)
    config.discriminators.width = 1 / 16
    train_diffgan(config, tmp_path)
    voice, teacher = load_voice(tmp_path / "voice"), flat(load_voice(base))
    assert voice.process == "x0" and voice.sampling.steps == 4
    same = {path[0] for path, x in flat(voice).items() if path[0] != "denoiser"}
    assert {"encoder", "auxiliary_decoder"} <= same
    assert all(np.array_equal(x, teacher[p]) for p, x in flat(voice).items() if p[0] in same)
