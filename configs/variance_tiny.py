"""Seconds on a CPU, and no pitch worth hearing: for tests and for trying the road."""

from diffsinger_jax.configs import base, variance_base, variance_pjs_small
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = variance_base.get_config()
    config.name = "tiny"
    config.corpus = "prepared/pjs_mini"
    config.model.hidden = 16
    config.model.encoder_layers = 1
    for settings in (config.model.duration_settings, config.model.voicing_settings):
        settings.layers = 1
        settings.hidden = 8
    config.model.melody_settings.width = 16
    config.model.melody_settings.layers = 1
    config.model.pitch_settings = variance_pjs_small.wavenet(channels=8, layers=2)
    config.sampling.steps = 2
    config.buckets = 1
    config.log_every_steps = 4
    config.evaluate_every_steps = 8
    config.songs_shown = 1
    config.save_every_steps = 4
    config.variance.steps = 8
    config.variance.frames_per_batch = 2048
    config.variance.learning_rate = base.cosine(1e-3, 2, 8)
    return config
