"""As `pjs_small.py`, with residuals of the auxiliary mel as a Gaussian field; see docs/voice.md.

The denoiser is trained without the condition in most rows and without the auxiliary mel in some:
both are better on songs that the auxiliary model has learnt than on others.
"""

from diffsinger_jax.configs import base, pjs_small
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = pjs_small.get_config()
    config.process = "field"
    config.model.denoiser_channels = 192
    config.model.denoiser_layers = 8
    config.model.dilation_cycle = 4
    config.denoiser.drop_condition = 0.6
    config.denoiser.drop_prior = 0.3
    config.denoiser.weight_decay = 0.05
    config.denoiser.learning_rate = base.cosine(1.5e-3, 100, 3000)
    return config
