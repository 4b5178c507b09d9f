"""An acoustic model of ours as the graph that OpenUtau asks for: phonemes and curves to a mel.

What is known of every frame is computed once; a loop follows the flow from the noised auxiliary
mel. The noise is drawn inside, or is an input of the form for tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.openutau import onnx_parts
from diffsinger_jax.modules.length_regulator import expand_to_frames
from diffsinger_jax.synthesis.controls import DEFAULT_RANGES
from diffsinger_jax.types import Batch
from diffsinger_jax.voices.voice import Voice

NOISE = "noise"
"""The input of the form for tests, f32[1, n_frames, M]."""
_SHOWN = ("energy", "breathiness", "voicing", "tension")
_CONTROLS = {"gender": "key_shift", "velocity": "speed"}


def require_exportable(voice: Voice) -> None:
    """Checks that OpenUtau's inputs are all that a voice needs.

    Raises:
      InputError: naming what else it needs.
    """
    model, needs = voice.acoustic.model, []
    if model.score_inputs != "durations":
        needs.append("the notes of the score")
    if voice.process != "velocity":
        needs.append(f"the sampler of the process {voice.process}")
    if model.auxiliary == "none" or voice.sampling.start != "auxiliary":
        needs.append("a start from noise alone")
    if dict(model.encoder_settings.get("block_settings", {})).get("style"):
        needs.append("a style of each phoneme")
    if unknown := set(voice.curves) - {*_SHOWN, *_CONTROLS.values()}:
        needs.append(f"the curves {', '.join(sorted(unknown))}")
    if needs:
        raise InputError(
            f"the voice {voice.name} needs {' and '.join(needs)}, which OpenUtau does not give; "
            "export a flow with openvpi's modules, as configs/openvpi_acoustic.py trains"
        )


def has_speakers(voice: Voice) -> bool:
    """Whether its graph takes a speaker's embedding."""
    return voice.acoustic.model.speaker_in_condition and len(voice.info.vocabulary.speakers) > 1


def has_languages(voice: Voice) -> bool:
    """Whether its graph takes languages."""
    return voice.acoustic.model.encoder_settings.get("cross_lingual") is not None


def frame_curves(voice: Voice) -> tuple[str, ...]:
    """The inputs beside f0 that have a value a frame, in OpenUtau's order."""
    shown = [name for name in _SHOWN if name in voice.curves]
    return (*shown, *(name for name, ours in _CONTROLS.items() if ours in voice.curves))


def acoustic_graph(voice: Voice, *, noise_is_input: bool = False) -> bytes:
    """The model, opset 17, batch 1.

    Inputs, where the voice has them: tokens, languages, durations i64[1, n_tokens]; f0, energy,
    breathiness, voicing, tension, gender, velocity f32[1, n_frames]; spk_embed
    f32[1, n_frames, H]; depth f32[]; steps i64[]. Output: mel f32[1, n_frames, M].

    With t0 = max(1 - depth, 1 - k), k the voice's own depth: x = t0 aux + (1 - t0) noise, then
    `steps` times x += v(x, t) (1 - t0) / steps.

    Args:
      voice: a flow, see `require_exportable`.
      noise_is_input: whether `NOISE` is a further input.

    Raises:
      InputError: if it is none, or jax2onnx is not installed.
    """
    require_exportable(voice)
    bins, names = voice.info.mel.n_mels, frame_curves(voice)
    hidden = voice.acoustic.model.hidden
    frames: list[int | str] = [1, "n_frames"]
    whole = ["tokens", *(["languages"] if has_languages(voice) else []), "durations"]
    condition, step, mel = _condition_part(voice, names), _step_part(voice), _mel_part(voice)
    known = (*_projected(voice), "prior")
    body = onnx_parts.nodes([("Cast", name, f"{name}_32", {"to": _INT32}) for name in whole])
    body += condition.nodes
    body += onnx_parts.nodes(
        [("Identity", o, name) for o, name in zip(condition.outputs, known, strict=True)]
        + ([] if noise_is_input else [("RandomNormalLike", "prior", NOISE)])
        + _START
        + [("Loop", "steps_0 yes start", "z_end", {"body": _loop_body(step, bins)})]
    )
    body += [*mel.nodes, *onnx_parts.nodes([("Identity", mel.outputs[0], "mel")])]
    inputs = [onnx_parts.value_info(name, "int64", [1, "n_tokens"]) for name in whole]
    inputs += [onnx_parts.value_info(name, "float", frames) for name in ("f0", *names)]
    if has_speakers(voice):
        inputs.append(onnx_parts.value_info("spk_embed", "float", [*frames, hidden]))
    inputs.append(onnx_parts.value_info("depth", "float", []))
    inputs.append(onnx_parts.value_info("steps", "int64", []))
    if noise_is_input:
        inputs.append(onnx_parts.value_info(NOISE, "float", [*frames, bins]))
    least = np.float32(1.0 - float(voice.sampling.k_step))
    numbers = {"one": np.float32(1.0), "least": least, "yes": np.asarray(True)} | _SHAPES
    return onnx_parts.model_bytes(
        "acoustic",
        body,
        inputs,
        [onnx_parts.value_info("mel", "float", [*frames, bins])],
        [*condition.weights, *step.weights, *mel.weights, *onnx_parts.constants(numbers)],
    )


