"""A segment.ds through a variance model, beside what openvpi/DiffSinger predicted of it.

Three runs: all predicted; durations given; durations and f0 given.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

import golden_variance
import jax
import jax.numpy as jnp
import numpy as np
import yaml
from golden_measure import BOUND, SAMPLED_BOUND, Found, relative

from diffsinger_jax import features
from diffsinger_jax.audio.curves import resample_curve
from diffsinger_jax.models.diffsinger import SPEAKER_MIX
from diffsinger_jax.models.scaling import PITCH
from diffsinger_jax.models.variance import PHONEME_SPEAKER_MIX, VarianceInputs
from diffsinger_jax.modules.length_regulator import fit_to_words
from diffsinger_jax.modules.melody import Notes, fill_rests, note_line
from diffsinger_jax.pitch import fill_unvoiced, hz_to_midi
from diffsinger_jax.score.ds_schema import SPEAKER_PREFIX, Segment, parse_segment
from diffsinger_jax.types import frames_reached
from diffsinger_jax.voices.variance import VarianceVoice

RUNS = ("auto", "given", "given_pitch")


def matches(folder: Path) -> bool:
    """Whether it is a variance experiment with a segment."""
    needed = ("cases_ds.npz", "segment.ds")
    return golden_variance.matches(folder) and all((folder / name).is_file() for name in needed)


def differences(folder: Path) -> Found:
    """Of what the model is shown, and of what it makes of the recorded noise, in all runs."""
    with np.load(folder / "cases_ds.npz") as arrays:
        cases = dict(arrays)
    voice = golden_variance.import_folder(folder).voice
    (raw,) = json.loads((folder / "segment.ds").read_text(encoding="utf-8"))
    segment, faults = parse_segment(raw)
    assert segment is not None, faults
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    glides = config.get("glide_types") or []
    found: Found = {}
    for run in RUNS:
        got = run_numbers(voice, segment, glides, cases, run)
        for name, value in got.items():
            if f"{run}_{name}" not in cases:
                continue  # what this experiment is not shown
            recorded = cases[f"{run}_{name}"]
            bound = SAMPLED_BOUND if name.startswith("out_") else BOUND
            found[f"{run}_{name}"] = (
                relative(np.asarray(value).reshape(recorded.shape), recorded),
                bound,
            )
    return found


def run_numbers(voice: VarianceVoice, segment: Segment, glides, cases, run: str) -> dict:
    """One run's inputs and outputs, by the names of what was recorded."""
    variance = golden_variance.seeing_padding(voice.variance)
    inputs, word_frames = inputs_of_segment(voice, segment, glides, run)
    params = voice.params

    @jax.jit
    def durations(params, inputs):
        encoded = variance.apply(params, "encode", inputs.batch)
        log_frames = variance.apply(params, "predict_durations", encoded, inputs)
        frames = jnp.maximum(jnp.expm1(log_frames), 0.0)
        word = jnp.cumsum(inputs.batch.onset, axis=1)
        return fit_to_words(frames, word, jnp.asarray(word_frames)[None])

    predicted = np.asarray(durations(params, inputs))
    if run == "auto":
        inputs = with_durations(inputs, predicted[0])

    @jax.jit
    def sampled(params, inputs):
        call = functools.partial(variance.apply, params)
        steps = voice.sampling.steps
        expanded = variance.expanded(params, inputs)
        cond = call("pitch_condition", expanded, inputs)
        generator = variance.pitch_generator(params)
        noise = cases[f"{run}_noise0"]
        z = golden_variance.from_noise(variance, generator, cond, inputs, noise, "euler", steps)
        pitch = call("base", inputs) + variance.pitch_scaling.unscale(z)[..., 0]
        shown = inputs if run == "given_pitch" else inputs._replace(pitch=pitch)
        curve_cond = call("curve_condition", expanded, shown)
        generator = variance.curve_generator(params)
        noise = cases[f"{run}_noise1"]
        z = golden_variance.from_noise(
            variance, generator, curve_cond, inputs, noise, "euler", steps
        )
        return pitch, variance.curve_scaling.unscale(z)

    pitch, curves = sampled(params, inputs)
    shared = set(voice.model["encoder_settings"].get("cross_lingual") or ())
    tokens = inputs.batch.tokens
    got = {
        "batch_tokens": tokens,
        "batch_languages": np.where(np.isin(tokens, list(shared)), inputs.batch.language + 1, 0),
        "batch_ph2word": np.cumsum(inputs.batch.onset, axis=1),
        "batch_ph_spk_mix_value": inputs.batch.curves[PHONEME_SPEAKER_MIX],
        "batch_spk_mix_value": inputs.batch.curves[SPEAKER_MIX],
        "batch_word_dur": word_frames,
        "batch_note_midi": inputs.notes.midi,
        "batch_note_dur": inputs.notes.frames,
        "batch_note_rest": inputs.notes.rest,
        "batch_note_glide": inputs.notes.glide,
        "batch_mel2note": inputs.notes.mel2note,
        "batch_base_pitch": inputs.line,
        "batch_midi": inputs.key,
        "out_dur": predicted,
        "out_pitch": pitch,
    }
    if run != "auto":
        got |= {"batch_ph_dur": inputs.batch.ph_frames, "batch_mel2ph": inputs.batch.mel2ph}
    got |= (
        {"batch_pitch": inputs.pitch}
        if run == "given_pitch"
        else {"batch_expr": inputs.expressiveness}
    )
    return got | {f"out_{name}": curves[..., i] for i, name in enumerate(voice.curves)}


