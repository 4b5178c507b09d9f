"""LJSpeech: one reader of English, 13,100 clips, 24 hours.

The official folder (metadata.csv, wavs/) with a folder TextGrid/ of the Montreal Forced Aligner's
alignments put into it: phones in ARPAbet with stress, as those for FastSpeech 2 that are public.
A part of the corpus will do. https://keithito.com/LJ-Speech-Dataset/
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from diffsinger_jax.corpus.songs import Recipe, SungSong
from diffsinger_jax.corpus.speech import find_utterances, spoken_song
from diffsinger_jax.errors import InputError


def read(raw: Sequence[Path], language: str | None) -> list[SungSong]:
    """All clips of the folder, by one speaker.

    Raises:
      InputError: for more than one folder, or one without clips or texts.
    """
    if len(raw) != 1:
        raise InputError(f"LJSpeech is one folder, {len(raw)} are given as --raw; give one")
    if not (raw[0] / "metadata.csv").is_file():
        raise InputError(f"{raw[0]}: has no metadata.csv, expected LJSpeech-1.1; check --raw")
    return [spoken_song(clip, language or "en") for clip in find_utterances(raw[0])]


RECIPE = Recipe(
    read=read,
    test=("LJ001", "LJ002"),
    validation=("LJ003",),
    licence="public domain; LJSpeech, Keith Ito and Linda Johnson",
)
