"""The trunks, by the names that a config can say."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from diffsinger_jax.modules.trunks.lynxnet import LYNXNet
from diffsinger_jax.modules.trunks.lynxnet2 import LYNXNet2
from diffsinger_jax.modules.trunks.protocol import Trunk
from diffsinger_jax.modules.trunks.wavenet import WaveNet

TRUNKS: Mapping[str, Callable[..., Trunk]] = {
    "wavenet": WaveNet,
    "lynxnet": LYNXNet,
    "lynxnet2": LYNXNet2,
}
"""Each takes `data`, `channels`, `layers`, `dtype`, and keyword arguments of its own."""
