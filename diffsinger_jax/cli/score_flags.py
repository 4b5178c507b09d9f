"""The flags of how a score is read, and what singing all of its parts needs."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from diffsinger_jax.errors import InputError

_VERSES = (".musicxml", ".xml", ".mxl")


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ReadOptions` and `Pronunciation`."""
    score = parser.add_argument_group("how to read the score")
    score.add_argument(
        "--part", metavar="NAME|N|all", help="which part sings; all: each one, and their mix"
    )
    score.add_argument(
        "--voice_line", type=int, default=1, metavar="N", help="of chords (divisi), 1 the highest"
    )
    score.add_argument("--verse", type=_positive_int, default=1, help="of a MusicXML score")
    score.add_argument("--lyric", metavar="SYLLABLE", help="sing every note on it (vocalise)")
    score.add_argument(
        "--fermata", type=float, default=1.0, metavar="FACTOR", help="1.5: half as long again"
    )
    score.add_argument(
        "--ritardando", type=float, default=1.0, metavar="FACTOR", help="0.8: down to 80 %% tempo"
    )
    score.add_argument("--encoding", metavar="NAME", help="of lyrics in MIDI, UST ..., as cp932")
    lyrics = parser.add_argument_group("in which language")
    lyrics.add_argument("--language", metavar="TAG", help="of the lyrics, as de")
    lyrics.add_argument(
        "--phoneme_map",
        metavar="NAME|FILE",
        help="sing lyrics in a language that the voice does not know: en, de, fr, it, es, la, pt, "
        "zh, or a table",
    )
    lyrics.add_argument(
        "--dictionary", nargs="+", default=[], metavar="FILE", help="tables of words, yours first"
    )


def pronunciation(flags: argparse.Namespace):
    """The `Pronunciation` that the flags say."""
    from diffsinger_jax.score.pronunciation import Pronunciation

    return Pronunciation(flags.phoneme_map, tuple(map(str, flags.dictionary)))


def read_all(paths: Sequence[Path], stems: Sequence[str], flags: argparse.Namespace) -> list[tuple]:
    """(path, stem of the files to write, score) of every part that is to be sung.

    Raises:
      InputError: for a score that cannot be read, or `--verse` where there are none.
    """
    from diffsinger_jax.score.options import ReadOptions
    from diffsinger_jax.score.reader import read_scores

    names = ("language", "verse", "encoding", "part", "voice_line", "lyric", "fermata")
    options = ReadOptions(
        **{name: getattr(flags, name) for name in names}, ritardando=flags.ritardando
    )
    songs = []
    for path, stem in zip(paths, stems, strict=True):
        if flags.verse != 1 and Path(path).suffix.lower() not in _VERSES:
            raise InputError(f"{path}: only MusicXML has verses; leave --verse away for it")
        scores = read_scores(path, options)
        if len(scores) > 1 and flags.out == "-":
            raise InputError(
                f"{path}: --out - takes one part; name it with --part, or give a folder"
            )
        for score in scores:
            name = f"{stem}_{_file_name(score.part)}" if len(scores) > 1 else stem
            songs.append((path, name, score))
    return songs


def mix_parts(songs: Sequence[tuple], flags: argparse.Namespace) -> None:
    """Writes STEM_mix beside the parts of each score of which several were sung."""
    from diffsinger_jax.synthesis.files import mix_sounds

    takes = [f"_take{take + 1}" for take in range(flags.takes)] if flags.takes > 1 else [""]
    for path in dict.fromkeys(path for path, _, _ in songs):
        parts = [(stem, score) for other, stem, score in songs if other == path]
        if len(parts) < 2:
            continue
        stem = parts[0][0].removesuffix(f"_{_file_name(parts[0][1].part)}")
        for take in takes:
            sounds = [Path(flags.out, f"{name}{take}.{flags.format}") for name, _ in parts]
            mix = Path(flags.out, f"{stem}_mix{take}.{flags.format}")
            mix_sounds(sounds, mix, bit_depth=flags.bit_depth)
            print(f"wrote {mix}")


def _file_name(part: str) -> str:
    """A part's name as a piece of a file's name."""
    return re.sub(r"[^\w-]+", "_", part).strip("_") or "part"


def _positive_int(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 on")
    return value


_positive_int.__name__ = "whole number"
