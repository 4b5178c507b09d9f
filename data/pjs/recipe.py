"""PJS: phoneme-balanced Japanese songs of one male singer, in the corpus's own layout.

    pjsNNN/pjsNNN_song.wav (or .flac), pjsNNN.lab (HTS, 100 ns), pjsNNN.mid (aligned to the audio)

https://sites.google.com/site/shinnosuketakamichi/research-topics/pjs_corpus
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from diffsinger_jax.corpus.align import align
from diffsinger_jax.corpus.labels import label_faults, read_hts_labels, read_midi_notes
from diffsinger_jax.corpus.nuclei import is_nucleus
from diffsinger_jax.corpus.songs import Label, Recipe, SungSong
from diffsinger_jax.errors import InputError
from diffsinger_jax.types import SILENCE

PHONES = frozenset(
    "SP a i u e o N cl k ky s sh t ts ch n ny h hy f m my y r ry w g gy z j d b by p py".split()
)
CLOSURE_MARK_SEC, CLOSURE_SEC = 0.02, 0.2


def read(raw: Sequence[Path], language: str | None) -> list[SungSong]:
    """All songs, also those whose audio is missing.

    Raises:
      InputError: for a folder without pjsNNN folders.
    """
    folders = sorted(folder for root in raw for folder in root.glob("pjs[0-9]*") if folder.is_dir())
    if not folders:
        raise InputError(
            f"{', '.join(map(str, raw))}: holds no songs of PJS, expected folders pjs001, pjs002 "
            "...; give the folder that the corpus was unpacked to"
        )
    return [_read_song(folder) for folder in folders]


def _read_song(folder: Path) -> SungSong:
    name = folder.name
    lab, midi = folder / f"{name}.lab", folder / f"{name}.mid"
    wav = folder / f"{name}_song.wav"
    if not wav.exists():
        wav = wav.with_suffix(".flac")
    labels, notes = _join_closures(read_hts_labels(lab)), read_midi_notes(midi)
    nuclei = [i for i, label in enumerate(labels) if is_nucleus(label.symbol, "ja")]
    return SungSong(
        name=name,
        song=name,
        wav=wav,
        sources=(wav, lab, midi),
        phonemes=align(labels, nuclei, notes),
        speaker="pjs",
        language="ja",
        notes=tuple(notes),
        faults=(*label_faults(labels), *_unknown_phones(labels)),
    )


def _join_closures(labels: Sequence[Label]) -> list[Label]:
    """Where `cl` is but a mark of a millisecond, the short pause after it is the closure."""
    joined: list[Label] = []
    for label in labels:
        last = joined[-1] if joined else None
        if (
            last is not None
            and last.symbol == "cl"
            and last.end_sec - last.start_sec <= CLOSURE_MARK_SEC
            and label.symbol == SILENCE
            and label.end_sec - label.start_sec <= CLOSURE_SEC
        ):
            joined[-1] = Label("cl", last.start_sec, label.end_sec)
        else:
            joined.append(label)
    return joined


def _unknown_phones(labels: Sequence[Label]) -> list[str]:
    return [
        f"unknown phone {label.symbol!r} at {label.start_sec:.2f} s"
        for label in labels
        if label.symbol not in PHONES
    ]


RECIPE = Recipe(
    read=read,
    test=("pjs011", "pjs035", "pjs053", "pjs075", "pjs092"),
    validation=("pjs023", "pjs044", "pjs066", "pjs083", "pjs100"),
    licence="CC-BY-SA-4.0; PJS: Phoneme-balanced Japanese Singing-voice corpus ver 1.1, "
    "Junya Koguchi (Meiji University) and Shinnosuke Takamichi (University of Tokyo), "
    "arXiv:2006.02959",
)
