"""Seconds on a CPU, and no sound worth hearing: for tests and for trying the road."""

from diffsinger_jax.configs import base, vocoder_base
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = vocoder_base.get_config()
    config.name = "tiny"
    config.generator.channels = 8
    config.generator.upsample_rates = (16, 16)
    config.generator.upsample_kernels = (16, 16)
    config.generator.resblock = "2"
    config.generator.resblock_kernels = (3,)
    config.generator.resblock_dilations = ((1, 2),)
    config.generator.source = "sine"
    config.discriminators.periods = (3,)
    config.discriminators.scales = 0
    config.discriminators.n_ffts = ()
    config.discriminators.width = 1 / 8

    config.vocoder.steps = 4
    config.vocoder.rows = 2
    config.vocoder.frames = 8
    config.vocoder.mel_views = ((256, 20),)
    config.vocoder.learning_rate = base.cosine(1e-3, 1, 10)
    config.log_every_steps = 1
    config.evaluate_every_steps = 4
    config.evaluate_pieces = 2
    config.evaluate_frames = 16
    config.songs_shown = 1
    config.save_every_steps = 2
    return config
