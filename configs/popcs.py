"""PopCS with the reference's hyperparameters (its popcs_ds_beta6)."""

from diffsinger_jax.configs import base
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = base.get_config()
    config.name = "popcs"
    config.corpus = "prepared/popcs"
    config.dictionary = "none"  # the scores bring their phonemes
    config.model.predictor_layers = 2
    config.model.predictor_gradient = 0.0
    config.model.dilation_cycle = 1
    # The singer's own pitch and timing are given, so the predictors are not trained.
    for name in ("duration_phoneme", "duration_note", "pitch", "voicing"):
        config.auxiliary.weights[name] = 0.0
    config.denoiser.t_below = 51
    return config
