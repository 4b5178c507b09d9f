"""Corpora described by one meta.json, as PopCS and M4Singer (Chinese) in the reference's form.

    meta.json: [{"item_name", "wav_fn", "phs", "ph_dur", "notes", "notes_dur", "is_slur"}, ...]

with an entry per phoneme in each list, notes in MIDI numbers (0 is a rest), seconds. Without
`wav_fn`, an item "Singer#Song#0003" is the file "Singer#Song/0003.wav" (M4Singer). Without
`notes` (PopCS) the notes are estimated from the f0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diffsinger_jax.corpus.align import align
from diffsinger_jax.corpus.labels import label_faults
from diffsinger_jax.corpus.nuclei import is_nucleus
from diffsinger_jax.corpus.rows import phonemes_of_row, row_faults, row_labels, song_of
from diffsinger_jax.corpus.songs import Recipe, SungSong
from diffsinger_jax.errors import InputError


def read(raw: Sequence[Path], language: str | None) -> list[SungSong]:
    """All items of each folder's meta.json; Chinese unless told otherwise.

    Raises:
      InputError: for a folder without it, one that is not such a list, or an item without its
        fields.
    """
    songs = []
    for root in raw:
        meta = root / "meta.json"
        if not meta.is_file():
            raise InputError(
                f"{root}: has no meta.json, expected one beside the sound; check --raw"
            )
        try:
            items = json.loads(meta.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{meta}: is not JSON ({error}); correct it") from error
        if not isinstance(items, list) or not items:
            raise InputError(f"{meta}: holds no items, expected a list of objects; check the file")
        songs += [_read_item(item, meta, n, language or "zh") for n, item in enumerate(items)]
    return songs


def _read_item(item: Mapping, meta: Path, number: int, language: str) -> SungSong:
    where = f"{meta}, item {number + 1}"
    try:
        name, symbols = item["item_name"], item["phs"]
        symbols = symbols.split() if isinstance(symbols, str) else symbols
        columns: dict[str, Sequence[Any]] = {
            "phs": symbols,
            "ph_dur": [float(sec) for sec in item["ph_dur"]],
        }
        has_notes = "notes" in item
        if has_notes:
            columns |= {
                "notes": [float(midi) for midi in item["notes"]],
                "notes_dur": [float(sec) for sec in item["notes_dur"]],
                "is_slur": [bool(slur) for slur in item["is_slur"]],
            }
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{where}: {type(error).__name__} {error}, expected item_name, phs, ph_dur, and "
            "notes, notes_dur, is_slur if it has notes; correct the item"
        ) from error
    parts = name.split("#")
    wav = meta.parent / item.get("wav_fn", f"{'#'.join(parts[:-1])}/{parts[-1]}.wav")
    faults = row_faults(columns)
    labels = [] if faults else row_labels(symbols, columns["ph_dur"])
    if has_notes and labels:
        phonemes = phonemes_of_row(
            labels, columns["notes"], columns["notes_dur"], columns["is_slur"], language
        )
    else:
        nuclei = [i for i, label in enumerate(labels) if is_nucleus(label.symbol, language)]
        phonemes = align(labels, nuclei, None) if labels else ()
    return SungSong(
        name=name,
        song=song_of(name),
        wav=wav,
        sources=(wav, meta),
        phonemes=phonemes,
        speaker=parts[0] if len(parts) == 3 else meta.parent.name,
        language=language,
        faults=tuple(faults or label_faults(labels)),
    )


RECIPE = Recipe(read=read)
