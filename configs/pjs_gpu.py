"""PJS by the clock on one GPU, from a packed corpus: see docs/training.md.

    python benchmarks/pack_corpus.py --corpus prepared/pjs --config pjs_gpu --out pjs.npz
    python benchmarks/accelerator.py --corpus pjs.npz --workdir workdir/accelerator

The sizes are those of `pjs_mid.py`, the process and what the denoiser is shown those of
`pjs_field.py`. Steps only say how the stages share the minutes.
"""

from diffsinger_jax.configs import pjs_mid
from diffsinger_jax.configs.base import by_time
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = pjs_mid.get_config()
    config.stop_after_minutes = 8.0
    config.log_every_steps = 50  # as often it looks at the clock
    config.evaluate_every_steps = 2000
    config.save_every_steps = 1_000_000
    config.save_every_minutes = 1.0
    config.keep_checkpoints = 1
    config.songs_shown = 0

    config.process = "field"
    config.denoiser.drop_condition = 0.6
    config.denoiser.drop_prior = 0.3
    config.denoiser.weight_decay = 0.05

    config.auxiliary.steps = 200_000
    config.auxiliary.learning_rate = by_time(1e-3, 200)
    config.denoiser.steps = 600_000
    config.denoiser.learning_rate = by_time(1e-3, 200)
    return config