def inputs_of_segment(
    voice: VarianceVoice, segment: Segment, glides, run: str
) -> tuple[VarianceInputs, np.ndarray]:
    """What the program shows the model, and the frames of the words; frames are the notes'."""
    rate, vocabulary = voice.frames_per_sec, voice.vocabulary
    note_frames = frames_reached(segment.note_sec, rate)
    frames = int(note_frames.sum())
    midi = fill_rests(np.array([np.nan if m is None else m for m in segment.midis]))
    said = segment.glides or ("none",) * len(midi)
    mel2note = np.repeat(np.arange(len(midi)), note_frames) + 1
    notes = Notes(
        midi=midi[None],
        rest=np.array([[m is None for m in segment.midis]]),
        frames=note_frames[None],
        glide=np.array([[glides.index(g) + 1 if g in glides else 0 for g in said]]),
        mel2note=mel2note[None],
    )
    word = np.repeat(np.arange(len(segment.word_sizes)), segment.word_sizes)
    onset = (np.diff(word, prepend=-1) > 0).astype("i4")
    ph_frames = frames_reached(segment.ph_sec, rate)
    if run == "auto":
        heads = np.cumsum(~np.array(segment.slurs)) - 1
        word_frames = np.bincount(heads, note_frames)
    else:
        word_frames = np.bincount(word, ph_frames)
    word_frames = word_frames.astype("i4")
    starts = np.flatnonzero(onset)
    shown = np.zeros(len(word), "i4")
    shown[starts] = word_frames  # the words' sums alone, where durations are predicted
    batch = features.empty_batch(
        rows=1, frames=frames, phonemes=len(word), mel_bins=1, curves=voice.curves
    )
    language = vocabulary.languages.index(segment.language)
    prefixes = [symbol.rpartition("/")[0] or segment.language for symbol in segment.symbols]
    names = [
        symbol if symbol in vocabulary.names else f"{segment.language}/{symbol}"
        for symbol in segment.symbols
    ]
    batch = batch._replace(
        tokens=vocabulary.phoneme_ids(names)[None],
        onset=onset[None],
        ph_frames=(shown if run == "auto" else ph_frames)[None],
        language=np.array(
            [[vocabulary.languages.index(p) if p else language for p in prefixes]], "i4"
        ),
        mask=np.ones((1, frames), bool),
        curves={
            **dict.fromkeys(voice.curves, np.zeros((1, frames), "f4")),
            SPEAKER_MIX: shares(segment_speakers(segment), vocabulary.speakers),
            PHONEME_SPEAKER_MIX: shares(segment.phoneme_speakers, vocabulary.speakers),
        },
    )
    pitch = np.zeros((1, frames), "f4")
    if run == "given_pitch":
        pitch = given_pitch(segment, frames, rate)[None]
    everywhere = np.ones((1, frames), bool)
    values = np.ones(frames)
    if (expr := segment.curves.get("expr")) is not None:
        values = resample_curve(expr.values, expr.timestep_sec, frames, rate)
    of_words = run == "auto"
    key = mean_keys(midi, note_frames, word_frames if of_words else ph_frames)
    inputs = VarianceInputs(
        batch=batch,
        key=(key[word] if of_words else key)[None].astype("i4"),
        notes=notes,
        line=np.asarray(note_line(notes, rate)),
        pitch=pitch,
        retake=dict.fromkeys((PITCH, *voice.curves), everywhere),
        expressiveness=everywhere.astype("f4")
        if run == "given_pitch"
        else values.astype("f4")[None],
    )
    return (inputs if run == "auto" else with_durations(inputs, ph_frames)), word_frames


def mean_keys(midi, note_frames, group_frames) -> np.ndarray:
    """Mean of the notes over each group of frames, half to even, i[groups]."""
    line = np.repeat(midi, note_frames)
    ends = np.cumsum(group_frames)
    line = np.pad(line, (0, max(int(ends[-1]) - len(line), 0)), mode="edge")
    return np.array(
        [
            np.round(line[end - n : end].mean()) if n else 0
            for end, n in zip(ends, group_frames, strict=True)
        ]
    )


def with_durations(inputs: VarianceInputs, ph_frames: np.ndarray) -> VarianceInputs:
    """With a phoneme for each frame of the notes, the last one held."""
    frames = inputs.line.shape[1]
    mel2ph = np.repeat(np.arange(len(ph_frames)), ph_frames)[:frames] + 1
    mel2ph = np.pad(mel2ph, (0, frames - len(mel2ph)), mode="edge")
    return inputs._replace(batch=inputs.batch._replace(mel2ph=mel2ph[None].astype("i4")))


def segment_speakers(segment: Segment) -> dict[str, float]:
    """Shares that hold for the whole segment."""
    return {
        name.removeprefix(SPEAKER_PREFIX): float(curve.values[0])
        for name, curve in segment.curves.items()
        if name.startswith(SPEAKER_PREFIX)
    }


def shares(mix, speakers) -> np.ndarray:
    """f32[1, 1, speakers] of sum 1; the first alone where nothing is said."""
    mix = mix or {speakers[0]: 1.0}
    values = np.array([mix.get(name, 0.0) for name in speakers])
    return (values / values.sum()).astype("f4")[None, None]


def given_pitch(segment: Segment, frames: int, rate: float) -> np.ndarray:
    """f32[frames] MIDI of the segment's f0, filled and resampled in the program's order."""
    curve = segment.curves["f0"]
    hertz = resample_curve(fill_unvoiced(curve.values), curve.timestep_sec, frames, rate)
    return hz_to_midi(hertz).astype("f4")
