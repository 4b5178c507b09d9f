"""Vocoders beside what PyTorch computed with them, phases and noise at zero."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from golden_measure import Found

from diffsinger_jax.interop.torch_vocoder import import_vocoder
from diffsinger_jax.voices.vocoder import NeuralVocoder

SOURCE_BOUND, WAVEFORM_BOUND = 1e-5, 1e-4
"""Of the largest absolute difference."""


def matches(folder: Path) -> bool:
    """Whether it has a vocoder's config.json, model.ckpt and cases.npz."""
    return all((folder / name).is_file() for name in ("config.json", "model.ckpt", "cases.npz"))


def differences(folder: Path) -> Found:
    """Of source and waveform."""
    vocoder = import_vocoder(folder / "model.ckpt", folder / "config.json")
    with np.load(folder / "cases.npz") as cases:
        source, wav = vocoder_differences(vocoder, cases)
    return {"source": (source, SOURCE_BOUND), "waveform": (wav, WAVEFORM_BOUND)}


def vocoder_differences(
    vocoder: NeuralVocoder, cases: Mapping[str, np.ndarray]
) -> tuple[float, float]:
    """Largest absolute difference of source and waveform."""
    generator = vocoder.generator

    @jax.jit
    def compute(params, mel, f0):
        variables = {"params": params}
        source = generator.apply(variables, f0, method=generator.excite)
        return source, generator.apply(variables, mel, source, method=generator.voice)

    mel = jnp.asarray(cases["in_mel"].swapaxes(1, 2))  # [B, M, T] there
    source, wav = compute(vocoder.params, mel, cases["in_f0_hz"])
    assert wav.shape == cases["out_waveform"][:, 0].shape
    return (
        float(np.abs(source[..., 0] - cases["out_source"][:, 0]).max()),
        float(np.abs(wav - cases["out_waveform"][:, 0]).max()),
    )
