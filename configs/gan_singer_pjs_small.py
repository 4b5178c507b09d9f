"""`pjs_small`'s auxiliary model as a GAN-Singer: the same size and steps."""

from diffsinger_jax.configs import gan_singer, pjs_small
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = pjs_small.get_config()
    config.name = "pjs_gan"
    gan_singer.gan_singer(config)
    config.discriminators.channels = 32
    config.discriminators.starts_after = 300
    return config
