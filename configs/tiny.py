"""Seconds on a CPU, and sings nothing worth hearing: for tests and for trying the road."""

from diffsinger_jax.configs import base
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = base.get_config()
    config.name = "tiny"
    config.corpus = "prepared/pjs_mini"

    config.model.hidden = 32
    config.model.encoder_layers = 1
    config.model.decoder_layers = 1
    config.model.kernel_size = 3
    config.model.predictor_layers = 1
    config.model.predictor_hidden = 16
    config.model.denoiser_channels = 16
    config.model.denoiser_layers = 2
    config.model.condition_on_prior = True

    config.process = "residual"
    config.sampling.k_step = 8
    config.sampling.steps = 4
    config.buckets = 1
    config.log_every_steps = 5
    config.evaluate_every_steps = 20
    config.songs_shown = 1
    config.save_every_steps = 5

    config.boundary.channels = 16
    config.boundary.layers = 2
    for stage in (config.auxiliary, config.boundary, config.denoiser):
        stage.steps = 20
        stage.frames_per_batch = 2048
        stage.learning_rate = base.cosine(1e-3, 5, 20)
    return config
