"""Glow-TTS on a part of LJSpeech (some minutes) on two CPU cores, in an hour."""

from diffsinger_jax.configs import glow_tts
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = glow_tts.get_config()
    glow_tts.mini(config)
    config.model.hidden = 128
    config.model.encoder_layers = 3
    config.model.predictor_hidden = 128
    config.model.flow_blocks = 6
    config.model.flow_hidden = 96
    config.model.flow_layers = 3
    config.model.search = "mel"
    config.model.alignment_prior = 1.0
    return config
