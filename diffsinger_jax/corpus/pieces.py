"""A song's phonemes and frames, cut at rests into the pieces that are trained on."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from diffsinger_jax.corpus.features import SongFeatures
from diffsinger_jax.corpus.nuclei import is_rest
from diffsinger_jax.corpus.songs import SungPhoneme, SungSong
from diffsinger_jax.types import MelSpec, Vocabulary, frames_from_seconds

CUT_REST_SEC = 0.2
"""Rests as long as this may be cut in their middle."""
EDGE_REST_SEC = 0.5
"""As much of a rest stays at either end of a piece."""
MIN_PIECE_SEC = 2.0
"""Shorter pieces are joined to their neighbour."""


def cut_song(
    phonemes: Sequence[SungPhoneme], max_piece_sec: float, *, only_long: bool = False
) -> list[tuple[SungPhoneme, ...]]:
    """Pieces of a song, each beginning and ending with a rest where the song lets it.

    It is cut at every rest of `CUT_REST_SEC`; what is shorter than `MIN_PIECE_SEC` is joined to
    the piece before. A piece longer than `max_piece_sec` is cut again at its longest rest,
    however short; if it has none it stays whole. Pieces without a sung phoneme are left out.

    Args:
      phonemes: of the song, in order.
      max_piece_sec: see above.
      only_long: cuts only what is longer than `max_piece_sec`, as speech is.
    """
    rests = [
        i
        for i, p in enumerate(phonemes)
        if is_rest(p.symbol) and p.duration_sec >= CUT_REST_SEC and 0 < i < len(phonemes) - 1
    ]
    rests = [] if only_long else rests
    edges = [0, *rests, len(phonemes) - 1]
    spans: list[tuple[int, int]] = []  # first and last phoneme; neighbours share a rest
    for span in itertools.pairwise(edges):
        joined = (spans[-1][0], span[1]) if spans else span
        too_short = min(map(lambda s: _seconds(phonemes, s), (span, spans[-1]))) if spans else 0
        if spans and too_short < MIN_PIECE_SEC and _seconds(phonemes, joined) <= max_piece_sec:
            spans[-1] = joined
        else:
            spans.append(span)
    spans = [part for span in spans for part in _cut_long(phonemes, span, max_piece_sec)]
    pieces = (_trim(phonemes, span) for span in spans)
    return [piece for piece in pieces if any(not is_rest(p.symbol) for p in piece)]


def _seconds(phonemes: Sequence[SungPhoneme], span: tuple[int, int]) -> float:
    """Length of a span as it is after trimming."""
    piece = _trim(phonemes, span)
    return piece[-1].end_sec - piece[0].start_sec


def _cut_long(
    phonemes: Sequence[SungPhoneme], span: tuple[int, int], max_piece_sec: float
) -> Iterator[tuple[int, int]]:
    """The span, or the parts of it."""
    first, last = span
    inner = [i for i in range(first + 1, last) if is_rest(phonemes[i].symbol)]
    if _seconds(phonemes, span) <= max_piece_sec or not inner:
        yield span
        return
    cut = max(inner, key=lambda i: phonemes[i].duration_sec)
    yield from _cut_long(phonemes, (first, cut), max_piece_sec)
    yield from _cut_long(phonemes, (cut, last), max_piece_sec)


def _trim(phonemes: Sequence[SungPhoneme], span: tuple[int, int]) -> tuple[SungPhoneme, ...]:
    """The phonemes of a span with its outer rests halved, where shared, and shortened."""
    first, last = span
    piece = list(phonemes[first : last + 1])
    if is_rest(piece[0].symbol):
        share = piece[0].duration_sec / (2 if first > 0 else 1)
        kept = min(share, EDGE_REST_SEC)
        cut = piece[0].duration_sec - kept
        piece[0] = dataclasses.replace(
            piece[0], start_sec=piece[0].end_sec - kept, note_sec=piece[0].note_sec - cut
        )
    if is_rest(piece[-1].symbol) and len(piece) > 1:
        share = piece[-1].duration_sec / (2 if last < len(phonemes) - 1 else 1)
        kept = min(share, EDGE_REST_SEC)
        piece[-1] = dataclasses.replace(
            piece[-1], end_sec=piece[-1].start_sec + kept, note_sec=kept
        )
    return tuple(piece)


def make_example(
    name: str,
    piece: Sequence[SungPhoneme],
    song: SungSong,
    features: SongFeatures,
    spec: MelSpec,
    vocabulary: Vocabulary,
) -> dict[str, Any] | None:
    """One record of the prepared corpus: see `shards.example_features`.

    Args:
      piece: phonemes in the time of the song.
      features: of the whole song.

    Returns:
      None if the piece lies outside the audio, or has more phonemes than frames.
    """
    start = spec.nearest_frame(piece[0].start_sec)
    edges_sec = np.asarray([p.start_sec for p in piece[1:]] + [piece[-1].end_sec])
    edges_sec = np.clip(edges_sec, spec.seconds(start), spec.seconds(len(features.f0)))
    durations_sec = np.diff(edges_sec, prepend=spec.seconds(start))
    ph_frames = frames_from_seconds(durations_sec, spec.frames_per_sec)
    total, count = int(ph_frames.sum()), len(piece)
    if total < count:
        return None
    ph_frames = at_least_one(ph_frames)
    onset = np.asarray([p.onset for p in piece], np.int32)
    onset[0] = 1
    return {
        "name": name,
        "speaker": np.int32(vocabulary.speaker_id(song.speaker)),
        "language": np.full(count, vocabulary.languages.index(song.language), np.int32),
        "tokens": vocabulary.phoneme_ids([p.symbol for p in piece], name),
        "note_midi": np.asarray([p.midi for p in piece], np.float32),
        "note_sec": np.asarray([p.note_sec for p in piece], np.float32),
        "slur": np.asarray([p.slur for p in piece], np.int32),
        "onset": onset,
        "ph_frames": ph_frames,
        "f0": features.f0[start : start + total],
        "mel": features.mel[start : start + total],
        **{name: curve[start : start + total] for name, curve in features.curves.items()},
    }


def at_least_one(ph_frames: np.ndarray) -> np.ndarray:
    """Durations of the same sum with no zeros, boundaries moved as little as that needs."""
    step = np.arange(1, len(ph_frames) + 1)
    ends = np.maximum.accumulate(np.cumsum(ph_frames) - step) + step  # each a frame after the last
    ends = np.minimum(ends, ph_frames.sum() - step[::-1] + 1)  # leave a frame for each that follows
    return np.diff(ends, prepend=0).astype(np.int32)
