"""Times NSF-HiFiGAN beside the PyTorch form of the same network with the same weights, in turns.

    python benchmarks/vocoder_speed.py --threads 2
    taskset -c 0 python benchmarks/vocoder_speed.py --threads 1 --frames 200

prints the real-time factor of each (seconds of computing for a second of sound, the median of the
rounds), their ratio round by round, and how far their sounds are apart. Compiling is not timed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--channels", type=int, default=512, help="after the first convolution")
parser.add_argument("--frames", type=int, default=172, help="of a row; 86 are one second")
parser.add_argument("--rows", type=int, default=1)
parser.add_argument("--rounds", type=int, default=7)
parser.add_argument("--source", choices=("harmonics", "sine"), default="harmonics")
arguments = parser.parse_args()
if importlib.util.find_spec("torch") is None:
    parser.error("the comparison needs PyTorch; install it with pip install torch")
# Before JAX starts its pool of threads.
os.environ.setdefault("OMP_NUM_THREADS", str(arguments.threads))
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.threads])

import jax  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from peer_torch_vocoder import Generator  # noqa: E402

from diffsinger_jax.interop.torch_vocoder import links  # noqa: E402
from diffsinger_jax.models.nsf_hifigan import NsfHifigan  # noqa: E402
from diffsinger_jax.voices.vocoder import generator_shapes  # noqa: E402

CONFIG = {
    "resblock": "1", "upsample_rates": [8, 8, 2, 2, 2], "upsample_kernel_sizes": [16, 16, 4, 4, 4],
    "resblock_kernel_sizes": [3, 7, 11], "resblock_dilation_sizes": [[1, 3, 5]] * 3,
    "sampling_rate": 44_100, "num_mels": 128,
}  # fmt: skip


def both(config: dict) -> tuple[NsfHifigan, dict, Generator]:
    """Our network and PyTorch's, with the same random weights."""
    ours = NsfHifigan(
        mel_bins=config["num_mels"],
        sample_rate=config["sampling_rate"],
        channels=config["upsample_initial_channel"],
        upsample_rates=tuple(config["upsample_rates"]),
        upsample_kernels=tuple(config["upsample_kernel_sizes"]),
        resblock=config["resblock"],
        resblock_kernels=tuple(config["resblock_kernel_sizes"]),
        resblock_dilations=tuple(map(tuple, config["resblock_dilation_sizes"])),
        source="sine" if config["mini_nsf"] else "harmonics",
    )
    theirs = Generator(config).eval()
    params: dict = {}
    state = {name: value.numpy() for name, value in theirs.state_dict().items()}
    shapes = {
        "/".join(key.key for key in path): leaf.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(generator_shapes(ours))
    }
    for link in links(shapes, config["resblock"]):
        *folders, name = link.ours.split("/")
        place = params
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = {
            "kernel": np.ascontiguousarray(link.layout.to_ours(state[f"{link.theirs}.weight"])),
            "bias": state[f"{link.theirs}.bias"],
        }
    return ours, jax.device_put(params), theirs


def main() -> None:
    """Prints the table."""
    torch.set_num_threads(arguments.threads)
    config = CONFIG | {
        "upsample_initial_channel": arguments.channels,
        "mini_nsf": arguments.source == "sine",
    }
    ours, params, theirs = both(config)
    rng = np.random.default_rng(0)
    mel = rng.uniform(-8, 0, (arguments.rows, arguments.frames, 128)).astype(np.float32)
    f0 = rng.uniform(200, 400, (arguments.rows, arguments.frames)).astype(np.float32)
    call = jax.jit(lambda params, mel, f0: ours.apply({"params": params}, mel, f0))

    def run_ours() -> np.ndarray:
        return np.asarray(call(params, mel, f0))

    @torch.inference_mode()
    def run_theirs() -> np.ndarray:
        return theirs(torch.from_numpy(mel).mT, torch.from_numpy(f0)).numpy()[:, 0]

    apart = np.abs(run_ours() - run_theirs()).max()
    seconds = np.empty((arguments.rounds, 2))
    for turn in seconds:
        for i, run in enumerate((run_ours, run_theirs)):
            start = time.perf_counter()
            run()
            turn[i] = time.perf_counter() - start
    sound_sec = arguments.rows * arguments.frames * ours.hop / config["sampling_rate"]
    rtf, ratios = np.median(seconds, axis=0) / sound_sec, seconds[:, 0] / seconds[:, 1]
    print(f"{arguments.rows} x {arguments.frames} frames, {arguments.threads} threads")
    print(f"real-time factor: ours {rtf[0]:.3f}, PyTorch {torch.__version__} {rtf[1]:.3f}")
    print(
        f"ours / PyTorch: median {np.median(ratios):.2f}, "
        f"from {ratios.min():.2f} to {ratios.max():.2f}; sounds are {apart:.1e} apart"
    )


if __name__ == "__main__":
    main()
