"""The variance model of PJS on two CPU cores within an hour; prepare it with --mel 24k_hop256."""

from diffsinger_jax.configs import base, variance_base
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = variance_base.get_config()
    config.name = "pjs_variance"

    config.model.hidden = 96
    config.model.encoder_layers = 2
    config.model.duration_settings.layers = 3
    config.model.duration_settings.hidden = 96
    config.model.melody_settings.width = 96
    config.model.melody_settings.layers = 2
    config.model.pitch_settings = wavenet(channels=64, layers=10)
    config.model.voicing_settings.hidden = 96

    config.buckets = 3
    config.ema_decay = 0.998
    config.log_every_steps = 50
    config.evaluate_every_steps = 1000
    config.save_every_steps = 250
    config.variance.steps = 4000
    config.variance.frames_per_batch = 4096
    config.variance.learning_rate = base.cosine(2e-3, 100, 4000)
    return config


def wavenet(*, channels: int, layers: int) -> ConfigDict:
    """A trunk that is quick on CPUs; it sees 62 frames to each side for every five layers."""
    return ConfigDict(
        {
            "trunk": "wavenet",
            "channels": channels,
            "layers": layers,
            "dilation_cycle": 5,
            "repeats": 16,
        }
    )
