"""Every default of a vocoder's training, each with its unit. Other configs are deltas of this one.

The numbers are HiFi-GAN's (Kong, Kim, Bae 2020) for 24 kHz with a hop of 256 samples.
"""

from diffsinger_jax.configs import base
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()

    config.kind = "vocoder"  # what is trained
    config.name = "vocoder"  # of what training writes, for people
    config.recordings = "prepared/recordings"  # folder written by data/prepare_recordings.py
    config.seed = 1234
    config.start_from = ""  # folder of a vocoder to go on from; its sizes and mel replace ours
    config.unvoiced = "zero"  # f0 where nothing is sung: "zero", or "filled" in between

    config.generator = ConfigDict()
    config.generator.channels = 512  # after the first convolution; halved by each upsampling
    config.generator.upsample_rates = (8, 8, 2, 2)  # their product is the mel's hop in samples
    config.generator.upsample_kernels = (16, 16, 4, 4)  # samples
    config.generator.resblock = "1"  # or "2", half as many convolutions
    config.generator.resblock_kernels = (3, 7, 11)  # samples, of the blocks side by side
    config.generator.resblock_dilations = ((1, 3, 5), (1, 3, 5), (1, 3, 5))  # of each of them
    config.generator.source = "harmonics"  # or "sine": the pitch-controllable form
    config.generator.noise_sigma = 0.0  # of noise added after the first convolution

    config.discriminators = ConfigDict()
    config.discriminators.periods = (2, 3, 5, 7, 11)  # samples
    config.discriminators.scales = 3  # each hears half the sample rate of the one before
    config.discriminators.n_ffts = (512, 1024, 2048)  # samples, of those that look at spectra
    config.discriminators.width = 1.0  # factor on their channels

    config.vocoder = ConfigDict()
    config.vocoder.steps = 400_000
    config.vocoder.rows = 16  # cuts in a batch, over all devices
    config.vocoder.frames = 32  # of a cut
    config.vocoder.most_semitones = 3.0  # half of the cuts are shifted by up to so much; 0 for none
    config.vocoder.adversarial_after = 0  # steps by the mel loss alone, before the discriminators
    # Resolutions of the mel loss: samples of the transform, mel bins.
    config.vocoder.mel_views = ((512, 40), (1024, 80), (2048, 160))
    config.vocoder.weights = ConfigDict()  # of the generator's losses
    config.vocoder.weights.mel = 45.0
    config.vocoder.weights.features = 2.0
    config.vocoder.weights.adversarial = 1.0
    config.vocoder.learning_rate = exponential(2e-4, 0.999, 1000)  # of both sides
    config.vocoder.optimizer = "adamw"  # or "muon"
    config.vocoder.betas = (0.8, 0.99)
    config.vocoder.weight_decay = 0.01
    config.vocoder.clip_norm = 1000.0  # far above what is usual: a bound for the worst batch

    base.running(config)
    config.evaluate_pieces = 8  # held-out recordings that an evaluation takes a cut of
    config.evaluate_frames = 400  # of such a cut
    return config


def exponential(peak: float, factor: float, every_steps: int) -> ConfigDict:
    """A learning rate that falls to `factor` of itself every so many steps, without stairs."""
    return ConfigDict(
        {"name": "exponential", "peak": peak, "factor": factor, "every_steps": every_steps}
    )
