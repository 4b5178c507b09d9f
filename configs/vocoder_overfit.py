"""A small vocoder learns one song by heart, in half an hour on one CPU core."""

from diffsinger_jax.configs import base, vocoder_base
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = vocoder_base.get_config()
    config.name = "overfit"
    config.generator.channels = 128
    config.generator.upsample_rates = (8, 8, 4)
    config.generator.upsample_kernels = (16, 16, 8)
    config.generator.resblock = "2"
    config.generator.resblock_kernels = (3, 5, 7)
    config.generator.resblock_dilations = ((1, 2), (2, 6), (3, 12))
    config.discriminators.periods = (2, 3, 5)
    config.discriminators.scales = 0
    config.discriminators.n_ffts = (512, 1024)
    config.discriminators.width = 1 / 8

    config.vocoder.steps = 12_000
    config.vocoder.rows = 2  # a song is some 800 frames: many small steps learn more
    config.vocoder.frames = 32
    config.vocoder.most_semitones = 0.0
    config.vocoder.adversarial_after = 11_400  # a step then takes five times as long
    config.vocoder.optimizer = "muon"  # as far in 900 steps as AdamW in 1500, which take longer
    config.vocoder.learning_rate = base.cosine(1e-3, 100, 12_000)
    config.log_every_steps = 100
    config.evaluate_every_steps = 4000
    config.save_every_steps = 500
    return config
