"""Acoustic models beside what openvpi/DiffSinger's export of them computed in ONNX Runtime.

The imported checkpoint is given the inputs of the graph and the noise that the graph drew.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
from golden_acoustic import (
    batch_of,
    frames_first,
    import_folder,
    prior_of,
    sample,
    seeing_padding,
)
from golden_acoustic import (
    matches as is_acoustic,
)
from golden_measure import Found, missing, relative

from diffsinger_jax.interop.openutau.sampler_graph import graph_sampling
from diffsinger_jax.models.diffsinger import SPEAKER_MIX
from diffsinger_jax.synthesis.controls import DEFAULT_RANGES, SOURCES, in_range
from diffsinger_jax.types import Batch
from diffsinger_jax.voices.voice import Voice

ONNX_BOUND = 1e-4
"""Theirs differs from its own model in PyTorch by up to 2.3e-5."""


def matches(folder: Path) -> bool:
    """Whether an acoustic experiment has the numbers of its exported graph."""
    return is_acoustic(folder) and (folder / "onnx" / "cases_onnx.npz").is_file()


def differences(folder: Path) -> Found:
    """Of the condition, and of the mel from each depth."""
    with np.load(folder / "onnx" / "cases_onnx.npz") as arrays:
        cases = dict(arrays)
    voice = import_folder(folder).voice
    batch = batch_of_inputs(voice, cases)
    depths = [n.removeprefix("in_").removesuffix("_depth") for n in cases if n.endswith("_depth")]

    def numbers(params):
        acoustic = seeing_padding(voice.acoustic)
        got = {"condition": acoustic.condition(params, batch)}
        cond = got["condition"]
        prior = prior_of(acoustic, params, batch, cond)
        for case in depths:
            depth, steps = (float(cases[f"in_{case}_{name}"][0]) for name in ("depth", "steps"))
            sampling = graph_sampling(voice.sampling, voice.path, int(steps), depth)
            noise = frames_first(cases[f"{case}_noise"])
            got[f"{case}_mel"] = sample(acoustic, params, batch, cond, prior, sampling, noise)
        return got

    got = jax.jit(numbers)(voice.params)
    found: Found = {
        name: (relative(to_base_e(voice, name, x), cases[f"out_{name}"]), ONNX_BOUND)
        for name, x in got.items()
    }
    return found | missing(cases, found)


def batch_of_inputs(voice: Voice, cases: Mapping[str, np.ndarray]) -> Batch:
    """The inputs of the graph as those of a voice."""
    mel2ph = np.repeat(np.arange(1, 1 + cases["in_tokens"].shape[1]), cases["in_durations"][0])
    ranges = {**DEFAULT_RANGES, **voice.ranges}
    inputs = {"in_txt_tokens": cases["in_tokens"], "in_mel2ph": mel2ph[None]}
    inputs |= {"in_f0_hz": cases["in_f0"]}
    inputs |= {
        f"in_{name}": in_range(name, cases[f"in_{SOURCES.get(name, name)}"], ranges)
        for name in voice.curves
    }
    if "in_languages" in cases:
        inputs["in_languages"] = cases["in_languages"]
    batch = batch_of(inputs, voice.curves)
    if "in_spk_embed" in cases:
        batch.curves[SPEAKER_MIX] = speaker_shares(voice, cases["in_spk_embed"][0])[None]
    return batch


def speaker_shares(voice: Voice, embedded: np.ndarray) -> np.ndarray:
    """Weights f32[T, speakers] whose sum of the speakers' vectors is f32[T, H]."""
    table = np.asarray(voice.params["speaker_embedding"]["embedding"], np.float64)  # [S, H]
    shares = np.linalg.lstsq(table.T, embedded.T.astype(np.float64), rcond=None)[0].T
    assert np.abs(shares @ table - embedded).max() < 1e-5
    return shares.astype(np.float32)


def to_base_e(voice: Voice, name: str, value: jax.Array) -> jax.Array:
    """A mel to base e, which exported graphs always put out."""
    base_10 = voice.info.mel.log_base == "10" and name.endswith("_mel")
    return value * np.log(10.0).astype(np.float32) if base_10 else value