_FLOAT32, _INT32 = 1, 6  # of onnx.TensorProto
_SHAPES = {"flat": np.array([], np.int64), "row": np.array([1], np.int64)}
"""Of a number, and of one in a row."""
_START: list[onnx_parts.Node] = [
    ("Reshape", "depth flat", "depth_0"),  # callers may give it as [1]
    ("Reshape", "steps flat", "steps_0"),
    ("Sub", "one depth_0", "wanted"),
    ("Max", "wanted least", "from_depth"),
    ("Min", "from_depth one", "t0"),
    ("Sub", "one t0", "left"),
    ("Cast", "steps_0", "steps_f", {"to": _FLOAT32}),
    ("Div", "left steps_f", "dt"),
    ("Mul", "prior t0", "kept"),
    ("Mul", f"{NOISE} left", "added"),
    ("Add", "kept added", "start"),
]


def _loop_body(step: onnx_parts.Part, bins: int) -> Any:
    """x += v(x, t0 + i dt) dt."""
    shape: list[int | str] = [1, "n_frames", bins]
    before: list[onnx_parts.Node] = [
        ("Cast", "i", "i_f", {"to": _FLOAT32}),
        ("Mul", "i_f dt", "passed"),
        ("Add", "t0 passed", "now"),
        ("Reshape", "now row", "t"),
    ]
    after: list[onnx_parts.Node] = [
        ("Mul", f"{step.outputs[0]} dt", "change"),
        ("Add", "x change", "x_next"),
        ("Identity", "go", "go_on"),
    ]
    return onnx_parts.graph(
        "step",
        [*onnx_parts.nodes(before), *step.nodes, *onnx_parts.nodes(after)],
        [
            onnx_parts.value_info("i", "int64", []),
            onnx_parts.value_info("go", "bool", []),
            onnx_parts.value_info("x", "float", shape),
        ],
        [
            onnx_parts.value_info("go_on", "bool", []),
            onnx_parts.value_info("x_next", "float", shape),
        ],
    )


def _batch(
    tokens: jax.Array, durations: jax.Array, languages: jax.Array, f0: jax.Array, curves: Mapping
) -> Batch:
    """Of one row without padding; what no flow reads is zero."""
    ends = jnp.cumsum(durations, axis=1)  # [1, N]
    frame = jax.lax.broadcasted_iota(jnp.int32, f0.shape, 1)  # [1, T]
    mel2ph = 1 + jnp.sum((frame[:, :, None] >= ends[:, None, :]).astype(jnp.int32), axis=2)
    none, nothing = jnp.zeros_like(tokens), jnp.zeros(tokens.shape, jnp.float32)
    return Batch(
        tokens, nothing, nothing, none, none, durations, mel2ph, f0, f0, f0 >= 0,
        jnp.zeros((1,), jnp.int32), languages, curves,
    )  # fmt: skip


