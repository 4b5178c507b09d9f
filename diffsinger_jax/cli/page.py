"""Sings songs with a voice and writes a static page to hear and see them.

diffsinger-jax page --voice DIR --html DIR SONG [SONG ...]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from diffsinger_jax import resources
from diffsinger_jax.cli.number_flags import depth
from diffsinger_jax.errors import InputError


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--voice", default=resources.DEFAULT_VOICE, help="one that ships, or a voice folder"
    )
    parser.add_argument("--html", type=Path, required=True, help="folder for the page")
    parser.add_argument(
        "--k_step", type=depth, nargs="+", help="where sampling starts; the voice's own and 0"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "songs", nargs="+", help="songs that ship, or scores: .musicxml, .mid, .ds ..."
    )
    flags = parser.parse_args(arguments)
    from diffsinger_jax.evaluation.page import song_piece, write_page
    from diffsinger_jax.evaluation.report import make_folder
    from diffsinger_jax.score.reader import read_score
    from diffsinger_jax.synthesis.synthesizer import Synthesizer
    from diffsinger_jax.voices.sampling import resolve_sampling, sampling_to_dict

    synthesizer = Synthesizer.from_checkpoint(flags.voice)
    voice = synthesizer.voice
    if voice.vocoder is not None:
        raise InputError(
            f"the voice {voice.name} names a vocoder, and the page is drawn for the built-in one; "
            "copy the voice without its vocoder"
        )
    scores = {song: read_score(resources.find_score(song)) for song in flags.songs}
    make_folder(flags.html)
    pieces = []
    for path, score in scores.items():
        takes = {}
        for k_step in flags.k_step or sorted({voice.sampling.k_step, 0}, reverse=True):
            print(f"singing {path}, k = {k_step}", flush=True)
            sampling = resolve_sampling(voice, k_step=k_step)
            name = f"shallow k={k_step}" if k_step else "without diffusion"
            takes[name] = synthesizer(score, seed=flags.seed, sampling=sampling)
        pieces.append(song_piece(score.title or Path(path).stem, takes))
    own = sampling_to_dict(voice.sampling)
    about = {
        "title": f"Songs by the voice {voice.name}",
        "licence": voice.info.licence,
        "sampling": ", ".join(f"{name} {value}" for name, value in own.items()),
        "seed": flags.seed,
    }
    print(f"written to {write_page(flags.html, about, {}, pieces, voice.info.mel)}")
