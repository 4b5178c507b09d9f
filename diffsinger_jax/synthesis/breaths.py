"""Breaths in rests: where a score marks them or a singer takes them, with the singer's sound."""

from __future__ import annotations

import numpy as np

from diffsinger_jax.corpus.breaths import LEAST_REST_SEC, LENGTHS_SEC
from diffsinger_jax.synthesis.arrays import PieceArrays
from diffsinger_jax.types import BREATH, SILENCE, Breaths, MelSpec

Spans = tuple[tuple[int, int], ...]


def breath_spans(
    style: Breaths,
    piece: PieceArrays,
    ph_frames: np.ndarray,
    draw: np.random.Generator,
    spec: MelSpec,
) -> Spans:
    """[first, last) frames of the breaths of a piece.

    The score's, and before the piece one by chance, as often as the singer breathes there: it ends
    as long before the first sound as the singer's do.

    Args:
      style: of the singer.
      piece: whose phonemes these are.
      ph_frames: i32[N].
      draw: whether there is one.
      spec: of the frames.
    """
    ends = np.cumsum(ph_frames)
    marked = tuple(
        (int(end - frames), int(end))
        for phoneme, frames, end in zip(piece.phonemes, ph_frames, ends, strict=True)
        if phoneme.symbol == BREATH and frames > 0
    )
    wanted = draw.random() < style.share and piece.rest_sec >= LEAST_REST_SEC
    before = next((i for i, p in enumerate(piece.phonemes) if p.symbol != SILENCE), 0)
    if not wanted or before == 0 or piece.phonemes[before].symbol == BREATH:
        return marked
    least = round(LENGTHS_SEC[0] * spec.frames_per_sec)
    room = int(ends[before - 1])
    last = room - min(round(style.gap_sec * spec.frames_per_sec), max(room - least, 0))
    first = max(last - round(style.sec * spec.frames_per_sec), 0)
    return ((first, last), *marked) if last - first >= least else marked


def breathe(mel: np.ndarray, f0: np.ndarray, spans: Spans, style: Breaths, spec: MelSpec) -> None:
    """Writes breaths into a mel: the singer's spectrum under half a wave of a sine.

    Args:
      mel: f32[T, M] log amplitude, changed.
      f0: f32[T] Hz, made unvoiced there.
      spans: of the breaths.
      style: of the singer.
      spec: of the mel.
    """
    for first, last in spans:
        swell = np.sin(np.pi * (np.arange(last - first) + 0.5) / (last - first))
        mel[first:last] = np.maximum(style.mel + spec.log(swell)[:, None], spec.silence)
        f0[first:last] = 0.0
