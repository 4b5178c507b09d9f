"""Glow-TTS with the paper's sizes; it needs no alignments."""

from diffsinger_jax.configs import base
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    weights = {"likelihood": 1.0, "search": 1.0, "duration": 1.0, "pitch": 0.1, "voicing": 0.1}
    config = speech("glow_tts", weights)
    config.model.hidden = 192  # H
    config.model.encoder_layers = 6
    config.model.heads = 2
    config.model.kernel_size = 3  # of the FFT blocks' convolutions
    config.model.dropout = 0.1
    config.model.predictor_layers = 2
    config.model.predictor_hidden = 256
    config.model.predictor_dropout = 0.1
    config.model.flow_blocks = 12
    config.model.flow_hidden = 192
    config.model.flow_layers = 4
    config.model.flow_kernel_size = 5
    config.model.search = "latent"  # what aligns: as in the paper the flow's output, or the "mel"
    config.model.alignment_prior = 0.0  # of the diagonal in the search; the paper's has none
    return config


def speech(family: str, weights: dict[str, float]) -> ConfigDict:
    """What families that speak without diffusion have beside their models."""
    config = ConfigDict()
    config.kind = "speech"  # what is trained: a voice of one of these families
    config.family = family  # "glow_tts" or "tacotron2"
    config.name = family  # of the voice that training writes, for metadata and people
    # Folder written by data/prepare.py; or several, by weight: "prepared/lj,prepared/more=0.5"
    config.corpus = "prepared/ljspeech"
    config.dictionary = "none"  # texts bring their phonemes
    config.seed = 1234
    config.start_from = ""  # a voice of the same family and sizes to go on from
    config.temperature = 0.667  # factor on the noise, where there is any
    config.buckets = 6  # number of batch shapes, one compile each
    config.bucket_edges = ()  # their lengths in frames; () finds those with the least padding
    config.remat = False  # keep only matmuls for the backward pass: less memory
    config.model = ConfigDict()
    config.speech = ConfigDict()
    config.speech.steps = 160_000
    config.speech.frames_per_batch = 32_000  # over all devices
    config.speech.learning_rate = base.cosine(1e-3, 2000, 160_000)
    config.speech.optimizer = "adamw"  # or "muon"
    config.speech.betas = (0.9, 0.98)
    config.speech.weight_decay = 0.0
    config.speech.clip_norm = 1.0
    config.speech.weights = ConfigDict(weights)  # of the losses
    base.running(config)
    return config


def mini(config: ConfigDict) -> None:
    """Some minutes of speech on two CPU cores, in an hour."""
    config.name = f"lj_mini_{config.family}"
    config.buckets = 2
    config.ema_decay = 0.998
    config.log_every_steps = 50
    config.evaluate_every_steps = 1000
    config.save_every_steps = 250
    config.stop_after_minutes = 60.0
    config.speech.steps = 100_000  # more than there is time for
    config.speech.frames_per_batch = 2048
    config.speech.learning_rate = base.by_time(1e-3, 200)
