"""Prepares a corpus: raw recordings with labels to checked features in ArrayRecord shards.

    diffsinger-jax prepare pjs --raw DIR --out prepared/pjs --mel 24k_hop256

Beside the shards stand corpus.json (what a model must know of the corpus) and checks.csv (what
the checker found in each song). Killed and started again, it goes on where it stood.
`data/prepare.py` is this command, too.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffsinger_jax import resources
from diffsinger_jax.errors import InputError


def load_recipe(name: str):
    """The `RECIPE` in data/<name>/recipe.py."""
    return importlib.import_module(f"diffsinger_jax.data.{name}.recipe").RECIPE


def parse_flags(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The flags, checked as far as that goes without reading a file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("corpus", choices=resources.shipped_recipes())
    parser.add_argument("--raw", type=Path, nargs="+", help="folder(s) of the raw corpus")
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    parser.add_argument(
        "--mel", default="24k_hop128", help="a mel representation by name, or a voice's folder"
    )
    parser.add_argument("--f0", default="harvest", help="an f0 extractor by name")
    parser.add_argument(
        "--curves", nargs="*", default=[], metavar="NAME", help="further curves of each recording"
    )
    _add_augmentation(parser.add_argument_group("pieces added to those that are trained on"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument(
        "--beam",
        nargs="?",
        const="--runner=DirectRunner",
        metavar="OPTIONS",
        help='work on Apache Beam, with its options, as --beam="--runner=FlinkRunner ..."; '
        "without options on this machine",
    )
    parser.add_argument("--max_piece_sec", type=float, default=12.0)
    parser.add_argument(
        "--keep_faulty",
        nargs="*",
        metavar="PREFIX",
        help="use songs that fail the check, too: all, or those whose names start so",
    )
    parser.add_argument("--check_only", action="store_true", help="write OUT.checks.csv only")
    parser.add_argument("--language", help="tag as ja, zh, where the corpus does not say")
    parser.add_argument("--test", nargs="*", help="prefixes of the test songs")
    parser.add_argument("--validation", nargs="*", help="prefixes of the validation songs")
    flags = parser.parse_args(arguments)
    if flags.jobs < 1:
        raise InputError(f"--jobs is {flags.jobs}, expected 1 or more")
    if flags.beam is not None:
        flags.beam = shlex.split(flags.beam)
        if importlib.util.find_spec("apache_beam") is None:
            raise InputError("--beam needs Apache Beam; install it with pip install apache-beam")
    return flags


def _add_augmentation(group: argparse._ArgumentGroup) -> None:
    ends: Any = {"type": float, "nargs": 2, "metavar": ("LOW", "HIGH")}
    group.add_argument(
        "--key_shift", **ends, help="shifted by random semitones, as -5 5; none unless given"
    )
    group.add_argument(
        "--speed", **ends, help="sped up by random factors, as 0.5 2; none unless given"
    )
    for name in ("key_shift", "speed"):
        group.add_argument(
            f"--{name}_share", type=float, default=0.75, help="of the pieces; %(default)s"
        )


def _augmentation(flags: argparse.Namespace):
    """`Augmentation` of the flags; None where nothing is added."""
    from diffsinger_jax.corpus.augmentation import Augmentation

    if flags.key_shift is None and flags.speed is None:
        return None
    return Augmentation(
        key_shift=flags.key_shift and tuple(flags.key_shift),
        speed=flags.speed and tuple(flags.speed),
        key_shift_share=flags.key_shift_share,
        speed_share=flags.speed_share,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the flags and calls `diffsinger_jax.corpus.build`."""
    flags = parse_flags(arguments)
    # One process per core, one thread each. Set before NumPy is loaded, and whatever the user has
    # set: sums come out in other bits with another number of threads, and so would the shards.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    recipe = load_recipe(flags.corpus)
    raw = flags.raw or ([recipe.raw] if recipe.raw else None)
    if raw is None:
        raise InputError(f"--raw is missing, the folder of the {flags.corpus} corpus; give it")
    for folder in raw:
        if not folder.is_dir():
            raise InputError(f"there is no folder {folder}, given as --raw; check the path")
    songs = recipe.read(raw, flags.language)
    # TFDS takes seconds to import, which a mistyped flag or a worker need not wait for.
    from diffsinger_jax.corpus import build
    from diffsinger_jax.corpus.info import read_mel

    keep = flags.keep_faulty
    settings = build.CorpusSettings(
        name=flags.corpus,
        mel=read_mel(flags.mel),
        f0=flags.f0,
        max_piece_sec=flags.max_piece_sec,
        keep_faulty=() if keep is None else tuple(keep) or ("",),
        test=_held_out(recipe.test, flags.test, songs),
        validation=_held_out(recipe.validation, flags.validation, songs),
        licence=recipe.licence,
        curves=tuple(flags.curves),
        augmentation=_augmentation(flags),
    )
    if flags.check_only:
        report(build.check_only(songs, settings, flags.out, flags.jobs, beam=flags.beam))
        print(f"wrote {build.checks_file(flags.out)}")
    elif checked := build.prepare(songs, settings, flags.out, flags.jobs, beam=flags.beam):
        report(checked)
        print(f"wrote {flags.out}")
    else:
        print(f"{flags.out} holds this corpus already")


def _held_out(usual: Sequence[str], told: Sequence[str] | None, songs: list) -> tuple[str, ...]:
    """Prefixes of the songs of a split: as told, or the usual ones, of a part those it has."""
    if told is not None:
        return tuple(told)
    return tuple(p for p in usual if any(song.song.startswith(p) for song in songs))


def report(checked: list) -> None:
    """Says which songs are left out, and why."""
    for c in checked:
        if not c.used:
            print(f"left out: {c.song.name}: {c.report.reason}")
    count = Counter(c.report.verdict for c in checked)
    print(f"{count['ok']} songs are well, {count['warn']} have a warning, {count['fail']} fail")
