"""A neural vocoder of ours as OpenUtau's: one graph, mel and f0 to the waveform.

The phase is summed in float64, where ours wraps an integer; its parts are rounded alike.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.interop.openutau import onnx_parts
from diffsinger_jax.interop.openutau.graph_inputs import N_FRAMES, GraphInputs, row
from diffsinger_jax.interop.openutau.onnx_parts import FLOAT32, FLOAT64, GraphBuilder
from diffsinger_jax.models.nsf_hifigan import SINE_ENTERS, NsfHifigan
from diffsinger_jax.modules.sine_source import (
    HARMONICS,
    SINE_AMPLITUDE,
    UNVOICED_NOISE,
    VOICED_NOISE,
)
from diffsinger_jax.voices.vocoder import NeuralVocoder

_ORDERS = HARMONICS + 1


def vocoder_graph(vocoder: NeuralVocoder) -> bytes:
    """Inputs mel f32[1, n_frames, M], f0 f32[1, n_frames] Hz; output waveform f32[1, n_samples].

    Drawn are source_phase f32[1, 1, 9] cycles and source_noise f32[1, n_frames, 9 hop] for the
    source "harmonics", and first_noise f32[1, n_frames, channels] where there is noise on the
    first convolution.

    Raises:
      InputError: if jax2onnx is not installed.
    """
    generator = vocoder.generator
    harmonic = generator.source == "harmonics"
    graph = GraphBuilder("vocoder")
    inputs = GraphInputs(graph)
    inputs.add("mel", "float", N_FRAMES, generator.mel_bins)
    inputs.add("f0", "float", N_FRAMES)
    per_frame = generator.hop
    rate = float(generator.sample_rate)
    if not harmonic:
        per_frame = math.prod(generator.upsample_rates[: SINE_ENTERS + 1])
        rate /= generator.hop // per_frame

    def turns(f0: jax.Array, following: jax.Array) -> tuple[jax.Array, jax.Array]:
        return _turns(f0, f0 if harmonic else following, rate, per_frame)

    graph.hold(second=[1], last=[-1], end=[2**31], along=[1])
    graph.add(
        ("Slice", "f0 second end along", "f0_later"),
        ("Slice", "f0 last end along", "f0_last"),
        ("Concat", "f0_later f0_last", "f0_next", {"axis": 1}),
    )
    both = {"f0": row(N_FRAMES), "f0_next": row(N_FRAMES)}
    graph.join(onnx_parts.traced("turns", turns, both), ["inside", "turned"])
    graph.hold(frame_axis=1)
    graph.add(
        ("Cast", "turned", "turned_64", {"to": FLOAT64}),
        ("CumSum", "turned_64 frame_axis", "before_64", {"exclusive": 1}),
        ("Floor", "before_64", "whole_64"),
        ("Sub", "before_64 whole_64", "phase_64"),
        ("Cast", "phase_64", "phase", {"to": FLOAT32}),
    )
    shapes = inputs.shapes | {"inside": row(N_FRAMES, per_frame), "phase": row(N_FRAMES)}
    shapes |= _noise(generator, graph)

    def sound(*arrays: jax.Array) -> jax.Array:
        given = dict(zip(shapes, arrays, strict=True))
        made: Any = generator.apply({"params": vocoder.params}, given, method=_sound)
        return made

    graph.join(onnx_parts.traced("sound", sound, shapes), ["waveform"])
    graph.add_output("waveform", "float", [1, "n_samples"])
    return graph.serialized()


def vocoder_settings(vocoder: NeuralVocoder, model: str) -> dict[str, Any]:
    """The vocoder.yaml beside a graph of this name."""
    mel = vocoder.mel
    return {
        "name": vocoder.name, "model": model, "sample_rate": mel.sample_rate, "hop_size": mel.hop,
        "win_size": mel.win, "fft_size": mel.n_fft, "num_mel_bins": mel.n_mels,
        "mel_fmin": mel.fmin, "mel_fmax": mel.fmax, "mel_base": mel.log_base,
        "mel_scale": mel.mel_scale, "pitch_controllable": vocoder.generator.source == "sine",
    }  # fmt: skip


def _noise(generator: NsfHifigan, graph: GraphBuilder) -> dict[str, jax.ShapeDtypeStruct]:
    """What is drawn."""
    shapes: dict[str, jax.ShapeDtypeStruct] = {}
    if generator.source == "harmonics":
        shapes["source_phase"] = row(1, _ORDERS)
        shapes["source_noise"] = row(N_FRAMES, _ORDERS * generator.hop)
    if generator.noise_sigma > 0:
        shapes["first_noise"] = row(N_FRAMES, generator.channels)
    if "source_phase" in shapes:
        graph.hold(orders=np.zeros((1, 1, _ORDERS), np.float32))
        graph.add(
            ("RandomUniformLike", "orders", "source_phase"),
            ("Concat", " ".join(["inside"] * _ORDERS), "waves", {"axis": 2}),
            ("RandomNormalLike", "waves", "source_noise"),
        )
    if "first_noise" in shapes:
        graph.hold(channels=np.zeros((1, 1, generator.channels), np.float32), column_axis=[2])
        graph.add(
            ("Unsqueeze", "f0 column_axis", "f0_column"),
            ("Add", "f0_column channels", "first_like"),
            ("RandomNormalLike", "first_like", "first_noise"),
        )
    return shapes


def _turns(
    f0: jax.Array, following: jax.Array, rate: float, per_frame: int
) -> tuple[jax.Array, jax.Array]:
    """Cycles inside each frame f32[1, T, N], and f32[1, T] of the whole frame in [-1/2, 1/2).

    See `modules.sine_source.cycles`; ONNX Runtime fuses no product with a sum.

    Args:
      f0: f32[1, T] Hz.
      following: what it glides to by the end of each frame.
      rate: of the source, Hz.
      per_frame: N.
    """
    n = np.arange(1, per_frame + 1, dtype=np.float32)[None, None]
    step = (f0 / np.float32(rate))[..., None]
    inside = step * n
    if following is not f0:
        change = (following / np.float32(rate))[..., None] - step
        inside = inside + 0.5 * change * n * (n - 1) / np.float32(per_frame)
    turned = inside[..., -1] + 0.5
    return inside, turned - jnp.floor(turned) - 0.5


def _sound(generator: NsfHifigan, given: dict[str, jax.Array]) -> jax.Array:
    """`NsfHifigan.__call__` of a phase and of noise that are given."""
    cycles = given["inside"] + given["phase"][..., None]  # [1, T, N]
    x = generator.first(given["mel"])
    if "first_noise" in given:
        x = x + generator.noise_sigma * given["first_noise"]
    if generator.source == "sine":
        source = jnp.sin(2 * np.pi * cycles)
        return generator.upsample(x, source.reshape(1, -1, 1))
    layer = generator.harmonics
    kernel: np.ndarray = np.asarray(layer.get_variable("params", "kernel"))
    bias: np.ndarray = np.asarray(layer.get_variable("params", "bias"))
    order = np.arange(1, _ORDERS + 1, dtype=np.float32)[None, None, None]
    first = given["source_phase"][:, :, None] * (order > 1)  # the fundamental starts at zero
    voiced = (given["f0"] > 0)[..., None, None]
    sines = SINE_AMPLITUDE * jnp.sin(2 * np.pi * (cycles[..., None] * order + first))
    noise = given["source_noise"].reshape(1, -1, cycles.shape[2], _ORDERS)
    noise = noise * jnp.where(voiced, VOICED_NOISE, UNVOICED_NOISE)
    waves = jnp.where(voiced, sines, 0.0) + noise  # [1, T, N, 9]
    source = jnp.tanh(waves @ kernel + bias[None, None, None])
    return generator.upsample(x, source.reshape(1, -1, 1))
