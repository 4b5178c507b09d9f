"""Pieces that were sung apart -> one song: silent where the score rests, no clicks or clipping."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from diffsinger_jax.plots import Span
from diffsinger_jax.synthesis.arrays import PieceArrays
from diffsinger_jax.synthesis.mixing import Mixer
from diffsinger_jax.types import SILENCE, Curve, MelSpec, Note, Piece, Score

RELEASE_SEC = 0.08
"""How long a piece sounds on into a rest, and is heard before its first phoneme."""
FADE_SEC = 0.1
"""How long it then takes to fall to digital silence."""


@dataclasses.dataclass(frozen=True)
class SungPiece:
    """One piece after synthesis, with the silences added around it.

    Attributes:
      arrays: what was sung.
      ph_frames: i32[N], with sum T.
      f0: f32[T] Hz, 0 unvoiced.
      mel: f32[T, M] log amplitude.
      wav: f32[T * hop].
      breaths: [first, last) frames of each breath.
    """

    arrays: PieceArrays
    ph_frames: np.ndarray
    f0: np.ndarray
    mel: np.ndarray
    wav: np.ndarray
    breaths: tuple[tuple[int, int], ...] = ()


@dataclasses.dataclass(frozen=True)
class Song:
    """A sung score.

    Attributes:
      wav: f32[L] in (-1, 1), as long as the score.
      sample_rate: Hz.
      mel: f32[T, M] log amplitude, the floor where nothing is sung.
      f0: f32[T] Hz, 0 unvoiced.
      spec: the numbers of `mel`; `f0` and `mel` have its frames per second.
      phonemes: label and time of each; rests are left out.
      score: what was sung, with every predicted duration and f0 filled in, without the
        silent pieces.
    """

    wav: np.ndarray
    sample_rate: int
    mel: np.ndarray
    f0: np.ndarray
    spec: MelSpec
    phonemes: tuple[Span, ...]
    score: Score

    @property
    def duration_sec(self) -> float:
        """Length of the sound."""
        return len(self.wav) / self.sample_rate

    @property
    def notes(self) -> tuple[Span, ...]:
        """Pitch, time and lyric of each note; rests are left out."""
        spans = []
        for piece in self.score.pieces:
            ends = piece.offset_sec + np.cumsum([note.duration_sec for note in piece.notes])
            spans += [
                Span(float(end) - note.duration_sec, float(end), note.midi, note.lyric or "")
                for note, end in zip(piece.notes, ends, strict=True)
                if note.midi is not None
            ]
        return tuple(spans)


def assemble(score: Score, pieces: Sequence[SungPiece], spec: MelSpec) -> Song:
    """Places every piece at its offset; where two overlap, in silence, they cross-fade.

    Args:
      score: gives offsets and the length of the song.
      pieces: those of the score that are not silent.
      spec: of their mels.
    """
    song_frames = round(song_sec(score, [p.arrays for p in pieces], spec) * spec.frames_per_sec)
    mixer = Mixer(song_samples(score, [p.arrays for p in pieces], spec), spec)
    mel = np.full((song_frames, spec.n_mels), spec.silence, np.float32)
    f0 = np.zeros(song_frames, np.float32)
    for piece in pieces:
        start = start_sample(piece.arrays, spec)
        mixer.add(piece.wav * gate(piece.arrays, piece.ph_frames, spec, piece.breaths), start)
        _place(mel, piece.mel, round(start / spec.hop))
        _place(f0, piece.f0, round(start / spec.hop))
    return Song(
        wav=mixer.settled(),
        sample_rate=spec.sample_rate,
        mel=mel,
        f0=f0,
        spec=spec,
        phonemes=tuple(span for piece in pieces for span in _phoneme_spans(piece, spec)),
        score=dataclasses.replace(
            score, pieces=tuple(filled_piece(piece, spec) for piece in pieces)
        ),
    )


def song_sec(score: Score, pieces: Sequence[PieceArrays], spec: MelSpec) -> float:
    """Length of the score, or of the durations that it gives, which may reach beyond its notes."""
    given_ends_sec = [
        p.piece.offset_sec + spec.seconds(p.frames - p.head_frames - p.tail_frames)
        for p in pieces
        if p.given_frames is not None
    ]
    return max([score.duration_sec, *given_ends_sec])


def song_samples(score: Score, pieces: Sequence[PieceArrays], spec: MelSpec) -> int:
    """The same in samples."""
    return round(song_sec(score, pieces, spec) * spec.sample_rate)


def start_sample(piece: PieceArrays, spec: MelSpec) -> int:
    """Where the sound of a piece, its added head first, begins in the song; perhaps before 0."""
    return round(piece.piece.offset_sec * spec.sample_rate) - spec.samples(piece.head_frames)


def filled_piece(sung: SungPiece, spec: MelSpec) -> Piece:
    """The piece with its durations and f0 as they were sung, ready for a `.ds` file.

    An added head is kept as a rest where consonants may stand in it, for they begin before the
    piece does; an added tail says nothing and is dropped.
    """
    arrays, piece = sung.arrays, sung.arrays.piece
    with_head = bool(arrays.head_frames) and arrays.leads
    first = 0 if with_head or not arrays.head_frames else 1
    last = len(arrays.phonemes) - bool(arrays.tail_frames)
    head_sec = spec.seconds(arrays.head_frames)
    # Without the head the first phoneme is an onset again, as in the score.
    given = arrays.phonemes[first:last] if with_head else piece.phonemes or ()
    phonemes = tuple(
        dataclasses.replace(
            phoneme,
            note_index=phoneme.note_index + with_head,
            duration_sec=float(spec.seconds(frames)),
        )
        for phoneme, frames in zip(given, sung.ph_frames[first:last], strict=True)
    )
    begin = int(sung.ph_frames[:first].sum())
    f0 = sung.f0[begin : begin + int(sung.ph_frames[first:last].sum())]
    return dataclasses.replace(
        piece,
        offset_sec=piece.offset_sec - head_sec * with_head,
        notes=(Note(head_sec, midi=None),) * with_head + piece.notes,
        phonemes=phonemes,
        curves={**piece.curves, "f0": Curve(f0, spec.sec_per_frame)},
    )


def gate(
    piece: PieceArrays,
    ph_frames: np.ndarray,
    spec: MelSpec,
    breaths: Sequence[tuple[int, int]] = (),
) -> np.ndarray:
    """f32[T * hop]: 1 where the piece sounds, falling to 0 inside its rests.

    Args:
      piece: of which all phonemes but silence sound.
      ph_frames: i32[N].
      spec: of its mel.
      breaths: [first, last) frames of silence that sound, too.
    """
    silent = np.repeat([p.symbol == SILENCE for p in piece.phonemes], ph_frames)
    for first, last in breaths:
        silent[first:last] = False
    frames = np.arange(len(silent))
    sounding = np.flatnonzero(~silent)
    if sounding.size == 0:
        return np.zeros(spec.samples(len(silent)), np.float32)
    after = np.searchsorted(sounding, frames)
    to_next = sounding[np.minimum(after, len(sounding) - 1)] - frames
    to_last = frames - sounding[np.maximum(after - 1, 0)]
    distance = np.where(
        after == len(sounding), to_last, np.where(after == 0, to_next, np.minimum(to_next, to_last))
    )
    into_fade = (spec.seconds(distance) - RELEASE_SEC) / FADE_SEC
    gain = 0.5 + 0.5 * np.cos(np.pi * np.clip(into_fade, 0.0, 1.0))  # [T]
    samples = np.arange(spec.samples(len(silent))) / spec.hop  # [T] -> [T * hop]
    return np.interp(samples, frames, gain).astype(np.float32)


def _place(target: np.ndarray, values: np.ndarray, start: int) -> None:
    """The larger of the two from `start` on, cut to what lies inside the target."""
    first, last = max(start, 0), min(start + len(values), len(target))
    if first < last:
        inside = target[first:last]
        np.maximum(inside, values[first - start : last - start], out=inside)


def _phoneme_spans(sung: SungPiece, spec: MelSpec) -> list[Span]:
    arrays = sung.arrays
    edges = np.concatenate([[0], np.cumsum(sung.ph_frames)]) - arrays.head_frames
    edges_sec = arrays.piece.offset_sec + spec.seconds(edges)
    return [
        Span(float(start), float(end), label=phoneme.symbol)
        for phoneme, start, end in zip(arrays.phonemes, edges_sec, edges_sec[1:], strict=False)
        if phoneme.symbol != SILENCE
    ]
