"""Notes of a corpus: estimated where it has none, and the range that they lie in."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from diffsinger_jax.corpus.align import align
from diffsinger_jax.corpus.nuclei import is_rest
from diffsinger_jax.corpus.songs import Label, SungNote, SungSong
from diffsinger_jax.pitch import hz_to_midi
from diffsinger_jax.types import MelSpec


def with_estimated_notes(song: SungSong, f0: np.ndarray, spec: MelSpec) -> SungSong:
    """The song, with notes from its f0 where the corpus gives none.

    Each syllable gets one note, from its vowel to the next onset, on the semitone nearest to the
    median of its vowel's voiced frames. A vowel without voice has the note of the nearest one
    that has.

    Args:
      f0: f32[T] Hz of the whole song, 0 unvoiced.
    """
    if not song.phonemes or all(p.midi is not None for p in song.phonemes):
        return song
    nuclei = [i for i, p in enumerate(song.phonemes) if p.onset and not is_rest(p.symbol)]
    pitches = []
    for i in nuclei:
        start, end = (
            spec.nearest_frame(sec)
            for sec in (song.phonemes[i].start_sec, song.phonemes[i].end_sec)
        )
        voiced = f0[start:end][f0[start:end] > 0]
        midi = hz_to_midi(np.median(voiced)) if len(voiced) else np.nan
        pitches.append(np.round(midi))
    known = np.flatnonzero(np.isfinite(pitches))
    if len(known) == 0:
        return dataclasses.replace(
            song, phonemes=(), faults=(*song.faults, "no vowel is voiced, so no note is known")
        )
    notes = [
        SungNote(
            song.phonemes[i].start_sec,
            song.phonemes[i].start_sec + song.phonemes[i].note_sec,
            float(pitches[known[np.argmin(np.abs(known - n))]]),
        )
        for n, i in enumerate(nuclei)
    ]
    labels = [Label(p.symbol, p.start_sec, p.end_sec) for p in song.phonemes]
    return dataclasses.replace(song, phonemes=align(labels, nuclei, notes))


RARE = 0.01
"""The share of the sung time, at each end of the range, that no voice learns to sing from."""


def note_range(songs: Iterable[SungSong]) -> tuple[float, float] | None:
    """Lowest and highest pitch of what is sung but for the rarest, 69 = A4; None without notes.

    The 1st and the 99th percentile of the pitch over the sung time.
    """
    sung = [p for song in songs for p in song.phonemes if p.midi]
    if not sung:
        return None
    sung.sort(key=lambda phoneme: phoneme.midi or 0.0)
    until = np.cumsum([phoneme.duration_sec for phoneme in sung])
    low, high = (int(np.searchsorted(until, share * until[-1])) for share in (RARE, 1 - RARE))
    return float(sung[low].midi or 0.0), float(sung[high].midi or 0.0)
