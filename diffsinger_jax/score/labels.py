"""Timed phonemes (HTS .lab, Praat TextGrid) to a `Score`: they say what and when, few how high."""

from __future__ import annotations

import bisect
import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.ds import piece_of_segment
from diffsinger_jax.score.ds_schema import Segment
from diffsinger_jax.score.midi import played_notes
from diffsinger_jax.score.options import ReadOptions
from diffsinger_jax.score.phonology import CODAS, is_rest, is_vowel
from diffsinger_jax.score.pitch_names import midi_of_name
from diffsinger_jax.score.text_file import read_text
from diffsinger_jax.score.textgrid import SHORTEST_SEC, phone_tier, read_tiers
from diffsinger_jax.score.timeline import LONGEST_SEC, MOST_NOTES
from diffsinger_jax.types import BREATH, SILENCE, Score

ONE_PITCH = 57.0
"""A3: what is sung on where nothing says how high."""

_HTS_UNITS_PER_SEC = 10_000_000
_FULL_CONTEXT = re.compile(r"\^[^-]*-([^+]+)\+.*?/E:([^\]]*)\](.*?)/F:")
_RESTS = {"pau": SILENCE, "sil": SILENCE, "sp": SILENCE, "spn": SILENCE, "": SILENCE, "br": BREATH,
          "ap": BREATH, "xx": SILENCE}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class TimedPhoneme:
    """A phoneme of a label file.

    Attributes:
      symbol: of the phoneme, rests as `SILENCE` or `BREATH`.
      start_sec, end_sec: of it.
      midi: of its note, None if the file does not say.
      note: tells notes apart, "" if the file does not.
    """

    symbol: str
    start_sec: float
    end_sec: float
    midi: float | None = None
    note: str = ""


def read_hts_lab(path: str | Path, options: ReadOptions) -> Score:
    """Reads an HTS label file, full-context (with notes, as Sinsy and NNSVS write it) or mono.

    Raises:
      InputError: if it is none; the sentence names the line.
    """
    source = str(path)
    labels = []
    for number, line in enumerate(read_text(Path(path), options.encoding).splitlines(), 1):
        if not line.strip():
            continue
        fields = line.split(maxsplit=2)
        try:
            start, end = float(fields[0]), float(fields[1])
            text = fields[2].strip()
        except (ValueError, IndexError) as error:
            raise InputError(
                f"{source}: line {number}: {line[:40]!r} is not a label, expected 'start end "
                "phoneme' in units of 100 ns; correct the line"
            ) from error
        in_seconds = "." in fields[0] or "." in fields[1]
        unit = 1.0 if in_seconds else _HTS_UNITS_PER_SEC
        labels.append(_label(text, start / unit, end / unit, f"line {number}", source))
    return _score(labels, Path(path), source)


def read_textgrid(path: str | Path, options: ReadOptions) -> Score:
    """Reads the tier of phones of a Praat TextGrid, as aligners write it; stress digits go.

    Raises:
      InputError: if it is none, or has no tier of phones.
    """
    source = str(path)
    tier = phone_tier(read_tiers(Path(path), options.encoding), source)
    labels = [
        _label(re.sub(r"(?<=[A-Z])[012]$", "", text), start, end, f"interval {i}", source)
        for i, (start, end, text) in enumerate(tier, 1)
    ]
    return _score(labels, Path(path), source)


def _label(text: str, start: float, end: float, place: str, source: str) -> TimedPhoneme:
    if not (0 <= start < end <= LONGEST_SEC):
        raise InputError(
            f"{source}: {place}: the phoneme lasts from {start:g} to {end:g} s; times rise from 0"
        )
    context = _FULL_CONTEXT.search(text)
    symbol, midi, note = text, None, ""
    if context:
        symbol, name, rest = context.groups()
        note = name + rest
        try:
            midi = None if name == "xx" else midi_of_name(name)
        except ValueError as error:
            raise InputError(f"{source}: {place}: {error}; correct the label") from error
    symbol = _RESTS.get(symbol.lower(), symbol)
    if len(symbol.split()) != 1:
        raise InputError(f"{source}: {place}: {symbol[:40]!r} is not a phoneme; correct the label")
    return TimedPhoneme(symbol, start, end, midi, note)


