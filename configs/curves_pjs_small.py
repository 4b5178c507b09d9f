"""`lynxnet2` that is told of energy, breath, tension, gender and velocity.

Prepare PJS with --mel 24k_hop256 --curves energy breathiness tension --key_shift -5 5 and
--speed 0.5 2.
"""

from diffsinger_jax.configs import lynxnet2
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = lynxnet2.get_config()
    config.name = "pjs_curves"
    config.model.curves = ("energy", "breathiness", "tension", "key_shift", "speed")
    return config
