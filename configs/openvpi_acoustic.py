"""The acoustic model that openvpi/DiffSinger trains in 2026, at full size: flow and LYNXNet2.

Prepare the corpus with --mel 44k_hop512. Durations and f0 are given by the score; curves, as
energy or tension, are added with config.model.curves and `--curves` when the corpus is prepared.
"""

from diffsinger_jax.configs import base
from diffsinger_jax.configs.flow_pjs_small import rectified_flow
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = base.get_config()
    config.name = "openvpi"
    openvpi_encoder(config.model)
    convnext(config.model)
    lynxnet2(config.model)
    rectified_flow(config)
    config.denoiser.distance = "l2"
    for stage in (config.auxiliary, config.denoiser):
        stage.steps = 100_000
        stage.frames_per_batch = 50_000
        stage.optimizer = "muon_adamw"
        stage.betas = (0.9, 0.999)
        stage.weight_decay = 0.1
        stage.learning_rate = ConfigDict(
            {"name": "steps", "peak": 6e-4, "factor": 0.8, "every_steps": 5000}
        )
    return config


def openvpi_encoder(model: ConfigDict) -> None:
    """Phonemes and their frames through rotary FFT blocks; f0, progress and speakers on frames."""
    model.hidden = 384
    model.encoder_layers = 4
    model.kernel_size = 3
    model.score_inputs = "durations"
    model.positions = "none"
    model.encoder_settings = ConfigDict({"block_settings": {"rotary": "halves"}})
    model.durations = False
    model.pitch = "none"
    model.pitch_input = "mel_scale"
    model.stretch = True
    model.speaker_in_condition = True


def convnext(model: ConfigDict, channels: int = 512, layers: int = 6) -> None:
    """The auxiliary decoder."""
    model.auxiliary = "convnext"
    model.auxiliary_settings = ConfigDict({"channels": channels, "layers": layers})


def lynxnet2(model: ConfigDict, channels: int = 1024, layers: int = 6) -> None:
    """The trunk."""
    model.trunk = "lynxnet2"
    model.denoiser_channels = channels
    model.denoiser_layers = layers
