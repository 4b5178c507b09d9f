"""Opencpop: Chinese pop songs of one female singer, cut into segments by the corpus.

    segments/transcriptions.txt, segments/wavs/2001000001.wav ...

Each line: id | text | phonemes | notes | note durations | phoneme durations | slurs, the last five
with an entry per phoneme, durations in seconds. https://wenet.org.cn/opencpop/
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffsinger_jax.corpus.labels import label_faults
from diffsinger_jax.corpus.rows import parse_numbers, phonemes_of_row, row_faults, row_labels
from diffsinger_jax.corpus.songs import Recipe, SungSong
from diffsinger_jax.errors import InputError
from diffsinger_jax.score.pitch_names import midi_of_name

FIELDS = 7
SONG_DIGITS = 4  # of an id, 2001000001 is segment 1 of song 2001


def read(raw: Sequence[Path], language: str | None) -> list[SungSong]:
    """All segments of `transcriptions.txt`.

    Raises:
      InputError: for a folder without that file, and lines of another form.
    """
    songs = []
    for root in raw:
        table = root / "segments" / "transcriptions.txt"
        if not table.is_file():
            raise InputError(
                f"{root}: has no segments/transcriptions.txt, expected the folder that Opencpop "
                "was unpacked to; check --raw"
            )
        for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), start=1):
            if line.strip():
                songs.append(_read_line(line, table, number))
    if not songs:
        raise InputError(f"{table}: is empty, expected a line per segment; unpack it again")
    return songs


def _read_line(line: str, table: Path, number: int) -> SungSong:
    where = f"{table}, line {number}"
    fields = [field.strip() for field in line.split("|")]
    if len(fields) != FIELDS:
        raise InputError(
            f"{where}: has {len(fields)} fields, expected {FIELDS} (id, text, phonemes, notes, "
            "note durations, phoneme durations, slurs) separated by '|'; correct the line"
        )
    name, _, symbols, notes, note_sec, ph_sec, slurs = fields
    columns: dict[str, Sequence[Any]] = {
        "phonemes": symbols.split(),
        "notes": notes.split(),
        "note durations": parse_numbers(note_sec, where),
        "phoneme durations": parse_numbers(ph_sec, where),
        "slurs": parse_numbers(slurs, where),
    }
    try:
        midi = [midi_of_name(note) or 0.0 for note in columns["notes"]]
    except ValueError as error:
        raise InputError(f"{where}: {error}; correct the line") from error
    faults = row_faults(columns)
    labels = [] if faults else row_labels(columns["phonemes"], columns["phoneme durations"])
    wav = table.parent / "wavs" / f"{name}.wav"
    return SungSong(
        name=name,
        song=name[:SONG_DIGITS],
        wav=wav,
        sources=(wav, table),
        phonemes=phonemes_of_row(labels, midi, columns["note durations"], columns["slurs"], "zh"),
        speaker="opencpop",
        language="zh",
        faults=tuple(faults or label_faults(labels)),
    )


RECIPE = Recipe(
    read=read,
    test=("2044", "2086", "2092", "2093", "2100"),
    licence="Opencpop, by application, for research only; Wang et al., arXiv:2201.07429",
)
