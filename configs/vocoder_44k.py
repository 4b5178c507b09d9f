"""A vocoder of openvpi's size and mel: 44.1 kHz, 128 bins, a hop of 512 samples."""

from diffsinger_jax.configs import vocoder_base
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = vocoder_base.get_config()
    config.name = "nsf_hifigan_44k"
    config.unvoiced = "filled"
    config.generator.upsample_rates = (8, 8, 2, 2, 2)
    config.generator.upsample_kernels = (16, 16, 4, 4, 4)
    config.vocoder.mel_views = ((512, 40), (1024, 80), (2048, 128), (4096, 256))
    return config
