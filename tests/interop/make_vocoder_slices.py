"""Writes vocoder_slices.npz: python tests/interop/make_vocoder_slices.py GOLDEN_FOLDER.

What the PyTorch form in benchmarks/ computes with tiny random weights in both layouts, once it has
computed what the golden folders hold; and the sources of these folders, as the reference computed
them. It needs PyTorch; the tests that read it do not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "benchmarks"))

from peer_torch_vocoder import Generator  # noqa: E402

from diffsinger_jax.interop.torch_file import as_arrays, read_content  # noqa: E402
from diffsinger_jax.interop.torch_vocoder import fold_weight_norm  # noqa: E402

COMMON = {
    "sampling_rate": 24000, "num_mels": 6, "n_fft": 128, "win_size": 128, "fmin": 30,
    "fmax": 12000,
}  # fmt: skip
KINDS = {
    "harmonics_1": {
        "resblock": "1", "hop_size": 12, "upsample_rates": [3, 2, 2],
        "upsample_kernel_sizes": [9, 4, 4], "upsample_initial_channel": 16,
        "resblock_kernel_sizes": [3, 7], "resblock_dilation_sizes": [[1, 3, 5], [1, 2, 4]],
    },
    "harmonics_2": {
        "resblock": "2", "hop_size": 10, "upsample_rates": [5, 2],
        "upsample_kernel_sizes": [11, 6], "upsample_initial_channel": 12,
        "resblock_kernel_sizes": [3, 4], "resblock_dilation_sizes": [[1, 3, 9], [2, 6, 9]],
    },
    "sine_1": {
        "resblock": "1", "hop_size": 24, "upsample_rates": [4, 3, 2],
        "upsample_kernel_sizes": [8, 7, 4], "upsample_initial_channel": 8, "mini_nsf": True,
        "resblock_kernel_sizes": [5], "resblock_dilation_sizes": [[1, 3, 5]],
    },
    "sine_2_odd": {
        "resblock": "2", "hop_size": 42, "upsample_rates": [2, 7, 3],
        "upsample_kernel_sizes": [4, 15, 6], "upsample_initial_channel": 8, "mini_nsf": True,
        "resblock_kernel_sizes": [3, 5], "resblock_dilation_sizes": [[1, 2], [2, 4]],
    },
}  # fmt: skip
PLAIN = ("m_source", "noise_convs", "source_conv")
"""Layers that have no weight norm."""


def with_weight_norm(state: dict[str, np.ndarray], rng: np.random.Generator):
    """The same layers as g v / |v|, with v of any length."""
    result = {}
    for name, value in state.items():
        if name.endswith(".bias") or name.startswith(PLAIN):
            result[name] = value
            continue
        norm = np.sqrt((value.astype("f8") ** 2).sum((1, 2), keepdims=True))
        result[f"{name}_g"] = norm.astype("f4")
        result[f"{name}_v"] = value * rng.uniform(0.5, 2.0, norm.shape).astype("f4")
    return result


def computed(generator: Generator, mel: np.ndarray, f0: np.ndarray):
    with torch.no_grad():
        f0 = torch.tensor(f0)
        return generator.excite(f0).numpy(), generator(torch.tensor(mel), f0).numpy()


def main(folder: Path) -> None:
    rng = np.random.default_rng(6)
    arrays: dict[str, np.ndarray] = {}
    for name in ("nsf_hifigan_44k", "pc_nsf_hifigan_44k"):
        tensors = as_arrays(read_content(folder / name / "model.ckpt")["generator"], folder)
        config = json.loads((folder / name / "config.json").read_text())
        peer = Generator(config)
        weights = fold_weight_norm(tensors, folder)
        peer.load_state_dict({k: torch.tensor(v) for k, v in weights.items()})
        cases = np.load(folder / name / "cases.npz")
        source, wav = computed(peer, cases["in_mel"], cases["in_f0_hz"])
        assert np.abs(source - cases["out_source"]).max() < 1e-6
        assert np.abs(wav - cases["out_waveform"]).max() < 1e-6
        kept = {k: v for k, v in tensors.items() if k.startswith("m_source")}
        kept |= {"in_f0_hz": cases["in_f0_hz"], "out_source": cases["out_source"]}
        arrays |= {f"{name}/{key}": value for key, value in kept.items()}
    for name, sizes in KINDS.items():
        config = COMMON | sizes
        torch.manual_seed(len(arrays))
        peer = Generator(config)
        for weight in peer.parameters():
            torch.nn.init.normal_(weight, std=0.2)
        state = {k: v.numpy() for k, v in peer.state_dict().items()}
        mel = rng.uniform(-6, 0, (2, 6, 9)).astype("f4")
        f0 = rng.uniform(150, 900, (2, 9)).astype("f4") * (np.arange(9) % 5 != 3)
        source, wav = computed(peer, mel, f0.astype("f4"))
        cases = {"in_mel": mel, "in_f0_hz": f0.astype("f4"), "out_source": source}
        cases |= {"out_waveform": wav, "config": np.asarray(json.dumps(config))}
        tensors = with_weight_norm(state, rng)
        arrays |= {f"{name}/{key}": value for key, value in cases.items()}
        arrays |= {f"{name}/tensors/{key}": value for key, value in tensors.items()}
    np.savez_compressed(HERE / "vocoder_slices.npz", **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
