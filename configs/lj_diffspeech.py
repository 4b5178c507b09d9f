"""DiffSpeech on LJSpeech with the paper's sizes: FastSpeech 2, then the denoiser below K = 71."""

from diffsinger_jax.configs import lj_fastspeech2
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = lj_fastspeech2.get_config()
    config.sampling.k_step = 71
    config.sampling.steps = 71
    config.denoiser.t_below = 71
    config.denoiser.steps = 160_000
    config.denoiser.frames_per_batch = 32_000
    return config
