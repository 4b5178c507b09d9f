"""Recordings with HTS labels beside them, as of NNSVS corpora: NAME.wav (or .flac) and NAME.lab.

Monophone or full-context labels, units of 100 ns. The notes are estimated from the f0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from diffsinger_jax.corpus.align import align
from diffsinger_jax.corpus.labels import label_faults, read_hts_labels
from diffsinger_jax.corpus.nuclei import is_nucleus
from diffsinger_jax.corpus.rows import song_of
from diffsinger_jax.corpus.songs import Recipe, SungSong
from diffsinger_jax.errors import InputError


def read(raw: Sequence[Path], language: str | None) -> list[SungSong]:
    """All .lab files of the folders, one speaker per folder; Japanese unless told otherwise.

    Raises:
      InputError: for a folder without labels, and labels of another form.
    """
    songs = []
    for root in raw:
        files = sorted(root.glob("*.lab"))
        if not files:
            raise InputError(f"{root}: has no .lab files, expected one per recording; check --raw")
        prefix = f"{root.resolve().name}#" if len(raw) > 1 else ""
        songs += [_read_song(file, language or "ja", prefix) for file in files]
    return songs


def _read_song(lab: Path, language: str, prefix: str) -> SungSong:
    labels = read_hts_labels(lab)
    nuclei = [i for i, label in enumerate(labels) if is_nucleus(label.symbol, language)]
    wav = lab.with_suffix(".wav")
    wav = wav if wav.exists() else wav.with_suffix(".flac")
    return SungSong(
        name=prefix + lab.stem,
        song=prefix + song_of(lab.stem),
        wav=wav,
        sources=(wav, lab),
        phonemes=align(labels, nuclei, None),
        speaker=lab.resolve().parent.name,
        language=language,
        faults=tuple(label_faults(labels)),
    )


RECIPE = Recipe(read=read)
