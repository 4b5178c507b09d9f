"""Pieces of a song -> durations, f0 and mel of each, batch by batch in a few static shapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import jax
import numpy as np

from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.errors import InputError
from diffsinger_jax.models.diffsinger import SPEAKER_MIX
from diffsinger_jax.pipeline.collate import collate
from diffsinger_jax.pipeline.plan import Bucket
from diffsinger_jax.synthesis.arrays import PieceArrays
from diffsinger_jax.synthesis.breaths import Spans, breath_spans, breathe
from diffsinger_jax.synthesis.buckets import pack
from diffsinger_jax.synthesis.controls import (
    DEFAULT_RANGES,
    control_curve,
    speaker_weights,
)
from diffsinger_jax.synthesis.expression import Expression
from diffsinger_jax.synthesis.phrase_mels import phrase_mels
from diffsinger_jax.synthesis.row_keys import row_keys
from diffsinger_jax.synthesis.score_notes import keys_of_words, notes_of_pieces, reads_notes
from diffsinger_jax.synthesis.sung_pitch import EXPRESSION, predicted_f0, sung_f0
from diffsinger_jax.types import Batch
from diffsinger_jax.voices.voice import Voice

LOUDEST = 1e3
"""Amplitude in a band of a mel that no recording at full scale reaches."""


@dataclasses.dataclass(frozen=True)
class MelPiece:
    """A piece before the vocoder.

    Attributes:
      index: its number in the song.
      ph_frames: i32[N].
      f0: f32[T] Hz, 0 unvoiced, with padding.
      mel: f32[T, M] log amplitude, with padding.
      key: of the vocoder's noise.
      breaths: [first, last) frames of each breath.
    """

    index: int
    ph_frames: np.ndarray
    f0: np.ndarray
    mel: np.ndarray
    key: jax.Array
    breaths: tuple[tuple[int, int], ...] = ()

    @property
    def frames(self) -> int:
        """T without padding."""
        return int(self.ph_frames.sum())


def sing_mels(
    voice: Voice,
    pieces: Sequence[PieceArrays],
    numbers: Sequence[int],
    *,
    seed: int,
    sampling: Sampling | None,
    frames_per_batch: int,
    expression: Expression = EXPRESSION,
    chosen: Sequence[np.ndarray] = (),
) -> Iterator[MelPiece]:
    """Sings some of the pieces of a song; what a piece becomes depends on no other.

    Args:
      voice: see `voices.voice`.
      pieces: all of the song.
      numbers: of those to sing.
      seed: of the noise; with a piece's number it gives its random keys.
      sampling: how; None for the voice's own.
      frames_per_batch: bound on rows x frames of one call, for all but a long piece alone.
      expression: of predicted pitch.
      chosen: bool[notes] of each piece, those whose pitch is taken again; () for none.

    Yields:
      The pieces, in the order of their batches.
    """
    examples = _with_durations(voice, [pieces[i] for i in numbers], frames_per_batch)
    sizes = [(int(e["ph_frames"].sum()), len(e["tokens"])) for e in examples]
    for rows, bucket in pack(sizes, frames_per_batch):
        batch = collate([examples[row] for row in rows], bucket, voice.info.mel.n_mels)
        indices = [numbers[row] for row in rows]
        arrays = [pieces[i] for i in indices]
        mel_keys, noise_keys = row_keys(seed, indices, bucket.rows)
        pitch_seed = seed if expression.seed is None else expression.seed
        pitch_keys, curve_keys = row_keys(pitch_seed + PITCH_SEED, indices, bucket.rows)
        retake_seed = expression.retake.seed if expression.retake else None
        retake_seed = pitch_seed + 1 if retake_seed is None else retake_seed
        retake_keys, _ = row_keys(retake_seed + PITCH_SEED, indices, bucket.rows)
        f0 = sung_f0(
            voice,
            batch,
            arrays,
            pitch_keys,
            expression,
            retake_keys=retake_keys,
            chosen=[chosen[i] for i in indices] if chosen else (),
        )
        generated = _generated(voice, batch._replace(f0=f0), curve_keys)
        curves = _curves(voice, batch, arrays, generated)
        batch = batch._replace(f0=f0, curves=curves)
        if voice.sings_phrases:
            own = {index: examples[row] for index, row in zip(indices, rows, strict=True)}
            mel = phrase_mels(voice, batch, own, seed, sampling, frames_per_batch)
        else:
            mel = np.asarray(voice.sample_mel(batch, mel_keys, sampling), np.float32)
        mel = _audible(mel, voice)
        for row, index in enumerate(indices):
            ph_frames = examples[rows[row]]["ph_frames"]
            found: Spans = ()
            if expression.breaths and (style := voice.info.breaths) is not None:
                draw = np.random.default_rng([pitch_seed % 2**32, index])
                found = breath_spans(style, pieces[index], ph_frames, draw, voice.info.mel)
                breathe(mel[row], f0[row], found, style, voice.info.mel)
            yield MelPiece(index, ph_frames, f0[row], mel[row], noise_keys[row], found)


def _audible(mel: np.ndarray, voice: Voice) -> np.ndarray:
    """Log mels no louder than a recording can be: a voice that was hardly trained may ask for it.

    Raises:
      InputError: for what is no number.
    """
    if np.isnan(mel).any():
        raise InputError(
            f"the voice {voice.name} sings what is no number; its weights are damaged or were "
            "never trained, so import or train it again"
        )
    return np.minimum(mel, np.float32(voice.info.mel.log(LOUDEST)))


def sing_padding(voice: Voice, bucket: Bucket, sampling: Sampling | None) -> MelPiece:
    """Calls the voice as `sing_mels` does, with nothing to sing: so that all is compiled."""
    n_mels = voice.info.mel.n_mels
    if "durations" not in voice.lacks:
        batch = collate([], bucket._replace(frames=1), n_mels)
        key = keys_of_words([], batch) if reads_notes(voice) else None
        _predicted_frames(voice, batch, key)
    batch = collate([], bucket, n_mels)
    mel_keys, noise_keys = row_keys(0, [], bucket.rows)
    if "f0" not in voice.lacks:
        notes = notes_of_pieces([], batch) if reads_notes(voice) else None
        predicted_f0(voice, batch, mel_keys, notes=notes)
    batch = batch._replace(curves=_curves(voice, batch, [], _generated(voice, batch, mel_keys)))
    mel = np.asarray(voice.sample_mel(batch, mel_keys, sampling), np.float32)
    return MelPiece(0, np.array([bucket.frames]), batch.f0[0], mel[0], noise_keys[0])


def _with_durations(
    voice: Voice, pieces: Sequence[PieceArrays], frames_per_batch: int
) -> list[dict[str, np.ndarray]]:
    """The pieces' examples with ph_frames i32[N]; durations need no frames, so T is 1."""
    examples = [piece.example for piece in pieces]
    if "durations" in voice.lacks:
        nothing = np.zeros(0)
        return [
            {**one, "ph_frames": piece.ph_frames(nothing)}
            for one, piece in zip(examples, pieces, strict=True)
        ]
    filled: dict[int, dict[str, np.ndarray]] = {}
    sizes = [(0, len(example["tokens"])) for example in examples]
    for indices, bucket in pack(sizes, frames_per_batch):
        rows = [examples[i] for i in indices]
        batch = collate(rows, bucket._replace(frames=1), voice.info.mel.n_mels)
        for row, index in enumerate(indices):  # what the score says of durations
            batch.ph_frames[row, : len(pieces[index].phonemes)] = pieces[index].word_frames
        key = keys_of_words([pieces[i] for i in indices], batch) if reads_notes(voice) else None
        predicted = np.asarray(_predicted_frames(voice, batch, key))  # [B, N]
        for row, index in enumerate(indices):
            ph_frames = pieces[index].ph_frames(predicted[row])
            filled[index] = {**examples[index], "ph_frames": ph_frames}
    return [filled[i] for i in range(len(pieces))]


