"""Label files and MIDI files as timelines."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import mido

from diffsinger_jax.corpus.nuclei import rest_symbol
from diffsinger_jax.corpus.songs import Label, SungNote
from diffsinger_jax.errors import InputError

_HTS_UNITS_PER_SEC = 10_000_000
_SEAM_SEC = 0.01  # labels follow each other, give or take rounding
# Full context, p@p^p-PHONE+p=p_... ; a monophone label is only the phone.
_FULL_CONTEXT = re.compile(r"\^[^-]*-([^+]+)\+")


def read_hts_labels(path: Path) -> list[Label]:
    """Lines of "start end phone" in units of 100 ns, monophone or full-context.

    Raises:
      InputError: for a file that is missing, empty or not made of such lines.
    """
    labels = []
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            start, end, context = line.split(maxsplit=2)
            start_sec, end_sec = int(start) / _HTS_UNITS_PER_SEC, int(end) / _HTS_UNITS_PER_SEC
        except ValueError as error:
            raise InputError(
                f"{path}, line {number}: {line[:40]!r} is not a label, expected "
                f"'start end phone' in units of 100 ns; correct the line"
            ) from error
        match = _FULL_CONTEXT.search(context)
        symbol = match.group(1) if match else context.strip()
        labels.append(Label(rest_symbol(symbol), start_sec, end_sec))
    if not labels:
        raise InputError(f"{path}: holds no labels, expected lines of 'start end phone'")
    return labels


def label_faults(labels: Sequence[Label]) -> list[str]:
    """What is wrong with labels by themselves, in words: no length, overlaps, gaps."""
    faults = [
        f"label {x.symbol!r} at {x.start_sec:.2f} s has no length"
        for x in labels
        if x.end_sec <= x.start_sec
    ]
    for before, after in itertools.pairwise(labels):
        if abs(after.start_sec - before.end_sec) > _SEAM_SEC:
            what = "overlap" if after.start_sec < before.end_sec else "leave a gap"
            faults.append(
                f"labels {before.symbol!r} and {after.symbol!r} {what} at {before.end_sec:.2f} s"
            )
    return faults


def read_midi_notes(path: Path) -> list[SungNote]:
    """The notes of a MIDI file in time, in order of their onsets.

    Raises:
      InputError: for a file that is missing or not MIDI.
    """
    notes: list[SungNote] = []
    sounding: dict[int, float] = {}  # when each key that is down was struck
    now_sec = 0.0
    try:
        for message in mido.MidiFile(path):
            now_sec += message.time
            if message.type not in ("note_on", "note_off"):
                continue
            start_sec = sounding.pop(message.note, now_sec)
            if now_sec > start_sec:  # two onsets at once are one note
                notes.append(SungNote(start_sec, now_sec, float(message.note)))
            if message.type == "note_on" and message.velocity > 0:
                sounding[message.note] = now_sec
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; check the folder's layout") from error
    except (OSError, EOFError, ValueError, KeyError, IndexError) as error:
        raise InputError(
            f"{path}: not a readable MIDI file ({error or type(error).__name__}); export it again"
        ) from error
    return sorted(notes, key=lambda note: note.start_sec)


def _read_text(path: Path) -> str:
    """A label file's text."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; check the folder's layout") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error.reason}); save it as UTF-8") from error
