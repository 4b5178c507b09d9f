"""Opencpop with the reference's hyperparameters (its MIDI cascade, ds60_rel)."""

from diffsinger_jax.configs import base
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = base.get_config()
    config.name = "opencpop"
    config.corpus = "prepared/opencpop"
    config.dictionary = "none"  # the scores bring their phonemes
    config.auxiliary.frames_per_batch = 40_000
    config.denoiser.frames_per_batch = 40_000
    config.denoiser.t_below = 60
    config.sampling.k_step = 60
    config.sampling.steps = 60
    return config
