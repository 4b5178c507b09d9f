"""A flow with LYNXNet2 on the encoder and auxiliary decoder of the voice that ships.

    diffsinger-jax train --config=pjs_flow --config.corpus=prepared/pjs --workdir=workdir/pjs_flow

Half an hour of two CPU cores is enough to hear it, two hours are better. See docs/voice.md.
"""

from diffsinger_jax.configs import base, flow_pjs_small, openvpi_acoustic
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = flow_pjs_small.get_config()
    config.name = "pjs"
    config.start_from = "pjs"
    config.new_denoiser = True
    openvpi_acoustic.lynxnet2(config.model, channels=192, layers=4)
    regularized(config)
    config.buckets = 2

    config.auxiliary.steps = 0
    config.denoiser.steps = 24_000
    config.denoiser.frames_per_batch = 4096
    config.denoiser.learning_rate = base.cosine(1e-3, 100, 24_000)
    return config


def regularized(config: ConfigDict) -> None:
    """What keeps the denoiser from leaning on what the auxiliary model has learnt by heart."""
    config.sampling.k_step = 0.3
    config.sampling.steps = 10
    config.denoiser.t_below = 1.0  # naive sampling, from noise alone, too
    config.denoiser.crop_frames = 128
    config.denoiser.drop_condition = 0.15
    config.denoiser.drop_prior = 0.3
    config.denoiser.prior_error = 0.5
    config.denoiser.weight_decay = 0.02