def _predicted_frames(voice: Voice, batch: Batch, key: np.ndarray | None = None) -> jax.Array:
    """By the variance model, where there is one that predicts durations."""
    if voice.variance and "durations" in voice.variance.predicts:
        return voice.variance.predict_frames(batch, key)
    return voice.predict_frames(batch)


def _generated(voice: Voice, batch: Batch, keys: jax.Array) -> Mapping[str, np.ndarray]:
    """The curves that voice or variance model make and the voice is told, f32[B, T] by name."""
    values = dict(voice.predict_curves(batch)) if voice.predicted_curves else {}
    if voice.variance and set(voice.variance.curves) & set(voice.curves):
        values |= voice.variance.sample_curves(batch, keys)
    return {name: np.asarray(value, np.float32) for name, value in values.items()}


def _curves(
    voice: Voice,
    batch: Batch,
    pieces: Sequence[PieceArrays],
    generated: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """The optional features that the voice sings by: as a piece gives them, generated, or neutral.

    Silence that was added to a piece has the value of its nearest end.

    Returns:
      f32[B, T] by name, 0 on padding.
    """
    spec = voice.info.mel
    bucket = Bucket(rows=len(batch.mask), frames=batch.mask.shape[1], phonemes=1)
    curves = dict(collate([], bucket, spec.n_mels, voice.curves).curves)
    ranges = {**DEFAULT_RANGES, **voice.ranges}
    for name, values in curves.items():
        for row, piece in enumerate(pieces):
            frames, head, tail = int(batch.mask[row].sum()), piece.head_frames, piece.tail_frames
            if name in (generated or {}) and name not in piece.piece.curves:
                values[row, :frames] = (generated or {})[name][row, :frames]
                continue
            given = control_curve(
                name, piece.piece, frames - head - tail, spec.frames_per_sec, ranges
            )
            values[row, :frames] = np.pad(given, (head, tail), mode="edge")
    if voice.mixes_speakers:
        curves[SPEAKER_MIX] = _speaker_mix(voice, batch, pieces)
    return curves


def _speaker_mix(voice: Voice, batch: Batch, pieces: Sequence[PieceArrays]) -> np.ndarray:
    """f32[B, T, speakers]: shares of the voice's speakers in each frame."""
    speakers, frames_per_sec = voice.info.vocabulary.speakers, voice.info.mel.frames_per_sec
    weights = np.zeros((*batch.mask.shape, len(speakers)), np.float32)
    for row, piece in enumerate(pieces):
        frames, head, tail = int(batch.mask[row].sum()), piece.head_frames, piece.tail_frames
        speaker = int(piece.example["speaker"])
        given = speaker_weights(
            piece.piece, speakers, speaker, frames - head - tail, frames_per_sec
        )
        weights[row, :frames] = np.pad(given, ((head, tail), (0, 0)), mode="edge")
    return weights


PITCH_SEED = 2**31
"""Added to a seed for pitch and curves: their noise is another than the mel's."""
