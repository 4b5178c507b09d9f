"""Every default of a variance model's training, each with its unit. Others are deltas of this one.

Sizes are openvpi/DiffSinger's, as far as it has them.
"""

from diffsinger_jax.configs import base
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()

    config.kind = "variance"  # what is trained: durations, pitch and curves
    config.name = "variance"  # of what training writes, for people
    config.corpus = "prepared/pjs"  # as of a voice
    config.seed = 1234
    config.start_from = ""  # folder of a variance model to go on from; its model replaces ours

    config.model = model()
    config.schedule = ConfigDict({"name": "straight", "time_scale": 1000.0})
    # Low and high, which become -1 and 1, and the least and the most that is kept. Of pitch the
    # distance from the notes in semitones: the narrower, the finer what noise does not hide.
    config.ranges = ConfigDict({"pitch": (-2.0, 2.0, -6.0, 6.0)})
    config.process = "velocity"  # or "eps", with a noise schedule

    config.sampling = ConfigDict()  # how the finished model samples unless told otherwise
    config.sampling.steps = 20
    config.sampling.temperature = 1.0  # factor on the noise
    config.sampling.method = "euler"

    config.buckets = 6  # number of batch shapes, one compile each
    config.bucket_edges = ()  # their lengths in frames; () finds those with the least padding
    config.remat = False  # keep only matmuls for the backward pass: less memory

    config.variance = training()
    base.running(config)
    return config


def model() -> ConfigDict:
    """Arguments of `diffsinger_jax.models.variance.Variance`."""
    section = ConfigDict()
    section.hidden = 384  # H
    section.encoder_layers = 4
    section.heads = 2
    section.kernel_size = 3  # of the FFT blocks' convolutions
    section.dropout = 0.1
    section.encoder_settings = ConfigDict({"block_settings": {"rotary": "halves"}})
    section.durations = "resnet"  # or "fs2", or "none" where they are always given
    section.duration_settings = ConfigDict(
        {"layers": 5, "hidden": 256, "kernel_size": 3, "dropout": 0.1}
    )
    section.melody_settings = ConfigDict(
        {"width": 128, "layers": 4, "heads": 2, "kernel_size": 3, "dropout": 0.1}
    )
    section.pitch_settings = trunk(channels=512, layers=6, repeats=64)
    section.voicing_settings = ConfigDict(
        {"layers": 3, "hidden": 128, "kernel_size": 5, "dropout": 0.3, "dilation_base": 2}
    )
    section.curves = ()  # names in FEATURES that the corpus was prepared with
    section.curve_settings = trunk(channels=384, layers=6, repeats=18)
    section.speaker_in_condition = True
    return section


def trunk(*, channels: int, layers: int, repeats: int) -> ConfigDict:
    """What makes pitch or curves: each curve over `repeats` channels."""
    return ConfigDict(
        {"trunk": "lynxnet2", "channels": channels, "layers": layers, "repeats": repeats}
    )


def training() -> ConfigDict:
    """The section `variance`."""
    section = ConfigDict()
    section.steps = 80_000
    section.frames_per_batch = 20_000  # over all devices
    section.distance = "l2"  # of what the trunks put out: "l1" or "l2"
    section.weighting = "logit_normal"  # of a flow's times, or "uniform"
    section.retake_all = 0.5  # share of the rows of which all is generated; else a stretch is
    section.weights = ConfigDict()  # of the losses
    section.weights.duration_phoneme = 0.3
    section.weights.duration_word = 1.0
    section.weights.duration_sentence = 3.0
    section.weights.pitch = 1.0
    section.weights.voicing = 1.0
    section.weights.curves = 1.0
    section.learning_rate = ConfigDict()
    section.learning_rate.name = "halving"
    section.learning_rate.peak = 6e-4
    section.learning_rate.every_steps = 20_000
    section.optimizer = "adamw"  # or "muon", "muon_adamw"
    section.betas = (0.9, 0.98)
    section.weight_decay = 0.0
    section.clip_norm = 1.0
    return section
