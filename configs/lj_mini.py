"""A part of LJSpeech (some minutes) on two CPU cores, in an hour.

A flow with LYNXNet2, which leaves less noise after minutes than the WaveNet of `lj_diffspeech`.
"""

from diffsinger_jax.configs import base, lj_fastspeech2, openvpi_acoustic, pjs_small
from diffsinger_jax.configs.flow_pjs_small import rectified_flow
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = pjs_small.get_config()
    config.name = "lj_mini"
    config.corpus = "prepared/ljspeech"
    config.dictionary = "none"  # texts bring their phonemes
    lj_fastspeech2.speech(config)
    openvpi_acoustic.lynxnet2(config.model, channels=192, layers=4)
    rectified_flow(config)
    config.sampling.k_step = 0.3  # on validation nearer to recordings than 0.6, see docs/speech.md
    config.sampling.steps = 5
    config.denoiser.t_below = 1.0  # so that it can start from noise alone, too

    config.buckets = 2
    config.stop_after_minutes = 60.0
    config.auxiliary.steps = 20_000  # more than there is time for
    config.auxiliary.frames_per_batch = 2048
    config.auxiliary.learning_rate = base.by_time(2e-3, 150)
    config.denoiser.steps = 20_000
    config.denoiser.frames_per_batch = 2048
    config.denoiser.learning_rate = base.by_time(1.5e-3, 100)
    config.denoiser.weight_decay = 0.02
    config.denoiser.drop_condition = 0.15
    config.denoiser.drop_prior = 0.3
    return config
