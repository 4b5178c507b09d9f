"""`flow_pjs_small` with the networks of openvpi/DiffSinger's newest models, at a small size."""

from diffsinger_jax.configs import flow_pjs_small, openvpi_acoustic
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = flow_pjs_small.get_config()
    config.name = "pjs_lynxnet2"
    openvpi_acoustic.lynxnet2(config.model, channels=192, layers=4)
    openvpi_acoustic.convnext(config.model, channels=128, layers=3)
    config.model.stretch = True
    return config
