"""The pitch that a piece is sung with: given, or predicted and steered, and retakes within it."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np

from diffsinger_jax.modules.melody import Notes
from diffsinger_jax.pitch import fill_unvoiced, hz_to_midi, midi_to_hz
from diffsinger_jax.synthesis.arrays import PieceArrays, resample_f0
from diffsinger_jax.synthesis.controls import resampled
from diffsinger_jax.synthesis.expression import Expression, notes_on_frames, spliced
from diffsinger_jax.synthesis.score_notes import notes_of_pieces, reads_notes
from diffsinger_jax.types import Batch, Curve
from diffsinger_jax.voices.voice import Voice

EXPRESSION = Expression()
"""Pitch as it was predicted."""
RETAKE = "retake"
"""The curve of a score that says where a given f0 is to be drawn anew: above 0.5."""
EXPRESSIVENESS = "expr"
"""The curve of a score that says how much of a performance generated pitch is, 0 to 1."""
SPLICE_SEC = 0.1
"""Over which the step at the border of a retake is let in."""


def sung_f0(
    voice: Voice,
    batch: Batch,
    pieces: Sequence[PieceArrays],
    keys: jax.Array | None,
    expression: Expression = EXPRESSION,
    *,
    retake_keys: jax.Array | None = None,
    chosen: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """f0 of the pieces of a batch.

    Args:
      voice: that sings it.
      batch: with durations.
      pieces: of its rows that are not padding.
      keys: [B], of what is generated; None for a voice that generates no pitch.
      expression: how predicted pitch is steered.
      retake_keys: [B], of retakes.
      chosen: bool[notes] of each piece, which of them are drawn anew; () for none.

    Returns:
      f32[B, T] Hz, 0 unvoiced and on padding.
    """
    spec = voice.info.mel
    expression = expression.of_voice(voice.variance.correction if voice.variance else 0.0)
    f0 = np.zeros(batch.mask.shape, np.float32)
    expressiveness = np.ones(batch.mask.shape, np.float32)
    for row, piece in enumerate(pieces):
        if (curve := piece.piece.curves.get(EXPRESSIVENESS)) is not None:
            values = np.clip(_of_frames(curve, piece, spec.frames_per_sec), 0.0, 1.0)
            expressiveness[row, : len(values)] = values
    notes = notes_of_pieces(pieces, batch) if reads_notes(voice) else None
    if predicts := "f0" not in voice.lacks:
        predicted = np.asarray(predicted_f0(voice, batch, keys, expressiveness, notes), np.float32)
        f0 = np.where(batch.mask, predicted, f0)
    for row, piece in enumerate(pieces):
        if "f0" in piece.piece.curves:
            f0[row] = _given(voice, piece, f0[row], predicts)
        else:
            f0[row] = _steered(expression, f0[row], batch, row, piece, spec.frames_per_sec)
    masks = np.zeros(batch.mask.shape, bool)
    for row, piece in enumerate(pieces):
        if (curve := piece.piece.curves.get(RETAKE)) is not None and "f0" in piece.piece.curves:
            own = _of_frames(curve, piece, spec.frames_per_sec) > 0.5
            masks[row, : len(own)] |= own
        if len(chosen) and chosen[row].any():
            masks[row] |= _frames_of_notes(piece, chosen[row], batch.mel2ph[row])
    if not masks.any() or voice.variance is None or retake_keys is None:
        return f0
    again = np.asarray(
        voice.variance.sample_f0(
            batch._replace(f0=f0),
            retake_keys,
            retake=masks,
            expressiveness=expressiveness,
            notes=notes,
        ),
        np.float32,
    )
    blend = round(SPLICE_SEC * spec.frames_per_sec)
    for row in np.flatnonzero(masks.any(axis=1)).tolist():
        anew = np.where(batch.mask[row], again[row], 0.0)
        anew = _steered(expression, anew, batch, row, pieces[row], spec.frames_per_sec)
        frames = int(batch.mask[row].sum())
        f0[row, :frames] = joined(f0[row, :frames], anew[:frames], masks[row, :frames], blend)
    return f0


def joined(kept: np.ndarray, anew: np.ndarray, chosen: np.ndarray, blend_frames: int) -> np.ndarray:
    """One take with another's pitch in the chosen frames; the others are the first's bit for bit.

    Args:
      kept, anew: f32[T] Hz, 0 unvoiced.
      chosen: bool[T].
      blend_frames: see `expression.spliced`.
    """
    if not np.any(kept > 0):
        return np.where(chosen, anew, kept)
    first, second = (hz_to_midi(fill_unvoiced(f0.astype(np.float64))) for f0 in (kept, anew))
    moved = midi_to_hz(spliced(first, second, chosen, blend_frames))
    return np.where(chosen, np.where(anew > 0, moved, 0.0), kept).astype(np.float32)


def predicted_f0(
    voice: Voice,
    batch: Batch,
    keys: jax.Array | None,
    expressiveness: np.ndarray | None = None,
    notes: Notes | None = None,
) -> jax.Array:
    """f32[B, T] Hz by the variance model, where there is one that predicts pitch."""
    if keys is not None and voice.variance and "f0" in voice.variance.predicts:
        return voice.variance.sample_f0(batch, keys, expressiveness=expressiveness, notes=notes)
    return voice.predict_f0(batch)


def _steered(
    expression: Expression,
    f0: np.ndarray,
    batch: Batch,
    row: int,
    piece: PieceArrays,
    frames_per_sec: float,
) -> np.ndarray:
    """f32[T] of one row."""
    frames = int(batch.mask[row].sum())
    line, note = notes_on_frames(piece.example, batch.mel2ph[row, :frames], frames_per_sec)
    result = f0.copy()
    result[:frames] = expression.applied(f0[:frames], line, note, frames_per_sec)
    return result


def _given(voice: Voice, piece: PieceArrays, predicted: np.ndarray, predicts: bool) -> np.ndarray:
    """f32[T] of a row whose piece gives f0.

    A curve without any unvoiced value (0) was filled in between voiced stretches, as `.ds`
    files are; it says nothing of voicing, which is then the predicted one.
    """
    curve, rate = piece.piece.curves["f0"], voice.info.mel.frames_per_sec
    first, last = piece.head_frames, piece.frames - piece.tail_frames
    f0 = np.zeros_like(predicted)
    if voice.timing == "openvpi":  # its voices learned f0 without gaps, linear in Hz
        given = resampled(curve, last - first, rate)
        f0[:last] = fill_unvoiced(np.pad(given, (first, 0), mode="edge"))
        f0[last : piece.frames] = f0[last - 1]
        return f0
    given = resample_f0(curve, last - first, rate)
    if predicts and np.all(np.asarray(curve.values) > 0):
        given = np.where(predicted[first:last] > 0, given, 0.0)
    f0[first:last] = given
    return f0


def _frames_of_notes(piece: PieceArrays, chosen: np.ndarray, mel2ph: np.ndarray) -> np.ndarray:
    """bool[T]: the frames of the phonemes that are sung on the chosen notes."""
    of_note = np.append(chosen, False)  # an added tail; and an added head, whose note is -1
    of_phoneme = of_note[[phoneme.note_index for phoneme in piece.phonemes]]
    return np.concatenate([[False], of_phoneme])[mel2ph]


def _of_frames(curve: Curve, piece: PieceArrays, frames_per_sec: float) -> np.ndarray:
    """f64[T] of a curve, its ends held over the added silences."""
    inner = piece.frames - piece.head_frames - piece.tail_frames
    values = resampled(curve, inner, frames_per_sec)
    return np.pad(values, (piece.head_frames, piece.tail_frames), mode="edge")
