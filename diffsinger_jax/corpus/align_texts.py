"""Recordings with texts -> TextGrids: the phones of their words, and pauses wherever they are."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from diffsinger_jax.audio.mel import log_mel
from diffsinger_jax.audio.wav import read_wav, resample
from diffsinger_jax.corpus.forced_alignment import ALIGNMENT_MEL, ITERATIONS, align_phones
from diffsinger_jax.corpus.speech import Utterance
from diffsinger_jax.score.textgrid import Tier, write_tiers
from diffsinger_jax.text.front_end import Word, read_text
from diffsinger_jax.types import SILENCE

Pronounce = Callable[[str], tuple[str, ...]]


def align_texts(
    utterances: Sequence[Utterance], pronounce: Pronounce, iterations: int = ITERATIONS
) -> list[Path]:
    """Writes the TextGrid of each recording.

    Args:
      utterances: with texts.
      pronounce: the phones of a word.
      iterations: see `align_phones`.

    Returns:
      The files; a recording whose text has no words gets none.

    Raises:
      InputError: for sound that cannot be read, and markup in a text that cannot be.
    """
    spoken = [(u, _words(u.text or "", pronounce)) for u in utterances]
    spoken = [(u, words) for u, words in spoken if words]
    if not spoken:
        return []
    mels, ends_sec = [], []
    for utterance, _ in spoken:
        wav, rate = read_wav(utterance.wav, downmix=True)
        mels.append(log_mel(resample(wav, rate, ALIGNMENT_MEL.sample_rate), ALIGNMENT_MEL))
        ends_sec.append(len(wav) / rate)
    phones = [
        [SILENCE, *itertools.chain.from_iterable((*word.phones, SILENCE) for word in words)]
        for _, words in spoken
    ]
    durations = align_phones(mels, phones, iterations)
    paths = []
    for (utterance, words), symbols, frames, end_sec in zip(
        spoken, phones, durations, ends_sec, strict=True
    ):
        utterance.grid.parent.mkdir(parents=True, exist_ok=True)
        write_tiers(utterance.grid, _tiers(words, symbols, frames, end_sec), end_sec)
        paths.append(utterance.grid)
    return paths


def _words(text: str, pronounce: Pronounce) -> list[Word]:
    sentences = read_text([text], pronounce)
    return [token for sentence in sentences for token in sentence if isinstance(token, Word)]


def _tiers(
    words: Sequence[Word], symbols: Sequence[str], frames: np.ndarray, end_sec: float
) -> dict[str, Tier]:
    """Words and phones; rests without a frame are left away."""
    # Frame t is about the moment t hop: the border of two frames lies between their moments.
    edges = ALIGNMENT_MEL.seconds(np.cumsum(frames) - 0.5)
    edges = np.clip(np.concatenate([[0.0], edges[:-1], [end_sec]]), 0.0, end_sec)
    starts, ends = edges[:-1].tolist(), edges[1:].tolist()
    phones = [
        (a, b, "sp" if symbol == SILENCE else symbol)
        for a, b, symbol, count in zip(starts, ends, symbols, frames, strict=True)
        if count
    ]
    tier: Tier = []
    i = 0
    for word in (None, *words):
        if word is not None:
            tier.append((starts[i], ends[i + len(word.phones) - 1], word.written.lower()))
            i += len(word.phones)
        if frames[i]:
            tier.append((starts[i], ends[i], ""))
        i += 1
    return {"words": tier, "phones": phones}
