"""Corpora that give a row of numbers per recording: phonemes and their seconds, one by one."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from diffsinger_jax.corpus.nuclei import is_nucleus, is_rest, rest_symbol
from diffsinger_jax.corpus.songs import Label, SungPhoneme
from diffsinger_jax.errors import InputError

_NUMBERED = re.compile(r"^(.+?)[#_-](?:seg)?\d+$")


def song_of(name: str) -> str:
    """The song that a recording is a stretch of: its name without a number at the end.

    "evening_003" and "evening#3" are stretches of "evening"; "003" is a song of its own.
    """
    match = _NUMBERED.match(name)
    return match.group(1) if match else name


def parse_numbers(text: str, where: str) -> list[float]:
    """Numbers separated by spaces.

    Raises:
      InputError: for anything else, saying where.
    """
    try:
        return [float(token) for token in text.split()]
    except ValueError as error:
        raise InputError(
            f"{where}: {error}, expected numbers separated by spaces; correct the row"
        ) from error


def row_labels(symbols: Sequence[str], seconds: Sequence[float]) -> list[Label]:
    """Phonemes one after the other, from 0."""
    ends = np.cumsum(seconds).tolist()
    names = [rest_symbol(symbol) for symbol in symbols]
    return [Label(n, end - sec, end) for n, sec, end in zip(names, seconds, ends, strict=True)]


def row_faults(columns: dict[str, Sequence]) -> list[str]:
    """Columns that should have one entry per phoneme and do not, in words."""
    counts = {name: len(values) for name, values in columns.items()}
    if len(set(counts.values())) == 1:
        return []
    return ["columns differ in length: " + ", ".join(f"{n} {name}" for name, n in counts.items())]


def phonemes_of_row(
    labels: Sequence[Label],
    midi: Sequence[float],
    note_sec: Sequence[float],
    slur: Sequence[bool],
    language: str,
) -> tuple[SungPhoneme, ...]:
    """Phonemes of a row that has its note beside every phoneme (Opencpop, M4Singer).

    Args:
      midi: 0 for rests.
      language: says which phonemes are vowels, and with it where notes start.
    """
    return tuple(
        SungPhoneme(
            label.symbol,
            label.start_sec,
            label.end_sec,
            midi=0.0 if is_rest(label.symbol) else float(midi[i]),
            note_sec=float(note_sec[i]),
            slur=bool(slur[i]),
            onset=i == 0
            or is_rest(label.symbol)
            or bool(slur[i])
            or is_nucleus(label.symbol, language),
        )
        for i, label in enumerate(labels)
    )
