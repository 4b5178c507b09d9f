"""Any singer, in the layout of MakeDiffSinger; one folder per speaker, named "speaker.language".

    wavs/NAME.wav (or .flac), transcriptions.csv with the columns
    name, ph_seq, ph_dur [, ph_num] [, note_seq, note_dur [, note_slur]]

Sequences are separated by spaces, seconds. `ph_num` counts the phonemes of words, which start at
their vowel. Without notes, they are estimated from the f0.
https://github.com/openvpi/MakeDiffSinger
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from diffsinger_jax.corpus.align import align
from diffsinger_jax.corpus.labels import label_faults
from diffsinger_jax.corpus.nuclei import is_nucleus, is_rest
from diffsinger_jax.corpus.rows import parse_numbers, row_faults, row_labels, song_of
from diffsinger_jax.corpus.songs import Label, Recipe, SungNote, SungSong
from diffsinger_jax.errors import InputError
from diffsinger_jax.score.pitch_names import midi_of_name

TABLE = "transcriptions.csv"


def read(raw: Sequence[Path], language: str | None) -> list[SungSong]:
    """All rows of all speakers; recordings of several speakers are named "speaker#name".

    Raises:
      InputError: for a folder without a table, a table without its columns, numbers that are
        none, and a language that is nowhere given.
    """
    songs = []
    for root in raw:
        table = root / TABLE
        if not table.is_file():
            raise InputError(f"{root}: has no {TABLE}, expected one beside wavs/; check --raw")
        speaker, _, suffix = root.resolve().name.partition(".")
        tag = language or suffix
        if not tag:
            raise InputError(
                f"{root}: its language is not known, expected a folder named as 'anna.ja'; rename "
                "it or give --language"
            )
        prefix = f"{speaker}#" if len(raw) > 1 else ""
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            for number, row in enumerate(rows, start=2):
                songs.append(_read_row(row, table, number, speaker, tag, prefix))
    if not songs:
        raise InputError(f"{table}: holds no rows, expected one per recording; fill it")
    return songs


def _read_row(
    row: Mapping[str, str], table: Path, number: int, speaker: str, language: str, prefix: str
) -> SungSong:
    where = f"{table}, line {number}"
    if missing := [column for column in ("name", "ph_seq", "ph_dur") if not row.get(column)]:
        raise InputError(f"{where}: has no {', '.join(missing)}, expected a value; fill it in")
    name, symbols = row["name"], row["ph_seq"].split()
    seconds = parse_numbers(row["ph_dur"], where)
    faults = row_faults({"ph_seq": symbols, "ph_dur": seconds})
    labels: list[Label] = [] if faults else row_labels(symbols, seconds)
    nuclei = [i for i, label in enumerate(labels) if is_nucleus(label.symbol, language)]
    if row.get("ph_num") and labels:
        ph_num = [int(number) for number in parse_numbers(row["ph_num"], where)]
        if sum(ph_num) != len(labels):
            faults.append(f"ph_num sums to {sum(ph_num)} for {len(labels)} phonemes")
        else:
            heads = np.cumsum([0, *ph_num[:-1]]).tolist()
            nuclei = [i for i in heads if not is_rest(labels[i].symbol)]
    notes = None
    if row.get("note_seq"):
        names, lengths = row["note_seq"].split(), parse_numbers(row.get("note_dur") or "", where)
        more = row_faults({"note_seq": names, "note_dur": lengths})
        faults += more
        notes = None if more else _notes(names, lengths, where)
    wav = table.parent / "wavs" / f"{name}.wav"
    wav = wav if wav.exists() else wav.with_suffix(".flac")
    return SungSong(
        name=prefix + name,
        song=prefix + song_of(name),
        wav=wav,
        sources=(wav, table),
        phonemes=align(labels, nuclei, notes) if labels else (),
        speaker=speaker,
        language=language,
        faults=(*faults, *label_faults(labels)),
    )


def _notes(names: Sequence[str], lengths: Sequence[float], where: str) -> list[SungNote]:
    """Notes in time, rests left out; `note_slur` follows from how notes meet the words."""
    try:
        pitches = [midi_of_name(name) for name in names]
    except ValueError as error:
        raise InputError(f"{where}: {error}; correct the row") from error
    ends = np.cumsum(lengths).tolist()
    return [
        SungNote(end - sec, end, midi)
        for end, sec, midi in zip(ends, lengths, pitches, strict=True)
        if midi is not None
    ]


RECIPE = Recipe(read=read)