def _condition_part(voice: Voice, names: tuple[str, ...]) -> onnx_parts.Part:
    """Tokens, durations, languages, curves and speaker to the denoiser's condition and the prior.

    The last output is the auxiliary mel, z [1, T, M]; those before are named by `_projected`.
    """
    acoustic, params = voice.acoustic, voice.params
    ranges = {**DEFAULT_RANGES, **voice.ranges}
    tokens, frames = export.symbolic_shape("n_tokens, n_frames")

    def row(size: Any, dtype: Any, *more: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((1, size, *more), dtype)

    inputs = {"tokens_32": row(tokens, jnp.int32), "durations_32": row(tokens, jnp.int32)}
    if has_languages(voice):
        inputs["languages_32"] = row(tokens, jnp.int32)
    inputs |= {name: row(frames, jnp.float32) for name in ("f0", *names)}
    if has_speakers(voice):
        inputs["spk_embed"] = row(frames, jnp.float32, acoustic.model.hidden)

    def condition(*arrays: jax.Array) -> tuple[jax.Array, ...]:
        given = dict(zip(inputs, arrays, strict=True))
        # Theirs count from 1, and 0 is none, which ours, one less, come to as well.
        told = given.get("languages_32", jnp.ones_like(given["tokens_32"]))
        curves = {_CONTROLS.get(name, name): given[name] for name in names}
        if "key_shift" in curves:
            low, high = ranges["key_shift"]
            share = jnp.clip(curves["key_shift"], -1.0, 1.0)
            curves["key_shift"] = jnp.where(share >= 0, share * high, share * abs(low))
        if "speed" in curves:
            curves["speed"] = jnp.clip(curves["speed"], *ranges["speed"])
        batch = _batch(given["tokens_32"], given["durations_32"], told - 1, given["f0"], curves)
        cond = acoustic.model.apply(
            {"params": params}, batch, given.get("spk_embed"), method=_condition
        )
        prior = acoustic._apply(params, "auxiliary_mel", cond, batch.mask)
        projected = acoustic._apply(params, "project_condition", cond, prior)
        return (*jax.tree.leaves(projected), prior)

    return onnx_parts.traced("condition", condition, inputs)


def _condition(model: nn.Module, batch: Batch, speaker: jax.Array | None) -> jax.Array:
    """`DiffSinger.condition` of an f0 without gaps and a speaker that is an embedding."""
    cond = expand_to_frames(model.encode(batch), batch.mel2ph)
    if model.stretch:
        cond = model.stretch_embedding(cond, batch.mel2ph, batch.tokens.shape[1])
    if speaker is not None:
        cond += speaker
    elif model.speaker_in_condition:
        cond += model.speakers_of(batch)
    cond += model.pitch_embedding(batch.f0)
    return cond + model.curve_embedding(batch.curves) if model.curves else cond


def _step_part(voice: Voice) -> onnx_parts.Part:
    """x f32[1, T, M] and t f32[1] to the velocity there."""
    acoustic, params = voice.acoustic, voice.params
    process, bins = acoustic.make_process(params), voice.info.mel.n_mels
    structure = jax.tree.structure(_projected_shapes(voice))
    (frames,) = export.symbolic_shape("n_frames")
    inputs = {
        "x": jax.ShapeDtypeStruct((1, frames, bins), jnp.float32),
        "t": jax.ShapeDtypeStruct((1,), jnp.float32),
    }
    for name, width in _projected(voice).items():
        inputs[name] = jax.ShapeDtypeStruct((1, frames, width), jnp.float32)

    def velocity(x: jax.Array, t: jax.Array, *condition: jax.Array) -> jax.Array:
        step = acoustic._apply(params, "embed_times", process.trunk_time(t))
        mask = jnp.ones(x.shape[:2], bool)
        projected = jax.tree.unflatten(structure, condition)
        return acoustic._apply(params, "denoise_prepared", x, step, projected, mask)

    return onnx_parts.traced("step", velocity, inputs)


def _projected_shapes(voice: Voice) -> Any:
    """What the denoiser is told of every frame, of two frames."""
    acoustic = voice.acoustic
    cond = jax.ShapeDtypeStruct((1, 2, acoustic.model.hidden), jnp.float32)
    prior = jax.ShapeDtypeStruct((1, 2, voice.info.mel.n_mels), jnp.float32)
    return jax.eval_shape(
        lambda c, p: acoustic._apply(voice.params, "project_condition", c, p), cond, prior
    )


def _projected(voice: Voice) -> dict[str, int]:
    """Names and widths of what the denoiser is told, [1, T, width] each."""
    leaves = jax.tree.leaves(_projected_shapes(voice))
    return {f"projected_{i}": one.shape[-1] for i, one in enumerate(leaves)}


def _mel_part(voice: Voice) -> onnx_parts.Part:
    """z in [-1, 1] to log mels."""
    (frames,) = export.symbolic_shape("n_frames")
    shape = jax.ShapeDtypeStruct((1, frames, voice.info.mel.n_mels), jnp.float32)
    return onnx_parts.traced("mel", voice.acoustic.scaling.unscale, {"z_end": shape})
