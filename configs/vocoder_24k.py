"""A vocoder of full size for 24 kHz mels with a hop of 256 samples, as of the shipped voice."""

from diffsinger_jax.configs import vocoder_base
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = vocoder_base.get_config()
    config.name = "nsf_hifigan_24k"
    return config
