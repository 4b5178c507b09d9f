"""Prepares recordings for training a vocoder: any wav or flac, no labels.

    diffsinger-jax prepare-recordings --raw DIR --out prepared/recordings --mel 24k_hop256 \\
        --validation song_07 --licence "CC BY 4.0; who sang"

Sound and f0 go in pieces of a few seconds into shards, with recordings.json beside them. Killed
and started again, it goes on where it stood. `data/prepare_recordings.py` is this command, too.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from diffsinger_jax.errors import InputError


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the flags and calls `diffsinger_jax.corpus.recordings`."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--raw", type=Path, nargs="+", required=True, help="folder(s) of sound")
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    parser.add_argument(
        "--mel",
        default="24k_hop256",
        help="a mel representation by name, or the folder of a voice or vocoder",
    )
    parser.add_argument("--f0", default="harvest", help="an f0 extractor by name")
    parser.add_argument("--piece_sec", type=float, default=10.0, help="pieces are at most so long")
    parser.add_argument(
        "--validation",
        nargs="*",
        default=[],
        metavar="PREFIX",
        help="recordings whose path below --raw starts so are held out",
    )
    parser.add_argument("--licence", default="", help="of the recordings, with the credit line")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    flags = parser.parse_args(arguments)
    if flags.jobs < 1:
        raise InputError(f"--jobs is {flags.jobs}, expected 1 or more")
    # One thread for each process, as in `prepare`.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    from diffsinger_jax.corpus import recordings
    from diffsinger_jax.corpus.info import read_mel

    settings = recordings.RecordingSettings(
        mel=read_mel(flags.mel),
        f0=flags.f0,
        piece_sec=flags.piece_sec,
        validation=tuple(flags.validation),
        licence=flags.licence,
    )
    found = recordings.find_recordings(flags.raw)
    info = recordings.prepare_recordings(found, settings, flags.out, flags.jobs)
    if info is None:
        print(f"{flags.out} holds these recordings already")
        return
    for split, frames in info.frames.items():
        minutes = frames.sum() / info.mel.frames_per_sec / 60
        print(f"{split}: {minutes:.1f} minutes in {len(frames)} pieces")
    print(f"wrote {flags.out}")
