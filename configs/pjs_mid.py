"""PJS at hop 128 in a model that fits into 20 MB: the voice to ship once a GPU trains it.

    python data/voices/make_voice.py --config configs/pjs_mid.py --corpus prepared/pjs \
        --workdir workdir/pjs_mid --out data/voices/pjs

By count (6 FLOP a frame for each trained parameter, 2 for each other) some 3e16 FLOP.
"""

from diffsinger_jax.configs import pjs_small
from diffsinger_jax.configs.base import cosine
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = pjs_small.get_config()
    config.model.hidden = 160
    config.model.denoiser_channels = 160
    config.model.denoiser_layers = 14
    config.model.dtype = "bfloat16"

    config.buckets = 6
    config.ema_decay = 0.999
    config.log_every_steps = 100
    config.evaluate_every_steps = 5000
    config.save_every_steps = 2000

    config.auxiliary.steps = 15_000
    config.auxiliary.frames_per_batch = 20_000
    config.auxiliary.learning_rate = cosine(1e-3, 500, 15_000)
    config.boundary.channels = 128
    config.boundary.steps = 10_000
    config.boundary.frames_per_batch = 20_000
    config.boundary.learning_rate = cosine(1e-3, 500, 10_000)
    config.denoiser.steps = 40_000
    config.denoiser.frames_per_batch = 20_000
    config.denoiser.learning_rate = cosine(1e-3, 500, 40_000)
    return config
