"""A part of LJSpeech (some minutes) on two CPU cores, in an hour."""

from diffsinger_jax.configs import base, lj_fastspeech2, pjs_small
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = pjs_small.get_config()
    config.name = "lj_mini"
    config.corpus = "prepared/ljspeech"
    config.dictionary = "none"  # texts bring their phonemes
    lj_fastspeech2.speech(config)

    config.stop_after_minutes = 60.0
    config.auxiliary.steps = 20_000  # more than there is time for
    config.auxiliary.learning_rate = base.by_time(2e-3, 150)
    config.denoiser.steps = 30_000
    config.denoiser.learning_rate = base.by_time(1.5e-3, 100)
    return config
