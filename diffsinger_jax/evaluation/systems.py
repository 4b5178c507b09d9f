"""The same pieces by every system: the true mel, the auxiliary mel, diffusion from several k."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.diffusion.path import Path
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.pipeline.collate import collate
from diffsinger_jax.pipeline.plan import (
    PADDING_ROW,
    default_bucket_edges,
    make_buckets,
    plan_epoch,
)
from diffsinger_jax.pipeline.prepared import Example
from diffsinger_jax.score.phonology import is_vowel
from diffsinger_jax.synthesis.harmonic import render_rows
from diffsinger_jax.synthesis.timing import fit_to_score
from diffsinger_jax.types import Batch, CorpusInfo, MelSpec, Vocabulary
from diffsinger_jax.voices.sampling import resolve_sampling

SHAPES = 2
"""Buckets of an evaluation: compiling a shape costs more than some padding."""
TRUE_MEL, AUXILIARY = "true mel", "auxiliary mel"
PREDICTED_F0, PREDICTED_ALL = "predicted f0", "predicted durations and f0"


class Singer(Protocol):
    """What of a `voices.voice.Voice` is needed here."""

    @property
    def info(self) -> CorpusInfo:
        """Of its corpus."""

    @property
    def sampling(self) -> Sampling:
        """Its own."""

    @property
    def curves(self) -> tuple[str, ...]:
        """That it sings by."""

    @property
    def predicted_curves(self) -> tuple[str, ...]:
        """Of them, those that it predicts."""

    @property
    def speaks(self) -> bool:
        """Whether its durations are its own, and fitted to no score."""
        ...

    @property
    def path(self) -> Path:
        """Along which it samples."""
        ...

    def predict_frames(self, batch: Batch) -> jax.Array:
        """f32[B, N] durations in frames."""
        ...

    def predict_f0(self, batch: Batch) -> jax.Array:
        """f32[B, T] Hz."""
        ...

    def predict_curves(self, batch: Batch) -> Mapping[str, jax.Array]:
        """f32[B, T] by name."""
        ...

    def sample_mel(self, batch: Batch, keys: jax.Array, sampling: Sampling) -> jax.Array:
        """f32[B, T, M] log mel."""
        ...


class Sung(NamedTuple):
    """One piece by one system.

    Attributes:
      mel: f32[T, M] log amplitude.
      f0: f32[T] Hz that it was sung with.
      ph_frames: i32[N] durations that it was sung with.
    """

    mel: np.ndarray
    f0: np.ndarray
    ph_frames: np.ndarray


def diffusion_name(path: Path, k_step: float, temperature: float) -> str:
    """How the tables call diffusion from k, whose noise has the factor `temperature`."""
    kind = "naive diffusion" if k_step == path.depth else "shallow"
    return f"{kind} k={k_step:g}, temperature {temperature:g}"


def diffusion_systems(
    voice: Singer, k_steps: Sequence[float], temperatures: Sequence[float]
) -> dict[str, Sampling]:
    """The auxiliary mel, and diffusion from each k at each temperature, by their names."""
    return {AUXILIARY: resolve_sampling(voice, k_step=0)} | {
        diffusion_name(voice.path, k_step, temperature): resolve_sampling(
            voice, k_step=k_step, temperature=temperature
        )
        for k_step, temperature in itertools.product(k_steps, temperatures)
    }


def sing_all(
    voice: Singer,
    examples: Sequence[Example],
    k_steps: Sequence[float],
    *,
    temperatures: Sequence[float],
    seed: int,
    frames_per_batch: int,
    on_system: Callable[[str], None] = lambda name: None,
) -> dict[str, list[Sung]]:
    """Every system's rendition of every piece.

    All but the last two take durations and f0 from the recording. `PREDICTED_F0` takes only the
    durations, `PREDICTED_ALL` only when the notes begin: its durations are fitted to that, as
    they are when a score is sung; those of a voice that speaks are its own. Curves that the voice
    predicts, it predicts there, too. Both are sampled as the voice's `sampling` says.

    Args:
      examples: pieces of a prepared corpus.
      k_steps: > 0, where shallow diffusion starts.
      temperatures: factors on the noise; each k is sampled at each of them.
      on_system: told the name of the system that begins.

    Returns:
      system -> one `Sung` for each example, in their order.
    """
    true = [Sung(e["mel"], e["f0"], e["ph_frames"]) for e in examples]
    by_system = {TRUE_MEL: true}
    render = functools.partial(mels_of, voice, seed=seed, frames_per_batch=frames_per_batch)

    for name, sampling in diffusion_systems(voice, k_steps, temperatures).items():
        on_system(name)
        by_system[name] = [
            piece._replace(mel=mel)
            for piece, mel in zip(true, render(examples, sampling), strict=True)
        ]

    on_system(PREDICTED_F0)
    with_f0 = _with_f0(voice, examples, frames_per_batch)
    mels = render(with_f0, voice.sampling)
    by_system[PREDICTED_F0] = [
        Sung(mel, e["f0"], e["ph_frames"]) for mel, e in zip(mels, with_f0, strict=True)
    ]

    on_system(PREDICTED_ALL)
    with_frames = [
        {**e, "ph_frames": heard_frames(e, frames, voice.info.vocabulary, fitted=not voice.speaks)}
        for e, frames in zip(examples, _frames(voice, examples, frames_per_batch), strict=True)
    ]
    with_both = _with_f0(voice, with_frames, frames_per_batch)
    mels = render(with_both, voice.sampling)
    by_system[PREDICTED_ALL] = [
        Sung(mel, e["f0"], e["ph_frames"]) for mel, e in zip(mels, with_both, strict=True)
    ]
    return by_system


def heard_frames(
    example: Example, predicted_frames: np.ndarray, vocabulary: Vocabulary, *, fitted: bool
) -> np.ndarray:
    """i32[N] durations that are heard: see `fitted_frames`; unfitted whole ones, at least one."""
    if fitted:
        return fitted_frames(example, predicted_frames, vocabulary)
    return np.maximum(np.floor(predicted_frames + 0.5), 1).astype(np.int32)


def fitted_frames(
    example: Example, predicted_frames: np.ndarray, vocabulary: Vocabulary
) -> np.ndarray:
    """i32[N] durations that are sung: the predicted ones, each note beginning as recorded.

    Args:
      example: its onsets and the durations of the recording.
      predicted_frames: f[N].
      vocabulary: which of the phonemes are vowels, which fill what consonants leave of a note.
    """
    starts, true_frames = np.asarray(example["onset"], bool), np.asarray(example["ph_frames"])
    fills = np.array([is_vowel(vocabulary.phonemes[token - 1]) for token in example["tokens"]])
    firsts = np.flatnonzero(starts)
    for first, last in zip(firsts, np.append(firsts[1:], len(starts)), strict=True):
        fills[first] |= not fills[first:last].any()
    return fit_to_score(
        predicted_frames,
        starts=starts,
        fills=fills,
        start_frames=np.cumsum(true_frames) - true_frames,
        total_frames=int(true_frames.sum()),
    )


def vocode(
    pieces: Sequence[Sung], spec: MelSpec, *, seed: int, frames_per_batch: int
) -> list[np.ndarray]:
    """f32[T * hop] sound of every piece, from its mel and f0."""
    wavs: list[np.ndarray] = [np.zeros(0, np.float32)] * len(pieces)
    rows = [
        {"mel": p.mel, "f0": p.f0, "ph_frames": np.array([len(p.mel)]), "speaker": 0}
        for p in pieces
    ]
    for indices, batch in batches_of(rows, spec.n_mels, frames_per_batch):
        rendered = np.asarray(
            render_rows(batch.mel, batch.f0, batch.mask, row_keys(seed, indices), spec)
        )
        for row, index in real_rows(indices):
            wavs[index] = rendered[row, : len(pieces[index].mel) * spec.hop]
    return wavs


def mels_of(
    voice: Singer,
    examples: Sequence[Example],
    sampling: Sampling,
    *,
    seed: int,
    frames_per_batch: int,
) -> list[np.ndarray]:
    """f32[T, M] log mel of every piece."""
    mels: list[np.ndarray] = [np.zeros(0)] * len(examples)
    batches = batches_of(examples, voice.info.mel.n_mels, frames_per_batch, voice.curves)
    for indices, batch in batches:
        keys = row_keys(seed, indices)
        sampled = np.asarray(voice.sample_mel(batch, keys, sampling), np.float32)
        for row, index in real_rows(indices):
            mels[index] = sampled[row][batch.mask[row]]
    return mels


def _with_f0(
    voice: Singer, examples: Sequence[Example], frames_per_batch: int
) -> list[dict[str, np.ndarray]]:
    """The examples with f0 and curves as the voice predicts them for their durations."""
    given = ("f0", "mel", *voice.predicted_curves)
    found = [{k: v for k, v in e.items() if k not in given} for e in examples]
    for indices, batch in batches_of(found, voice.info.mel.n_mels, frames_per_batch):
        made = {"f0": voice.predict_f0(batch)}
        if voice.predicted_curves:
            made |= voice.predict_curves(batch)
        values = {name: np.asarray(value, np.float32) for name, value in made.items()}
        for row, index in real_rows(indices):
            found[index] |= {name: value[row][batch.mask[row]] for name, value in values.items()}
    return found


def _frames(voice: Singer, examples: Sequence[Example], frames_per_batch: int) -> list[np.ndarray]:
    """f32[N] durations in frames as the voice predicts them."""
    predicted: list[np.ndarray] = [np.zeros(0)] * len(examples)
    for indices, batch in batches_of(examples, voice.info.mel.n_mels, frames_per_batch):
        frames = np.asarray(voice.predict_frames(batch), np.float32)
        for row, index in real_rows(indices):
            predicted[index] = frames[row, : len(examples[index]["tokens"])]
    return predicted


def batches_of(
    examples: Sequence[Example], n_mels: int, frames_per_batch: int, curves: Sequence[str] = ()
) -> Iterator[tuple[np.ndarray, Batch]]:
    """Examples in batches of few shapes.

    Args:
      examples: of a prepared corpus.
      n_mels: M.
      frames_per_batch: bounds memory.
      curves: names of the optional features that the batches have.

    Yields:
      i[B] numbers of the examples, `PADDING_ROW` where there is none; their batch.
    """
    frames = np.array([int(np.sum(e["ph_frames"])) for e in examples])
    phonemes = np.array([len(e["ph_frames"]) for e in examples])
    buckets = make_buckets(
        frames,
        phonemes,
        bucket_edges=default_bucket_edges(frames, SHAPES),
        frames_per_batch=frames_per_batch,
    )
    for bucket, indices in plan_epoch(frames, buckets, seed=None):
        rows = [None if i == PADDING_ROW else examples[i] for i in indices]
        yield indices, collate(rows, bucket, n_mels, curves)


def real_rows(indices: np.ndarray) -> Iterator[tuple[int, int]]:
    """(row, number of its example) of all rows that have one."""
    return ((row, int(i)) for row, i in enumerate(indices) if i != PADDING_ROW)


def row_keys(seed: int, indices: np.ndarray) -> jax.Array:
    """[B] a key for each row, of its piece's number, so that batching changes no number."""
    numbers = jnp.asarray(np.where(indices == PADDING_ROW, 2**31 - 1, indices), jnp.uint32)
    return jax.vmap(functools.partial(jax.random.fold_in, jax.random.key(seed)))(numbers)
