"""GAN-Singer: the auxiliary model alone, trained against discriminators of random windows too."""

from diffsinger_jax.configs import base
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = base.get_config()
    gan_singer(config)
    return config


def gan_singer(config: ConfigDict) -> None:
    """Makes it of the config of a voice; the generator moves as `config.auxiliary` says."""
    config.kind = "gan_singer"
    config.sampling.k_step = 0  # it sings the auxiliary mel
    config.sampling.steps = 1
    config.denoiser.steps = 0

    section = config.discriminators = ConfigDict()
    section.windows = (32, 64, 128)  # frames
    section.bands = ((0.0, 1.0),)  # shares of the mel bins; a discriminator for each
    section.channels = 128
    section.condition = "none"  # what they are shown beside the mel: "none" or "pitch"
    section.starts_after = 0  # so many steps are by the auxiliary losses alone
    section.weights = ConfigDict()  # beside those of config.auxiliary.weights
    section.weights.adversarial = 0.1
    section.weights.features = 0.0
    section.learning_rate = ConfigDict({"name": "halving", "peak": 1e-4, "every_steps": 60_000})
    section.optimizer = "adamw"
    section.betas = (0.5, 0.999)
    section.weight_decay = 0.0
    section.clip_norm = 1.0
