"""PJS by the clock on one GPU, from a packed corpus: see docs/training.md.

    python benchmarks/pack_corpus.py --corpus prepared/pjs --config pjs_gpu --out pjs.npz
    python benchmarks/accelerator.py --corpus pjs.npz --workdir workdir/accelerator

Encoder and auxiliary decoder have the sizes of `pjs_mid.py`; the denoiser is trained as in
`pjs_flow.py`. Steps only say how the stages share the minutes.
"""

from diffsinger_jax.configs import flow_pjs_small, openvpi_acoustic, pjs_flow, pjs_mid
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

    openvpi_acoustic.lynxnet2(config.model, channels=320, layers=6)
    flow_pjs_small.rectified_flow(config)
    pjs_flow.regularized(config)

    config.auxiliary.steps = 200_000
    config.auxiliary.learning_rate = by_time(1e-3, 200)
    config.denoiser.steps = 600_000
    config.denoiser.learning_rate = by_time(1e-3, 200)
    return config
