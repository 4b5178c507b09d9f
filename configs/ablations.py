"""The paper's ablations (Liu et al. 2022, table 2), each a few lines over a base.

    python run_train.py --config=configs/ablations.py:small/naive --workdir=...

`SCALE/NAME`, of SCALES and ABLATIONS. What the paper gives in numbers (C 128/256/512, 10/20/30
layers) is said as shares of the base, so that at full scale they are the paper's.
`python benchmarks/ablations.py` trains and measures them all.
"""

from diffsinger_jax.configs import pjs, pjs_small, tiny
from ml_collections import ConfigDict

SCALES = {"tiny": tiny, "small": pjs_small, "full": pjs}
K_STEP = 51  # of 100, the paper's for its own corpus


def start_at(config: ConfigDict, k_step: int) -> None:
    """The denoiser learns the steps below k, and sampling takes all of them."""
    config.sampling.k_step = k_step
    config.sampling.steps = k_step
    config.denoiser.t_below = k_step


def scale(section: ConfigDict, name: str, share: float) -> None:
    section[name] = round(section[name] * share)


ABLATIONS = {
    "shallow": lambda config: None,
    "naive": lambda config: start_at(config, config.schedule.steps),
    "k_half": lambda config: start_at(config, K_STEP // 2),
    "k_more": lambda config: start_at(config, K_STEP + K_STEP // 2),
    "channels_half": lambda config: scale(config.model, "denoiser_channels", 0.5),
    "channels_double": lambda config: scale(config.model, "denoiser_channels", 2.0),
    "layers_half": lambda config: scale(config.model, "denoiser_layers", 0.5),
    "layers_more": lambda config: scale(config.model, "denoiser_layers", 1.5),
}


def get_config(which: str = "full/shallow") -> ConfigDict:
    scale_name, _, name = which.partition("/")
    if scale_name not in SCALES or name not in ABLATIONS:
        raise ValueError(
            f"an ablation is SCALE/NAME with SCALE of {', '.join(SCALES)} and NAME of "
            f"{', '.join(ABLATIONS)}, got {which!r}"
        )
    config = SCALES[scale_name].get_config()
    start_at(config, K_STEP)
    ABLATIONS[name](config)
    config.name = f"{scale_name}_{name}"
    return config
