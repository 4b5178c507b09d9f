"""An exported voicebank's graphs beside its voice: of the same inputs, from the same noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import jax
import numpy as np

from diffsinger_jax.diffusion.path import Path
from diffsinger_jax.diffusion.sampling import Sampling, start_noise
from diffsinger_jax.features import empty_batch
from diffsinger_jax.interop.openutau.acoustic_graph import has_depth, has_speakers, reads_notes
from diffsinger_jax.interop.openutau.model_folder import ModelFolder
from diffsinger_jax.interop.openutau.onnx_parts import noise_as_inputs
from diffsinger_jax.interop.openutau.sampler_graph import NOISE, graph_sampling
from diffsinger_jax.interop.openutau.variance_graphs import by_words
from diffsinger_jax.interop.openutau.voicebank import Voicebank
from diffsinger_jax.models.nsf_hifigan import NsfHifigan
from diffsinger_jax.modules.sine_source import HARMONICS
from diffsinger_jax.score.phonology import is_vowel
from diffsinger_jax.types import SILENCE, Batch
from diffsinger_jax.voices.onnx_graph import OnnxGraph
from diffsinger_jax.voices.variance import VarianceVoice
from diffsinger_jax.voices.vocoder import NeuralVocoder
from diffsinger_jax.voices.voice import Voice

_FRAMES = np.array([8, 20, 8])
"""Of the phrase that both are shown: a vowel between silences."""
_TOTAL = int(_FRAMES.sum())
MIDI, HZ = 57.0, 220.0
SHOWN = -40.0
"""Of curves that a score must give: a level in dB, or far beyond the range of tension."""
BOUNDS = {"mel": 1e-4, "durations": 0.0, "pitch": 0.1, "curves": 1e-4, "sound": 1e-3}
"""Of `Differences`: shares of a range, numbers of phonemes, cents, amplitude."""


@dataclasses.dataclass(frozen=True)
class Differences:
    """How far a voicebank is from its voice; NaN for what it does not have.

    Attributes:
      mel: largest difference, of the mel's range.
      durations: how many of the predicted durations are others after rounding.
      pitch: largest difference of the predicted pitch in cents.
      curves: largest difference of a predicted curve, of its range.
      sound: largest difference of the waveform.
    """

    mel: float
    durations: float
    pitch: float
    curves: float
    sound: float

    @property
    def too_far(self) -> list[str]:
        """Names of those beyond their bounds."""
        return [name for name, bound in BOUNDS.items() if getattr(self, name) > bound]

    def lines(self) -> Iterator[str]:
        """For people: all that the voicebank has."""
        units = {"mel": "of its range", "pitch": "cents", "curves": "of their range", "sound": ""}
        said = {n: f"{getattr(self, n):.1e} {unit}".strip() for n, unit in units.items()}
        if np.isfinite(self.durations):
            said["durations"] = f"{self.durations:.0f} after rounding"
        there = [f"{n} {text}" for n, text in said.items() if np.isfinite(getattr(self, n))]
        yield f"differences from the voice, given the same noise: {', '.join(there)}"


def differences(bank: Voicebank, voice: Voice, vocoder: NeuralVocoder | None) -> Differences:
    """All graphs of a voicebank beside the voice and the vocoder that it was made of."""
    batch, keys = vowel_batch(voice), jax.random.split(jax.random.key(0), 1)
    of_variance = voice.variance is not None
    return Differences(
        mel=_mel(bank.acoustic, voice, batch, keys),
        durations=_durations(bank.dur, voice) if of_variance else np.nan,
        pitch=_pitch(bank.pitch, voice, keys) if of_variance else np.nan,
        curves=_curves(bank.variance, voice, keys) if of_variance else np.nan,
        sound=np.nan if vocoder is None else _sound(bank, vocoder, batch),
    )


def _share(found: np.ndarray, ours: jax.Array) -> float:
    """The largest difference, of the range of ours."""
    expected = np.asarray(ours)
    return float(np.abs(found - expected).max() / max(float(np.ptp(expected)), 1e-3))


def _mel(part: ModelFolder, voice: Voice, batch: Batch, keys: jax.Array) -> float:
    depth = float(voice.sampling.k_step) / voice.path.depth if has_depth(voice) else None
    steps = _still_steps(voice.sampling, voice.path)
    sampling = graph_sampling(voice.sampling, voice.path, steps, depth)
    shape = (1, _TOTAL, voice.info.mel.n_mels)
    feed = {
        "tokens": batch.tokens,
        **part.language_ids([SILENCE, _vowel(voice), SILENCE]),
        "durations": _FRAMES[None],
        "f0": batch.f0,
        **{name: batch.curves[name] for name in part.settings.shown_curves},
        "gender": np.zeros((1, _TOTAL)),
        "velocity": np.ones((1, _TOTAL)),
        "depth": np.float32(depth or 0.0),
        "steps": np.int64(steps),
        NOISE: np.asarray(start_noise(voice.path, sampling.k_step, keys, shape)),
    }
    if has_speakers(voice):
        feed["spk_embed"] = np.tile(part.embeddings[:1, None], (1, _TOTAL, 1))
    if reads_notes(voice):  # its graph leaves out what the voice takes to be unvoiced
        batch = batch._replace(f0=np.where(voice.predict_f0(batch) > 0, batch.f0, 0.0))
    return _share(_run(part, "acoustic", feed)["mel"], voice.sample_mel(batch, keys, sampling))


def _durations(part: ModelFolder | None, voice: Voice) -> float:
    if part is None or not part.settings.predict_dur:
        return np.nan
    batch, of = _variance_batch(part, voice)
    feed = _encoded(part, voice, of) | {"ph_midi": np.full((1, 3), MIDI)}
    if part.settings.speakers:
        feed["spk_embed"] = np.tile(part.embeddings[:1, None], (1, 3, 1))
    found = part.run("dur", feed)["ph_dur_pred"]
    return float((np.round(found) != np.round(np.asarray(of.predict_frames(batch)))).sum())


def _pitch(part: ModelFolder | None, voice: Voice, keys: jax.Array) -> float:
    if part is None:
        return np.nan
    batch, of = _variance_batch(part, voice)
    sampled, feed = _sampled(part, voice, of, of.model["pitch_settings"]["repeats"], keys)
    feed |= {
        "note_midi": np.full((1, 3), MIDI),
        "note_rest": np.array([[True, False, True]]),
        "note_dur": _FRAMES[None],
        "expr": np.ones((1, _TOTAL)),
        "retake": np.ones((1, _TOTAL), bool),
    }
    found = _run(part, "pitch", feed)["pitch_pred"]
    ours = np.asarray(of.sample_f0(batch, keys, sampled))
    voiced = ours > 0
    cents = 100 * (found - MIDI) - 1200 * np.log2(np.where(voiced, ours, HZ) / HZ)
    return float(np.abs(cents[voiced]).max(initial=0.0))


def _curves(part: ModelFolder | None, voice: Voice, keys: jax.Array) -> float:
    if part is None:
        return np.nan
    batch, of = _variance_batch(part, voice)
    count = len(of.curves)
    channels = of.model["curve_settings"]["repeats"] * count
    sampled, feed = _sampled(part, voice, of, channels, keys)
    feed |= dict.fromkeys(of.curves, np.zeros((1, _TOTAL)))
    feed["retake"] = np.ones((1, _TOTAL, count), bool)
    found, ours = _run(part, "variance", feed), of.sample_curves(batch, keys, sampled)
    return max(_share(found[f"{name}_pred"], ours[name]) for name in of.curves)


def _sound(bank: Voicebank, vocoder: NeuralVocoder, batch: Batch) -> float:
    """Of a mel of noise: it leaves nothing of the generator unheard."""
    mel = np.random.default_rng(0).normal(-4.0, 1.0, (1, _TOTAL, vocoder.mel.n_mels))
    mel = mel.astype(np.float32)
    graph = bank.vocoder().graph
    graph = OnnxGraph.read(noise_as_inputs(graph._bytes), graph.where)
    feed = {"mel": mel, "f0": batch.f0, **vocoder_noise(vocoder.generator, _TOTAL, seed=0)}
    found = graph.run({name: feed[name] for name in graph.inputs})["waveform"]
    variables = {"params": vocoder.params}
    ours = jax.jit(vocoder.generator.apply)(variables, mel, batch.f0, jax.random.key(0))
    return float(np.abs(found - np.asarray(ours)).max())


def vocoder_noise(generator: NsfHifigan, frames: int, seed: int) -> dict[str, np.ndarray]:
    """What a generator draws of a seed's key, by the names in its graph, see `vocoder_graph`."""
    source_key, first_key = jax.random.split(jax.random.key(seed))
    phase_key, noise_key = jax.random.split(source_key)
    orders = HARMONICS + 1
    samples = jax.random.normal(noise_key, (1, frames * generator.hop, orders))
    return {
        "source_phase": np.asarray(jax.random.uniform(phase_key, (1, 1, orders))),
        "source_noise": np.asarray(samples).reshape(1, frames, -1),
        "first_noise": np.asarray(jax.random.normal(first_key, (1, frames, generator.channels))),
    }


