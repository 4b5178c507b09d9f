"""DiffGAN-TTS's denoiser on the encoder and auxiliary decoder of a voice, `start_from`."""

from diffsinger_jax.configs import base
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = base.get_config()
    config.kind = "diffgan"
    config.name = "diffgan"
    config.start_from = "pjs"  # the base: its encoder, predictors and auxiliary decoder stay

    section = config.diffgan = ConfigDict()
    section.timesteps = 4  # T of the diffusion: 1, 2 or 4
    section.k_step = 4  # where sampling starts; below T from the auxiliary mel (the two-stage form)
    section.sees_base = False  # whether the denoiser is shown the auxiliary mel too
    section.starts_after = 0  # so many steps are by the mel's distance alone
    section.weights = ConfigDict()
    section.weights.mel = 1.0  # mean absolute error of z
    section.weights.features = 1.0  # times mel / features, as they are at each step
    section.weights.adversarial = 1.0
    section.steps = 160_000
    section.frames_per_batch = 20_000  # over all devices
    movement(section, 1e-4)

    config.discriminators = ConfigDict()
    config.discriminators.width = 1.0  # factor on the channels
    movement(config.discriminators, 2e-4)
    return config


def movement(section: ConfigDict, peak: float) -> None:
    """How a side moves; the rate falls by a thousandth an epoch of a thousand steps."""
    section.learning_rate = ConfigDict(
        {"name": "steps", "peak": peak, "factor": 0.999, "every_steps": 1000}
    )
    section.optimizer = "adamw"
    section.betas = (0.5, 0.9)
    section.weight_decay = 0.0
    section.clip_norm = 1.0
