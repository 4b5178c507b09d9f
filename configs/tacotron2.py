"""Tacotron 2 with the paper's sizes; it needs no alignments."""

from diffsinger_jax.configs import glow_tts
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    weights = {"mel": 1.0, "stop": 1.0, "diagonal": 1.0, "pitch": 0.1, "voicing": 0.1}
    config = glow_tts.speech("tacotron2", weights)
    config.model.hidden = 512  # H
    config.model.encoder_layers = 3
    config.model.kernel_size = 5
    config.model.dropout = 0.5
    config.model.reduction = 1  # frames of a step
    config.model.decoder_hidden = 1024
    config.model.prenet = 256
    config.model.attention = 128
    config.model.filters = 32  # of the convolution over where attention has been
    config.model.forward = False  # attention as the paper's; True: forward only, learnt far sooner
    config.model.postnet_layers = 4
    config.model.postnet_hidden = 512
    config.model.predictor_layers = 2
    config.model.predictor_hidden = 256
    config.model.predictor_dropout = 0.1
    return config
