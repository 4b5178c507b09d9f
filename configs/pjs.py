"""PJS at full size (20 x 256 denoiser, hop 128): for a GPU or TPU."""

from diffsinger_jax.configs import base
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = base.get_config()
    config.name = "pjs"
    config.corpus = "prepared/pjs"
    config.model.dtype = "bfloat16"
    config.auxiliary.steps = 30_000  # 18 minutes of singing are learnt long before 160 000
    config.auxiliary.learning_rate = base.cosine(1e-3, 1000, 30_000)
    return config
