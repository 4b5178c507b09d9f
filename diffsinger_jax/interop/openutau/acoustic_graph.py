"""An acoustic model of ours as the graph that OpenUtau asks for: phonemes and curves to a mel.

What is known of every frame is computed once; a loop samples from the noised auxiliary mel.
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
    N_TOKENS,
    GraphInputs,
    row,
    row_batch,
)
from diffsinger_jax.interop.openutau.graph_notes import notes_of_pitch
from diffsinger_jax.interop.openutau.sampler_graph import SamplerGraph
from diffsinger_jax.models.diffsinger import DiffSinger
from diffsinger_jax.modules.length_regulator import expand_to_frames
from diffsinger_jax.synthesis.controls import DEFAULT_RANGES
from diffsinger_jax.types import Batch
from diffsinger_jax.voices.voice import Voice

_SHOWN = ("energy", "breathiness", "voicing", "tension")
_CONTROLS = {"gender": "key_shift", "velocity": "speed"}


def require_exportable(voice: Voice) -> None:
    """Checks that OpenUtau's inputs are all that a voice needs.

    Raises:
      InputError: naming what else it needs.
    """
    model, needs = voice.acoustic.model, []
    if model.score_inputs not in ("durations", "continuous"):
        needs.append("the notes of the score")
    if model.score_inputs == "continuous" and model.speakers > 1:
        needs.append("a speaker of each phoneme")
    if model.score_inputs == "continuous" and model.languages > 1:
        needs.append("a language of each phoneme")
    if model.prior_field:
        needs.append("the sampler of the process field")
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


def reads_notes(voice: Voice) -> bool:
    """Whether its encoder is told notes, which its graph then reads off f0."""
    return voice.acoustic.model.score_inputs == "continuous"


def has_depth(voice: Voice) -> bool:
    """Whether its graph starts from an auxiliary mel, as deep as it is told."""
    return voice.acoustic.model.auxiliary != "none" and voice.sampling.start == "auxiliary"


def acoustic_graph(voice: Voice) -> bytes:
    """The model, opset 17, batch 1.

    Inputs, where the voice has them: tokens, languages, durations i64[1, n_tokens]; f0, energy,
    breathiness, voicing, tension, gender, velocity f32[1, n_frames]; spk_embed
    f32[1, n_frames, H]; depth f32[]; steps i64[]. Output: mel f32[1, n_frames, M].

    Args:
      voice: see `require_exportable`.

    Raises:
      InputError: if it needs what OpenUtau does not give, or jax2onnx is not installed.
    """
    require_exportable(voice)
    voice = dataclasses.replace(voice, params=jax.device_put(voice.params))
    names, sampler = frame_curves(voice), _sampler(voice)
    graph = onnx_parts.GraphBuilder("acoustic")
    inputs = GraphInputs(graph)
    inputs.add("tokens", "int64", N_TOKENS)
    if has_languages(voice):
        inputs.add("languages", "int64", N_TOKENS)
    inputs.add("durations", "int64", N_TOKENS)
    for name in ("f0", *names):
        inputs.add(name, "float", N_FRAMES)
    if has_speakers(voice):
        inputs.add("spk_embed", "float", N_FRAMES, voice.acoustic.model.hidden)
    graph.join(_condition_part(voice, inputs, sampler), [*sampler.known, "prior"])
    sampler.add_to(graph)
    mel = {"z": row(N_FRAMES, voice.info.mel.n_mels)}
    graph.join(onnx_parts.traced("unscale", voice.acoustic.scaling.unscale, mel), ["mel"])
    graph.add_output("mel", "float", [1, "n_frames", voice.info.mel.n_mels])
    return graph.serialized()


def _sampler(voice: Voice) -> SamplerGraph:
    sampling, model, bins = voice.sampling, voice.acoustic.model, voice.info.mel.n_mels
    clips = make_sampler(sampling.method).clips and sampling.clip_x0
    return SamplerGraph(
        voice.acoustic.generator(voice.params),
        width=model.hidden + (bins if model.condition_on_prior else 0),
        channels=bins,
        depth=float(sampling.k_step) if has_depth(voice) else None,
        temperature=sampling.temperature,
        bound=X0_BOUND if clips else None,
    )


def _condition_part(voice: Voice, inputs: GraphInputs, sampler: SamplerGraph) -> onnx_parts.Part:
    """Tokens, durations, languages, curves and speaker to what the sampler knows of each frame.

    The last output is the prior, z [1, T, M]: the auxiliary mel, or zeros of its shape.
    """
    acoustic, params = voice.acoustic, voice.params
    ranges = {**DEFAULT_RANGES, **voice.ranges}

    def condition(*arrays: jax.Array) -> tuple[jax.Array, ...]:
        given = inputs.named(arrays)
        curves = {_CONTROLS.get(name, name): given[name] for name in frame_curves(voice)}
        if "key_shift" in curves:
            low, high = ranges["key_shift"]
            share = jnp.clip(curves["key_shift"], -1.0, 1.0)
            curves["key_shift"] = jnp.where(share >= 0, share * high, share * abs(low))
        if "speed" in curves:
            curves["speed"] = jnp.clip(curves["speed"], *ranges["speed"])
        whole, languages = (given["tokens"], given["durations"]), given.get("languages")
        batch = row_batch(*whole, given["f0"], languages=languages, curves=curves)
        if reads_notes(voice):
            about = voice.info.vocabulary, voice.info.mel.frames_per_sec
            note_midi, note_sec = notes_of_pitch(*whole, given["f0"], *about)
            batch = batch._replace(note_midi=note_midi, note_sec=note_sec)
        cond: Any = acoustic.model.apply(
            {"params": params}, batch, given.get("spk_embed"), method=_condition
        )
        if acoustic.model.auxiliary == "none":
            prior = cond[..., :1] * jnp.zeros((1, 1, acoustic.model.mel_bins))
        else:
            prior = acoustic._apply(params, "auxiliary_mel", cond, batch.mask)
        return (*sampler.projected(acoustic._shown(cond, prior)), prior)

    return onnx_parts.traced("condition", condition, inputs.shapes)


def _condition(model: DiffSinger, batch: Batch, speaker: jax.Array | None) -> jax.Array:
    """`DiffSinger.condition` of an f0 without gaps and a speaker that is an embedding.

    A model that expects gaps, and predicts where they are, is asked for them.
    """
    encoded = model.encode(batch)
    cond = expand_to_frames(encoded, batch.mel2ph)
    if model.stretch:
        cond = model.stretch_embedding(cond, batch.mel2ph, batch.tokens.shape[1])
    if speaker is not None:
        cond += speaker
    elif model.speaker_in_condition:
        cond += model.speakers_of(batch)
    f0 = batch.f0
    if model.pitch == "note_residual" and model.pitch_input == "continuous":
        note, _, voiced = model.predict_pitch(encoded, batch)
        f0 = jnp.where((note > 0) & (voiced > 0), f0, 0.0)
    if model.pitch_input != "none":
        cond += model.pitch_embedding(f0)
    return cond + model.curve_embedding(batch.curves) if model.curves else cond
