"""A part of LJSpeech (some minutes) on two CPU cores, within about an hour."""

from diffsinger_jax.configs import lj_fastspeech2, pjs_small
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = pjs_small.get_config()
    config.name = "lj_mini"
    config.corpus = "prepared/ljspeech"
    config.dictionary = "none"  # texts bring their phonemes
    lj_fastspeech2.speech(config)
    return config
