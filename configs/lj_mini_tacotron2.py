"""Tacotron 2 on a part of LJSpeech (some minutes) on two CPU cores, in an hour."""

from diffsinger_jax.configs import glow_tts, tacotron2
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = tacotron2.get_config()
    glow_tts.mini(config)
    config.model.hidden = 128
    config.model.dropout = 0.3
    config.model.reduction = 3
    config.model.decoder_hidden = 256
    config.model.prenet = 64
    config.model.attention = 64
    config.model.filters = 16
    config.model.forward = True
    config.model.postnet_layers = 2
    config.model.postnet_hidden = 128
    config.model.predictor_hidden = 128
    return config
