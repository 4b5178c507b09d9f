"""DiffGAN-TTS of the voice that ships, on two CPU cores within two hours."""

from diffsinger_jax.configs import diffgan
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = diffgan.get_config()
    config.name = "pjs_diffgan"
    config.corpus = "prepared/pjs"
    config.buckets = 4
    config.ema_decay = 0.998
    config.log_every_steps = 50
    config.evaluate_every_steps = 1000
    config.save_every_steps = 250
    config.diffgan.steps = 3000
    config.diffgan.frames_per_batch = 4096
    config.diffgan.starts_after = 300
    config.diffgan.learning_rate.peak = 1e-3
    config.discriminators.width = 0.5
    return config


def two_stage(config: ConfigDict) -> None:
    """One call from the auxiliary mel after the first of four steps, which it is shown too."""
    config.name = "pjs_diffgan_two_stage"
    config.diffgan.k_step = 1
    config.diffgan.sees_base = True
