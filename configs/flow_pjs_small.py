"""`pjs_small` as a rectified flow: the same size and steps, another process.

Its WaveNet learns the noise of a flow slowly, see docs/sampling.md; lynxnet2.py is far quicker.
"""

from diffsinger_jax.configs import pjs_small
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = pjs_small.get_config()
    config.name = "pjs_flow"
    rectified_flow(config)
    config.model.condition_on_prior = True
    config.denoiser.distance = "l2"
    return config


def rectified_flow(config: ConfigDict, t_start: float = 0.4) -> None:
    """Noise to data on straight lines, from the auxiliary mel at t_start."""
    config.process = "velocity"
    config.schedule = ConfigDict({"name": "straight", "time_scale": 1000.0})
    config.sampling.method = "euler"
    config.sampling.k_step = 1.0 - t_start
    config.sampling.steps = 20
    config.denoiser.t_below = 1.0 - t_start
