"""A variance model of ours as the graphs that OpenUtau asks for, with openvpi's names and types.

linguistic: phonemes to vectors; dur: to frames; pitch: with notes to the pitch; variance: with the
pitch to curves. The sampler's loop and its noise are inside.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from diffsinger_jax.diffusion.samplers import make_sampler
from diffsinger_jax.diffusion.samplers.estimates import X0_BOUND
from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.openutau import onnx_parts
from diffsinger_jax.interop.openutau.graph_inputs import (
    N_FRAMES,
    N_NOTES,
    N_TOKENS,
    N_WORDS,
    GraphInputs,
    owner_of_frames,
    row,
    row_batch,
)
from diffsinger_jax.interop.openutau.onnx_parts import FLOAT32, GraphBuilder
from diffsinger_jax.interop.openutau.sampler_graph import SamplerGraph
from diffsinger_jax.interop.openutau.settings import CURVES
from diffsinger_jax.models.generator import Generator
from diffsinger_jax.models.scaling import PITCH
from diffsinger_jax.models.variance import Variance, VarianceInputs
from diffsinger_jax.modules.length_regulator import expand_to_frames
from diffsinger_jax.modules.melody import Notes, note_line
from diffsinger_jax.types import Batch
from diffsinger_jax.voices.variance import VarianceVoice


def require_exportable(voice: VarianceVoice) -> None:
    """Checks that OpenUtau's inputs and curves are all that a variance model has.

    Raises:
      InputError: naming what else it needs.
    """
    model, needs = voice.variance.model, []
    if model.score_inputs not in ("words", "durations"):
        needs.append(f"the inputs {model.score_inputs} of its encoder")
    if unknown := set(model.curves) - set(CURVES):
        needs.append(f"the curves {', '.join(sorted(unknown))}")
    if list(model.curves) != [name for name in CURVES if name in model.curves]:
        needs.append(f"the order {', '.join(model.curves)} of its curves")
    if dict(model.encoder_settings.get("block_settings", {})).get("style"):
        needs.append("a style of each phoneme")
    if needs:
        raise InputError(
            f"the variance model {voice.name} needs {' and '.join(needs)}, which OpenUtau does not "
            "give; train one with configs/variance_base.py"
        )


def has_speakers(voice: VarianceVoice) -> bool:
    """Whether its graphs take a speaker's embedding."""
    return voice.variance.model.speaker_in_condition and len(voice.vocabulary.speakers) > 1


def has_languages(voice: VarianceVoice) -> bool:
    """Whether its encoder takes languages."""
    return voice.variance.model.encoder_settings.get("cross_lingual") is not None


def by_words(voice: VarianceVoice) -> bool:
    """Whether its encoder reads the frames of words, not of phonemes."""
    return voice.variance.model.score_inputs == "words"


def variance_graphs(voice: VarianceVoice) -> dict[str, bytes]:
    """Those of its graphs that it has the parts for, by the keys of dsconfig.yaml.

    Args:
      voice: see `require_exportable`.

    Raises:
      InputError: as `require_exportable`, or if jax2onnx is not installed.
    """
    require_exportable(voice)
    voice = dataclasses.replace(voice, params=jax.device_put(voice.params))
    model, graphs = voice.variance.model, {"linguistic": _linguistic(voice)}
    if model.durations != "none":
        graphs["dur"] = _dur(voice)
    if model.pitch_settings:
        graphs["pitch"] = _pitch(voice)
    if model.curves:
        graphs["variance"] = _curves(voice)
    return graphs


def _linguistic(voice: VarianceVoice) -> bytes:
    """tokens, languages, words or ph_dur -> encoder_out, x_masks of padding."""
    graph, model = GraphBuilder("linguistic"), voice.variance.model
    inputs = GraphInputs(graph)
    inputs.add("tokens", "int64", N_TOKENS)
    if has_languages(voice):
        inputs.add("languages", "int64", N_TOKENS)
    if by_words(voice):
        inputs.add("word_div", "int64", N_WORDS)
        inputs.add("word_dur", "int64", N_WORDS)
    else:  # the encoder counts the frames of each phoneme
        inputs.add("ph_dur", "int64", N_TOKENS)
        graph.hold(from_0=0, by_1=1, row_axis=[0])
        graph.add(
            ("ReduceSum", "ph_dur", "all_frames", {"keepdims": 0}),
            ("Range", "from_0 all_frames by_1", "frames_row"),
            ("Unsqueeze", "frames_row row_axis", "frame"),
            ("Cast", "frame", "frame_f", {"to": FLOAT32}),
        )
    shapes = inputs.shapes | ({} if by_words(voice) else {"frame_f": row(N_FRAMES)})

    def encode(*arrays: jax.Array) -> tuple[jax.Array, jax.Array]:
        given = inputs.named(arrays[: len(inputs.shapes)])
        tokens, languages = given["tokens"], given.get("languages")
        if by_words(voice):
            onset, durations = _words(tokens, given["word_div"], given["word_dur"])
            batch = row_batch(tokens, durations, tokens, languages=languages, onset=onset)
        else:
            batch = row_batch(tokens, given["ph_dur"], arrays[-1], languages=languages)
        return voice.variance.apply(voice.params, "encode", batch), tokens == 0

    graph.join(onnx_parts.traced("encode", encode, shapes), ["encoder_out", "x_masks"])
    graph.add_output("encoder_out", "float", [1, "n_tokens", model.hidden])
    graph.add_output("x_masks", "bool", [1, "n_tokens"])
    return graph.serialized()


