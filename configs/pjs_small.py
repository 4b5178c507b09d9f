"""PJS at hop 256 on two CPU cores, within an hour or two; prepare it with --mel 24k_hop256."""

from diffsinger_jax.configs import base
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = base.get_config()
    config.name = "pjs"
    config.corpus = "prepared/pjs"

    config.model.hidden = 128
    config.model.encoder_layers = 3
    config.model.decoder_layers = 3
    config.model.kernel_size = 5
    config.model.predictor_layers = 3
    config.model.predictor_hidden = 128
    config.model.predictor_dropout = 0.3
    config.model.denoiser_channels = 128
    config.model.denoiser_layers = 10
    config.model.condition_on_prior = True

    config.process = "residual"
    config.sampling.k_step = 25
    config.sampling.steps = 13
    config.buckets = 4
    config.ema_decay = 0.998
    config.log_every_steps = 50
    config.evaluate_every_steps = 1000
    config.save_every_steps = 250

    config.auxiliary.steps = 1500
    config.auxiliary.frames_per_batch = 4096
    config.auxiliary.learning_rate = base.cosine(2e-3, 150, 1500)
    config.auxiliary.weight_decay = 0.0
    config.boundary.channels = 64
    config.boundary.layers = 4
    config.boundary.steps = 600
    config.boundary.frames_per_batch = 2048
    config.boundary.learning_rate = base.cosine(3e-3, 30, 600)
    config.denoiser.steps = 3000
    config.denoiser.frames_per_batch = 4096
    config.denoiser.distance = "l2"
    config.denoiser.learning_rate = base.cosine(1.5e-3, 100, 3000)
    return config