def _score(labels: Sequence[TimedPhoneme], path: Path, source: str) -> Score:
    if not labels:
        raise InputError(f"{source}: it has no labels; expected lines of 'start end phoneme'")
    if len(labels) > MOST_NOTES:
        raise InputError(f"{source}: it has {len(labels)} phonemes, which no song has; check it")
    labels = _without_gaps(labels, source)
    if not labels:
        raise InputError(
            f"{source}: all of its labels together are shorter than a phoneme; the times of an HTS "
            "label are in units of 100 ns, those of a TextGrid in seconds"
        )
    remarks, midis = [], [label.midi for label in labels]
    if not any(midi is not None for midi in midis):
        midis, remark = _pitches_from_beside(labels, path)
        remarks.append(remark)
    starts = _word_starts(labels)
    words = list(zip(starts, [*starts[1:], len(labels)], strict=True))
    seconds = np.array([label.end_sec - label.start_sec for label in labels])
    word_midis: list[float | None] = []
    last = next((m for m in midis if m is not None), ONE_PITCH)
    for first, stop in words:
        sung = next((i for i in range(first, stop) if not is_rest(labels[i].symbol)), None)
        if is_rest(labels[first].symbol) or sung is None:
            word_midis.append(None)
            continue
        nucleus = next((i for i in range(first, stop) if is_vowel(labels[i].symbol)), sung)
        own = midis[nucleus]
        last = last if own is None else own
        word_midis.append(last)
    segment = Segment(
        offset_sec=0.0,
        language="",
        words=None,
        symbols=tuple(label.symbol for label in labels),
        ph_sec=seconds,
        word_sizes=tuple(stop - first for first, stop in words),
        midis=tuple(word_midis),
        note_sec=np.array([seconds[first:stop].sum() for first, stop in words]),
        slurs=(False,) * len(words),
        curves={},
    )
    return Score(path.stem, "", (piece_of_segment(segment, ""),), source, remarks=tuple(remarks))


def _without_gaps(labels: Sequence[TimedPhoneme], source: str) -> list[TimedPhoneme]:
    """Silence where nothing is labelled; small overlaps end where the next label starts."""
    filled: list[TimedPhoneme] = []
    now = 0.0
    for i, label in enumerate(labels, 1):
        if label.start_sec < now - 0.02:
            raise InputError(
                f"{source}: label {i} ({label.symbol}) starts at {label.start_sec:.3f} s, before "
                f"the one before it ends ({now:.3f} s); correct the times"
            )
        if label.start_sec > now + SHORTEST_SEC:
            filled.append(TimedPhoneme(SILENCE, now, label.start_sec))
        start = filled[-1].end_sec if filled else 0.0
        if label.end_sec - start > SHORTEST_SEC:
            filled.append(dataclasses.replace(label, start_sec=start))
            now = label.end_sec
    return filled


def _word_starts(labels: Sequence[TimedPhoneme]) -> list[int]:
    """Where words of a `.ds` start: at vowels and rests, and at an N that has its own note."""
    starts = [
        i
        for i, label in enumerate(labels)
        if is_rest(label.symbol)
        or is_vowel(label.symbol)
        or (label.symbol in CODAS and i > 0 and label.note != labels[i - 1].note)
    ]
    return starts if starts and is_rest(labels[0].symbol) else [0, *starts[1:]]


def _pitches_from_beside(
    labels: Sequence[TimedPhoneme], path: Path
) -> tuple[list[float | None], str]:
    """Pitches of the MIDI file of the same name, or one pitch for all; and a sentence on it."""
    for suffix in (".mid", ".midi"):
        beside = path.with_suffix(suffix)
        if beside.is_file() and (notes := played_notes(beside)):
            starts = [start for start, _, _ in notes]
            midis: list[float | None] = [
                notes[max(0, bisect.bisect_right(starts, (x.start_sec + x.end_sec) / 2) - 1)][2]
                for x in labels
            ]
            return midis, f"the labels give no notes; they come from {beside.name} beside them"
    return [ONE_PITCH] * len(labels), (
        "the labels give no notes, all is sung on A3; put the notes beside them as "
        f"{path.with_suffix('.mid').name}, or move it with --key"
    )
