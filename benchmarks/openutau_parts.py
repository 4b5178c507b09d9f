"""A phrase as a voice's encoder is told of it, and as OpenUtau would have told it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.diffusion.sampling import start_noise
from diffsinger_jax.interop.openutau.graph_notes import notes_of_pitch
from diffsinger_jax.interop.openutau.models import PhraseMel, acoustic_steps
from diffsinger_jax.interop.openutau.onnx_parts import noise_as_inputs
from diffsinger_jax.interop.openutau.sampler_graph import NOISE
from diffsinger_jax.interop.openutau.synthesizer import VoicebankSynthesizer
from diffsinger_jax.pipeline.collate import collate
from diffsinger_jax.pipeline.plan import Bucket
from diffsinger_jax.synthesis.arrays import PieceArrays
from diffsinger_jax.synthesis.buckets import bucket_frames
from diffsinger_jax.synthesis.mels import MelPiece
from diffsinger_jax.synthesis.phrase_mels import PADDING_FRAMES
from diffsinger_jax.types import SILENCE, Batch
from diffsinger_jax.voices.onnx_graph import OnnxGraph
from diffsinger_jax.voices.voice import Voice


class Part(NamedTuple):
    """A phrase with its silences as the voice's encoder is told of it.

    Attributes:
      example: arrays [N] by name, with `ph_frames`.
      f0: f32[T] Hz, 0 unvoiced.
      filled: f32[T] Hz without gaps, as the voicebank's graph is given it.
      curves: f32[T] by name.
      again: bool[N], the vowels that a slur sings again.
    """

    example: dict[str, np.ndarray]
    f0: np.ndarray
    filled: np.ndarray
    curves: dict[str, np.ndarray]
    again: np.ndarray

    def on(self, ph_frames: np.ndarray) -> Part:
        """With other durations, the frames cut or held at the end."""
        places = np.minimum(np.arange(int(ph_frames.sum())), len(self.f0) - 1)
        curves = {name: values[places] for name, values in self.curves.items()}
        example = self.example | {"ph_frames": ph_frames.astype(np.int32)}
        return self._replace(
            example=example, f0=self.f0[places], filled=self.filled[places], curves=curves
        )


Change = Callable[[Part], Part]


def changes(voice: Voice, theirs: PhraseMel) -> dict[str, Change]:
    """What makes the voice's inputs the graph's, in order."""
    spec, vocabulary = voice.info.mel, voice.info.vocabulary
    frames = theirs.grid.ph_dur

    def slurs(part: Part) -> Part:
        first = np.flatnonzero(~part.again)
        merged = {n: v[first] if np.ndim(v) else v for n, v in part.example.items()}
        counts = np.add.reduceat(part.example["ph_frames"], first)
        merged["ph_frames"] = counts.astype(np.int32)
        return part._replace(example=merged, again=part.again[first])

    def rounding(part: Part) -> Part:
        first = np.flatnonzero(~part.again)
        own = part.example["ph_frames"]
        last = np.append(first[1:], len(own)) - 1  # of each group, what takes up the difference
        counts = own.copy()
        counts[last] += frames - np.add.reduceat(own, first)
        return part.on(np.maximum(counts, 0))

    def pitch(part: Part) -> Part:
        return part._replace(f0=np.where(part.f0 > 0, part.filled, 0).astype(np.float32))

    def notes(part: Part) -> Part:
        tokens, ph_frames = (jnp.asarray(part.example[n][None]) for n in ("tokens", "ph_frames"))
        filled = jnp.asarray(part.filled[None])
        read_off = notes_of_pitch(tokens, ph_frames, filled, vocabulary, spec.frames_per_sec)
        midi, sec = map(np.asarray, read_off)
        read = {"note_midi": midi[0], "note_sec": sec[0], "slur": 0 * part.example["slur"]}
        return part._replace(example=part.example | read)

    def voicing(part: Part) -> Part:
        predicted = voice.predict_f0(batch_of(voice, part._replace(f0=part.filled)))
        voiced = np.asarray(predicted)[0, : len(part.f0)] > 0
        return part._replace(f0=np.where(voiced, part.filled, 0).astype(np.float32))

    return {
        "f0 at its frames": pitch,
        "notes read off f0": notes,
        "predicted voicing": voicing,
        "slurred vowels as one": slurs,
        "OpenUtau's rounding to frames": rounding,
    }


def sung_again(tokens: np.ndarray, slur: np.ndarray, onset: np.ndarray) -> np.ndarray:
    """bool[N]: the vowels that a slur sings again."""
    again = np.concatenate([[False], tokens[1:] == tokens[:-1]])
    return again & (slur > 0) & (onset > 0)


def batch_of(voice: Voice, part: Part) -> Batch:
    """One row."""
    frames = bucket_frames(len(part.f0), len(part.example["tokens"]))
    example = part.example | {"f0": part.f0} | part.curves
    return collate([example], Bucket(1, frames, frames // 4), voice.info.mel.n_mels, voice.curves)


def sung(voice: Voice, part: Part) -> np.ndarray:
    """f32[T, M]."""
    return np.asarray(voice.sample_mel(batch_of(voice, part), _keys()))[0, : len(part.f0)]


def own_part(arrays: PieceArrays, mel: MelPiece, theirs: PhraseMel, spec) -> Part:
    """The phrase in the piece that the voice sang."""
    silent = np.array([phoneme.symbol == SILENCE for phoneme in arrays.phonemes])
    ends = np.cumsum(mel.ph_frames)
    begin_sec = theirs.phones[0].start_sec - arrays.piece.offset_sec
    begin = round(begin_sec * spec.frames_per_sec) + arrays.head_frames
    off = np.abs(ends - mel.ph_frames - begin)
    first = int(np.argmin(np.where(silent, len(silent) * 10**6, off)))
    last = first + int(np.argmax(silent[first:]))
    ph_frames = mel.ph_frames[first - 1 : last + 1].astype(np.int32)
    ph_frames[[0, -1]] = PADDING_FRAMES
    which = slice(first - 1, last + 1)
    example = {n: v[which] if np.ndim(v) else v for n, v in arrays.example.items()}
    example["note_sec"] = np.array(example["note_sec"])
    example["note_sec"][[0, -1]] = PADDING_FRAMES / spec.frames_per_sec
    places = np.arange(int(ends[first - 1]) - PADDING_FRAMES, int(ends[last - 1]) + PADDING_FRAMES)
    inside = (places >= 0) & (places < mel.frames)
    f0 = np.where(inside, mel.f0[np.clip(places, 0, mel.frames - 1)], 0).astype(np.float32)
    at = np.minimum(np.arange(len(places)), theirs.grid.frames - 1)
    curves = {name: values[at].astype(np.float32) for name, values in theirs.curves.items()}
    again = sung_again(*(example[name] for name in ("tokens", "slur", "onset")))
    return Part(example | {"ph_frames": ph_frames}, f0, theirs.f0[at], curves, again)


class OurNoise:
    """The acoustic graph of a voicebank, given the noise that the voice draws in `sung`."""

    def __init__(self, bank: VoicebankSynthesizer, voice: Voice):
        """Takes the place of the graph in the voicebank."""
        part = bank.voice.acoustic
        graph = part.graph("acoustic")
        self._given = OnnxGraph.read(noise_as_inputs(graph._bytes), graph.where)
        self._voice = voice
        self.where, self.inputs = graph.where, graph.inputs
        graphs: dict[str, Any] = part._graphs
        graphs["acoustic"] = self

    def run(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `OnnxGraph.run`."""
        shape = (1, feed["f0"].shape[1], self._voice.info.mel.n_mels)
        path, k_step = self._voice.path, float(self._voice.sampling.k_step)
        return self._given.run(
            feed | {NOISE: np.asarray(start_noise(path, k_step, _keys(), shape))}
        )

    def seed(self, seed: int) -> None:
        """Nothing: its noise is always the same."""


def _keys() -> jax.Array:
    return jax.random.split(jax.random.key(0), 1)


def graph_mel(bank: VoicebankSynthesizer, voice: Voice, part: Part) -> np.ndarray:
    """f32[T, M] of the acoustic graph of a voicebank with one speaker and language."""
    acoustic = bank.voice.acoustic
    feed = {
        "tokens": part.example["tokens"][None],
        "durations": part.example["ph_frames"][None],
        "f0": part.filled[None],
        **{name: values[None] for name, values in part.curves.items()},
        **acoustic_steps(acoustic, bank.resolve_sampling(steps=voice.sampling.steps)),
    }
    return acoustic.run("acoustic", feed)["mel"][0]
