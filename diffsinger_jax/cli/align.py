"""Finds the phones of recordings with texts, and writes them as TextGrids.

    diffsinger-jax align --raw LJSpeech-1.1
    diffsinger-jax align --raw speakers --dictionary own.dict

Each recording that has a text and no TextGrid gets one, TextGrid/NAME.TextGrid in the folder of its
speaker; `diffsinger-jax prepare` finds it there. All recordings together train the models that
they are aligned by: a few minutes of speech are needed, and more help.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from diffsinger_jax.errors import InputError


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the flags, aligns what lacks an alignment, and says what was left out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--raw", type=Path, nargs="+", required=True, help="as for prepare")
    parser.add_argument(
        "--dictionary", type=Path, nargs="+", default=[], metavar="FILE", help="words, yours first"
    )
    parser.add_argument("--iterations", type=int, default=20, help="of training and aligning")
    flags = parser.parse_args(arguments)
    if flags.iterations < 1:
        raise InputError(f"--iterations is {flags.iterations}, expected 1 or more")
    from diffsinger_jax.corpus.align_texts import align_texts
    from diffsinger_jax.corpus.speech import find_utterances
    from diffsinger_jax.text.pronunciation import Pronouncer

    for folder in flags.raw:
        if not folder.is_dir():
            raise InputError(f"there is no folder {folder}, given as --raw; check the path")
    found = [utterance for folder in flags.raw for utterance in find_utterances(folder)]
    left = [u for u in found if not u.grid.is_file()]
    silent = [u.name for u in left if not u.text]
    if silent:
        print(f"left out, since there is no text: {', '.join(silent)}")
    written = align_texts(
        [u for u in left if u.text], Pronouncer(flags.dictionary), flags.iterations
    )
    print(f"{len(found) - len(left)} had an alignment, {len(written)} were aligned")