def _sampled(
    part: ModelFolder, voice: Voice, of: VarianceVoice, channels: int, keys: jax.Array
) -> tuple[Sampling, dict[str, np.ndarray]]:
    """How pitch or curves are sampled, and the inputs that both graphs have."""
    steps = _still_steps(of.sampling, of.path)
    sampling = graph_sampling(of.sampling, of.path, steps, None)
    noise = start_noise(of.path, sampling.k_step, keys, (1, _TOTAL, channels))
    feed: dict[str, np.ndarray] = {
        "encoder_out": _encoded(part, voice, of)["encoder_out"],
        "ph_dur": _FRAMES[None],
        "pitch": np.full((1, _TOTAL), MIDI),
        "steps": np.array(steps),
        NOISE: np.asarray(noise),
    }
    if part.settings.speakers:
        feed["spk_embed"] = np.tile(part.embeddings[:1, None], (1, _TOTAL, 1))
    return sampling, feed


def _still_steps(sampling: Sampling, path: Path) -> int:
    """Steps as the voice's own, or so few that no noise is drawn between them."""
    if not path.discrete or sampling.temperature == 0:
        return sampling.steps
    return max(1, min(sampling.steps, int(sampling.k_step) // 2))


def _encoded(part: ModelFolder, voice: Voice, of: VarianceVoice) -> dict[str, np.ndarray]:
    """What the linguistic graph makes of the vowel; each phoneme is a word."""
    symbols = [SILENCE, _vowel(voice), SILENCE]
    feed = {"tokens": part.tokens(symbols), **part.language_ids(symbols)}
    if by_words(of):
        feed |= {"word_div": np.ones((1, 3)), "word_dur": _FRAMES[None]}
    else:
        feed["ph_dur"] = _FRAMES[None]
    return part.run("linguistic", feed)


def _run(part: ModelFolder, role: str, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A graph that is given its noise; of the inputs it takes those it has."""
    own = part.graph(role)
    graph = OnnxGraph.read(noise_as_inputs(own._bytes), own.where)
    return graph.run({name: feed[name] for name in graph.inputs})


def _variance_batch(part: ModelFolder, voice: Voice) -> tuple[Batch, VarianceVoice]:
    assert voice.variance is not None
    tokens = part.tokens([SILENCE, _vowel(voice), SILENCE])
    return vowel_batch(voice)._replace(tokens=tokens.astype(np.int32), curves={}), voice.variance


def vowel_batch(voice: Voice) -> Batch:
    """The vowel between silences; all of it is one note's."""
    vocabulary = voice.info.vocabulary
    empty = empty_batch(
        rows=1, frames=_TOTAL, phonemes=3, mel_bins=voice.info.mel.n_mels, curves=voice.curves
    )
    neutral = {"key_shift": 0.0, "speed": 1.0}
    ids = [vocabulary.phonemes.index(name) + 1 for name in (SILENCE, _vowel(voice), SILENCE)]
    vowel = np.array([[0, 1, 0]])
    sec = _FRAMES[None] / voice.info.mel.frames_per_sec
    prefix = _vowel(voice).rpartition("/")[0]
    language = vocabulary.languages.index(prefix) if prefix in vocabulary.languages else -1
    return empty._replace(
        tokens=np.array([ids], np.int32),
        note_midi=(MIDI * vowel).astype(np.float32),
        note_sec=sec.astype(np.float32),
        onset=np.ones((1, 3), np.int32),
        ph_frames=_FRAMES[None].astype(np.int32),
        mel2ph=np.repeat([1, 2, 3], _FRAMES)[None].astype(np.int32),
        f0=np.full((1, _TOTAL), HZ, np.float32),
        mask=np.ones((1, _TOTAL), bool),
        language=np.full((1, 3), language, np.int32),
        curves={
            name: np.full((1, _TOTAL), neutral.get(name, SHOWN), np.float32)
            for name in voice.curves
        },
    )


def _vowel(voice: Voice) -> str:
    return next(name for name in voice.info.vocabulary.phonemes if is_vowel(name))