def _words(
    tokens: jax.Array, word_div: jax.Array, word_dur: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Which phonemes begin words, and the words' frames at these: i32[1, N] each."""
    begins = jnp.cumsum(word_div, axis=1) - word_div  # [1, W]
    place = jax.lax.broadcasted_iota(jnp.int32, tokens.shape, 1)
    member = (place[:, :, None] == begins[:, None, :]) & (word_div > 0)[:, None, :]  # [1, N, W]
    member = member.astype(jnp.int32)
    return jnp.sum(member, axis=2), jnp.sum(member * word_dur[:, None, :], axis=2)


def _dur(voice: VarianceVoice) -> bytes:
    """encoder_out, x_masks, ph_midi, spk_embed -> ph_dur_pred, frames that are not rounded."""
    graph, model = GraphBuilder("dur"), voice.variance.model
    inputs = GraphInputs(graph)
    inputs.add("encoder_out", "float", N_TOKENS, model.hidden)
    inputs.add("x_masks", "bool", N_TOKENS)
    inputs.add("ph_midi", "int64", N_TOKENS)
    if has_speakers(voice):
        inputs.add("spk_embed", "float", N_TOKENS, model.hidden)

    def of_model(module: Variance, encoded: Any, pads: Any, midi: Any, speaker: Any = None) -> Any:
        cond = _with_speaker(module, encoded + module.key_embedding(midi), speaker)
        return module.duration_predictor(cond, ~pads, train=False)

    def durations(*arrays: jax.Array) -> jax.Array:
        log_frames: Any = model.apply({"params": voice.params}, *arrays, method=of_model)
        return jnp.maximum(jnp.exp(log_frames) - 1.0, 0.0)

    graph.join(onnx_parts.traced("durations", durations, inputs.shapes), ["ph_dur_pred"])
    graph.add_output("ph_dur_pred", "float", [1, "n_tokens"])
    return graph.serialized()


def _pitch(voice: VarianceVoice) -> bytes:
    """The notes, and where it is given the pitch -> pitch_pred f32[1, T] MIDI."""
    variance, model = voice.variance, voice.variance.model
    graph = GraphBuilder("pitch")
    inputs = _of_frames(voice, graph)
    inputs.add("note_midi", "float", N_NOTES)
    if model.melody_settings:
        inputs.add("note_rest", "bool", N_NOTES)
    inputs.add("note_dur", "int64", N_NOTES)
    for name in ("pitch", "expr"):
        inputs.add(name, "float", N_FRAMES)
    inputs.add("retake", "bool", N_FRAMES)
    if has_speakers(voice):
        inputs.add("spk_embed", "float", N_FRAMES, model.hidden)
    repeats = model.pitch_settings["repeats"]
    sampler = _sampler(voice, variance.pitch_generator(voice.params), repeats)

    def condition(*arrays: jax.Array) -> tuple[jax.Array, ...]:
        given = inputs.named(arrays)
        shown = _pitch_inputs(voice, given)
        expanded = _expanded(voice, given, shown.batch)
        cond = variance.apply(voice.params, "pitch_condition", expanded, shown)
        base = variance.apply(voice.params, "base", shown)
        return (*sampler.projected(cond), _zeros(base, repeats), base)

    made = onnx_parts.traced("condition", condition, inputs.shapes)
    graph.join(made, [*sampler.known, "prior", "base"])
    sampler.add_to(graph)

    def pitch(z: jax.Array, base: jax.Array) -> jax.Array:
        return base + variance.pitch_scaling.unscale(z)[..., 0]

    shapes = {"z": row(N_FRAMES, repeats), "base": row(N_FRAMES)}
    graph.join(onnx_parts.traced("unscale", pitch, shapes), ["pitch_pred"])
    graph.add_output("pitch_pred", "float", [1, "n_frames"])
    return graph.serialized()


def _pitch_inputs(voice: VarianceVoice, given: dict[str, jax.Array]) -> VarianceInputs:
    midi, frames = given["note_midi"], given["note_dur"]
    owner = owner_of_frames(frames, given["pitch"])
    rest = given.get("note_rest", midi < 0)
    notes = Notes(midi, rest, frames, jnp.zeros_like(frames), owner)
    batch = row_batch(given["ph_dur"], given["ph_dur"], given["pitch"])
    return VarianceInputs(
        batch=batch,
        key=batch.tokens,
        notes=notes,
        line=note_line(notes, voice.frames_per_sec),
        pitch=given["pitch"],
        retake={PITCH: given["retake"]},
        expressiveness=given["expr"],
    )


def _curves(voice: VarianceVoice) -> bytes:
    """The pitch, and where they are given the curves -> each curve's f32[1, T]."""
    variance, model = voice.variance, voice.variance.model
    graph, count = GraphBuilder("variance"), len(voice.curves)
    inputs = _of_frames(voice, graph)
    for name in ("pitch", *voice.curves):
        inputs.add(name, "float", N_FRAMES)
    inputs.add("retake", "bool", N_FRAMES, count)
    if has_speakers(voice):
        inputs.add("spk_embed", "float", N_FRAMES, model.hidden)
    channels = model.curve_settings["repeats"] * count
    sampler = _sampler(voice, variance.curve_generator(voice.params), channels)

    def condition(*arrays: jax.Array) -> tuple[jax.Array, ...]:
        given = inputs.named(arrays)
        pitch, curves = given["pitch"], {name: given[name] for name in voice.curves}
        batch = row_batch(given["ph_dur"], given["ph_dur"], pitch, curves=curves)
        retake = {name: given["retake"][..., i] for i, name in enumerate(voice.curves)}
        none = Notes(pitch, batch.tokens, batch.tokens, batch.tokens, batch.mel2ph)
        shown = VarianceInputs(batch, batch.tokens, none, pitch, pitch, retake, pitch)
        expanded = _expanded(voice, given, batch)
        cond = variance.apply(voice.params, "curve_condition", expanded, shown)
        return (*sampler.projected(cond), _zeros(pitch, channels))

    made = onnx_parts.traced("condition", condition, inputs.shapes)
    graph.join(made, [*sampler.known, "prior"])
    sampler.add_to(graph)

    def values(z: jax.Array) -> tuple[jax.Array, ...]:
        found = variance.curve_scaling.unscale(z)
        return tuple(found[..., i] for i in range(count))

    names = [f"{name}_pred" for name in voice.curves]
    graph.join(onnx_parts.traced("unscale", values, {"z": row(N_FRAMES, channels)}), names)
    for name in names:
        graph.add_output(name, "float", [1, "n_frames"])
    return graph.serialized()


def _of_frames(voice: VarianceVoice, graph: GraphBuilder) -> GraphInputs:
    """What pitch and curves begin with."""
    inputs = GraphInputs(graph)
    inputs.add("encoder_out", "float", N_TOKENS, voice.variance.model.hidden)
    inputs.add("ph_dur", "int64", N_TOKENS)
    return inputs


def _expanded(voice: VarianceVoice, given: dict[str, jax.Array], batch: Batch) -> jax.Array:
    """`Variance.expand` of a speaker that is an embedding."""

    def of_model(module: Variance, encoded: Any, speaker: Any) -> Any:
        x = expand_to_frames(encoded, batch.mel2ph)
        if module.stretch:
            x = module.stretch_embedding(x, batch.mel2ph, batch.tokens.shape[1])
        return _with_speaker(module, x, speaker)

    arguments = given["encoder_out"], given.get("spk_embed")
    params = {"params": voice.params}
    expanded: Any = voice.variance.model.apply(params, *arguments, method=of_model)
    return expanded


def _with_speaker(module: Variance, x: jax.Array, speaker: jax.Array | None) -> jax.Array:
    if not module.speaker_in_condition:
        return x
    alone = module.speaker_embedding(jnp.zeros((1, 1), jnp.int32)) if speaker is None else speaker
    return x + alone


def _zeros(like: jax.Array, channels: int) -> jax.Array:
    """[1, T] -> zeros f32[1, T, channels], whose shape the noise has."""
    return (like * 0.0)[..., None] * jnp.zeros((1, 1, channels))


def _sampler(voice: VarianceVoice, generator: Generator, channels: int) -> SamplerGraph:
    clips = make_sampler(voice.sampling.method).clips and voice.sampling.clip_x0
    return SamplerGraph(
        generator,
        width=voice.variance.model.hidden,
        channels=channels,
        temperature=voice.sampling.temperature,
        bound=X0_BOUND if clips else None,
    )
