"""OpenUtau's timing: seconds to frames, the words of its encoders, where phonemes begin."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.openutau.dictionary import SoundTable, starts_of
from diffsinger_jax.interop.openutau.phrases import Phone, Phrase

HEAD_FRAMES = TAIL_FRAMES = 8
"""Of silence before and after a phrase, in frames of each model."""
PADDING_SEC = 0.5
"""Of silence that the duration model sees before a phrase."""
LONGEST_PHONEME_SEC = 60.0
"""A prediction beyond it is none."""


def padded_frames(durations_sec: Sequence[float], frame_sec: float) -> np.ndarray:
    """Frames of head, phonemes and tail: diff(round(cumsum(seconds / frame) + 0.5)), half to even.

    Args:
      durations_sec: [N] of the phonemes.
      frame_sec: of the model.

    Returns:
      i64[N + 2].
    """
    frame_ms = 1000.0 * frame_sec
    ms = [HEAD_FRAMES * frame_ms, *(1000.0 * s for s in durations_sec), TAIL_FRAMES * frame_ms]
    return frames_of(ms, frame_ms)


def frames_of(durations_ms: Sequence[float], frame_ms: float) -> np.ndarray:
    """diff(round(cumsum(durations) / frame + 0.5)), half to even: i64[n]."""
    ends = np.round(np.cumsum(np.asarray(durations_ms, np.float64)) / frame_ms + 0.5)
    return np.diff(ends, prepend=0.0).astype(np.int64)


def words_by_vowel(
    symbols: Sequence[str], ph_dur: np.ndarray, is_vowel: Callable[[str], bool]
) -> tuple[np.ndarray, np.ndarray]:
    """How pitch and variance encoders see a phrase: each vowel begins a word, the head is one.

    Args:
      symbols: N phonemes.
      ph_dur: i64[N + 2], with head and tail.
      is_vowel: of a symbol.

    Returns:
      word_div and word_dur, i64[W] each; the first word is the head with the leading consonants,
      the last one ends with the tail.
    """
    vowels = [i for i, symbol in enumerate(symbols) if is_vowel(symbol)] or [len(symbols) - 1]
    edges = np.array([0, *(i + 1 for i in vowels), len(symbols) + 2])
    word_div = np.diff(edges)
    ends = np.concatenate([[0], np.cumsum(ph_dur)])[edges]
    return word_div.astype(np.int64), np.diff(ends).astype(np.int64)


class NoteGroups:
    """Phonemes by the notes they begin with: what the duration model is given of a phrase.

    The first group is the silence before, with the consonants that lead to the first note. Of each
    word, what comes before its vowel belongs to the group before.

    Attributes:
      symbols: of each group.
      starts_sec: of each group, and the end.
      tones: of each group.
    """

    def __init__(self, phrase: Phrase, table: SoundTable, silence: str):
        """Distributes the phonemes of a phrase over its notes."""
        first = phrase.notes[0]
        self.symbols: list[list[str]] = [[silence]]
        self.starts_sec, self.tones = [first.start_sec - PADDING_SEC], [round(first.midi)]
        for word in phrase.words:
            notes = [phrase.notes[i] for i in word.notes]
            starts = dict(zip(starts_of(word.symbols, table), notes, strict=False))
            for i, symbol in enumerate(word.symbols):
                if i in starts:
                    self.symbols.append([])
                    self.starts_sec.append(starts[i].start_sec)
                    self.tones.append(round(starts[i].midi))
                self.symbols[-1].append(symbol)
        self.starts_sec.append(phrase.notes[-1].end_sec)

    def feed(self, frame_sec: float) -> dict[str, np.ndarray]:
        """word_div and word_dur i64[1, W], ph_midi i64[1, N]; positions are cut to whole frames."""
        places = np.trunc(np.asarray(self.starts_sec) / frame_sec)
        counts = [len(group) for group in self.symbols]
        return {
            "word_div": np.array([counts], np.int64),
            "word_dur": np.diff(places).astype(np.int64)[None],
            "ph_midi": np.repeat(np.array(self.tones, np.int64), counts)[None],
        }

    def aligned_sec(self, predicted_frames: np.ndarray, frame_sec: float, room_sec: float):
        """Where each phoneme but the silence begins, and the end: f64[N], in the song.

        Leading consonants keep their predicted lengths; every other group is stretched to its
        notes. Where there is less room before the first note than its consonants need, they take
        what they lack of the first note, up to half of it.

        Args:
          predicted_frames: f[N] of all groups.
          frame_sec: of the model.
          room_sec: silence before the first note.
        """
        predicted = np.maximum(np.asarray(predicted_frames, np.float64), 0.0)
        edges = np.cumsum([0, *map(len, self.symbols)])
        starts = np.array(self.starts_sec[1:])
        lead = predicted[1 : edges[1]] * frame_sec
        if len(lead) and (total := float(lead.sum())) > room_sec:
            begin = starts[0] - room_sec
            starts[0] = begin + min(total, (starts[1] - begin) / 2)
            lead *= (starts[0] - begin) / total
        places = [starts[0] - lead.sum() + np.cumsum([0.0, *lead])[:-1]]
        for k, (first, last) in enumerate(zip(edges[1:], edges[2:], strict=False)):
            shares = predicted[first:last]
            if shares.sum() <= 0:
                shares = np.ones(last - first)
            inside = np.cumsum([0.0, *shares])[:-1] / shares.sum()
            places.append(starts[k] + (starts[k + 1] - starts[k]) * inside)
        return np.append(np.concatenate(places), starts[-1])


def require_durations(predicted: np.ndarray, count: int, frame_sec: float, where: str) -> None:
    """Checks what a duration model predicted, before anything is made that long.

    Raises:
      InputError: if it is of another length, or longer than any phoneme.
    """
    if predicted.size != count:
        raise InputError(
            f"{where}: predicted {predicted.size} durations for {count} phonemes; export it again"
        )
    longest = float(predicted.max(initial=0.0)) * frame_sec
    if longest > LONGEST_PHONEME_SEC:
        raise InputError(
            f"{where}: predicted a phoneme of {longest:.3g} s, expected at most "
            f"{LONGEST_PHONEME_SEC:g}; export it again"
        )


def phones_at(phrase: Phrase, places_sec: np.ndarray) -> tuple[Phone, ...]:
    """The phrase's phonemes at these places f64[N + 1]."""
    midis = [phrase.notes[word.notes[0]].midi for word in phrase.words for _ in word.symbols]
    return tuple(
        Phone(symbol, float(start), float(end - start), midi)
        for symbol, start, end, midi in zip(
            phrase.symbols, places_sec, places_sec[1:], midis, strict=False
        )
    )
