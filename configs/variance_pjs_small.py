"""The variance model of the voice that ships: PJS, an hour and a half of one CPU core.

Prepare it with --mel 24k_hop256. Twenty minutes of one singer want a small model and much dropout.
"""

from diffsinger_jax.configs import base, variance_base
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = variance_base.get_config()
    config.name = "pjs_variance"

    config.model.hidden = 64
    config.model.encoder_layers = 2
    config.model.dropout = 0.2
    config.model.duration_settings.layers = 3
    config.model.duration_settings.hidden = 64
    config.model.duration_settings.dropout = 0.3
    config.model.melody_settings.width = 64
    config.model.melody_settings.layers = 2
    config.model.melody_settings.dropout = 0.2
    config.model.pitch_settings = wavenet(channels=64, layers=10)
    config.model.voicing_settings.hidden = 64

    config.buckets = 2
    config.ema_decay = 0.995
    config.stop_after_minutes = 90.0
    config.log_every_steps = 20
    config.evaluate_every_steps = 1000
    config.save_every_steps = 100
    config.variance.steps = 20_000
    config.variance.frames_per_batch = 3840
    config.variance.learning_rate = base.by_time(2e-3, 50)
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
