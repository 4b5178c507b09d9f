"""FastSpeech 2 on LJSpeech: DiffSpeech's first stage alone.

Prepare it with --mel 22k_hop256 --curves energy.
"""

from diffsinger_jax.configs import base
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = base.get_config()
    config.name = "lj"
    config.corpus = "prepared/ljspeech"
    config.dictionary = "none"  # texts bring their phonemes
    speech(config)
    config.model.pitch_input = "bins"  # as the reference: 256 of log-like width

    config.auxiliary.steps = 120_000
    config.auxiliary.frames_per_batch = 32_000
    config.sampling.k_step = 0  # the auxiliary mel is what is heard
    config.sampling.steps = 1
    config.denoiser.steps = 0
    return config


def speech(config: ConfigDict) -> None:
    """What a model that speaks has beside one that sings: phonemes alone, and pitch of its own."""
    config.model.score_inputs = "phonemes"
    config.model.pitch = "frame"  # or "phoneme"
    config.model.curves = config.model.predicted_curves = ("energy",)
    config.model.curve_input = "bins"
    config.model.curve_level = "phoneme"  # or "frame"
    config.model.predictor_layers = 2
    config.model.dilation_cycle = 1
    config.auxiliary.weights.mel_l1 = 1.0
    config.auxiliary.weights.mel_ssim = 0.0
