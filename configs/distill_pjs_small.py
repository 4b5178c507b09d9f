"""A one-call student of the voice that ships, on two CPU cores within an hour."""

from diffsinger_jax.configs import base, distill
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = distill.get_config()
    config.name = "pjs_one_call"
    config.corpus = "prepared/pjs"
    config.distill.method = "reflow"  # the voice that ships is a flow; of a diffusion "consistency"
    config.distill.intervals = 10
    config.buckets = 2
    config.log_every_steps = 50
    config.evaluate_every_steps = 500
    config.save_every_steps = 250
    config.distill.steps = 1500
    config.distill.frames_per_batch = 4096
    config.distill.learning_rate = base.cosine(3e-4, 50, 1500)
    return config
