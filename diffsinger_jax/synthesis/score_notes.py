"""The notes of pieces as a variance model reads them that learned notes and not words.

Ours learn one note for each onset, and have a vowel on each note; openvpi/DiffSinger's have a word
on several notes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diffsinger_jax.modules.melody import Notes, fill_rests
from diffsinger_jax.synthesis.arrays import PieceArrays
from diffsinger_jax.types import Batch
from diffsinger_jax.voices.voice import Voice

NOTES_MULTIPLE = 16
"""Their number is padded to a multiple, so that few shapes are compiled."""


def reads_notes(voice: Voice) -> bool:
    """Whether the notes of the score are told to its variance model apart from its words."""
    return voice.variance is not None and voice.variance.timing == "openvpi"


def notes_of_pieces(pieces: Sequence[PieceArrays], batch: Batch) -> Notes:
    """The notes of the rows of a batch, [B, K], and of its frames.

    Args:
      pieces: of the rows that are not padding.
      batch: with a mask.
    """
    rows, frames = batch.mask.shape
    longest = max((len(piece.note_frames) for piece in pieces), default=1)
    count = -(-longest // NOTES_MULTIPLE) * NOTES_MULTIPLE
    notes = Notes(
        midi=np.full((rows, count), -1.0, np.float32),
        rest=np.zeros((rows, count), bool),
        frames=np.zeros((rows, count), np.int32),
        glide=np.zeros((rows, count), np.int32),
        mel2note=np.zeros((rows, frames), np.int32),
    )
    for row, piece in enumerate(pieces):
        own = len(piece.note_frames)
        notes.midi[row, :own] = fill_rests(piece.note_pitches)
        notes.rest[row, :own] = np.isnan(piece.note_pitches)
        notes.frames[row, :own] = piece.note_frames
        of_frames = np.repeat(np.arange(1, own + 1), piece.note_frames)[: piece.frames]
        notes.mel2note[row, : piece.frames] = np.pad(
            of_frames, (0, piece.frames - len(of_frames)), mode="edge"
        )
    return notes


def keys_of_words(pieces: Sequence[PieceArrays], batch: Batch) -> np.ndarray:
    """Mean pitch of the notes under the word of each phoneme, half to even, i32[B, N]."""
    keys = np.zeros(batch.tokens.shape, np.int32)
    for row, piece in enumerate(pieces):
        line = np.repeat(fill_rests(piece.note_pitches), piece.note_frames)
        starts = np.flatnonzero(piece.starts)
        begins = np.minimum(piece.start_frames[starts], max(len(line) - 1, 0))
        ends = np.maximum(np.append(begins[1:], len(line)), begins + 1)
        means = [line[a:b].mean() for a, b in zip(begins, ends, strict=True)]
        word = np.maximum(np.cumsum(piece.starts) - 1, 0)
        keys[row, : len(word)] = np.round(np.array(means))[word]
    return keys
