"""Compares a voice's own singing with that of the voicebank exported of it, input by input.

    python benchmarks/openutau_roads.py --voice pjs --voicebank PJS --songs song.musicxml

One of them sings a song, then both sing the phonemes, durations and f0 of that performance. One
input of the voice after the other becomes what the voicebank's graph is given. Each row is the mel
cepstral distortion in dB from the voice's own mel of the same phrases:

    alone      with this input exchanged, and no other
    so far     with it and all of the rows above
    voiced, unvoiced, silent
               `so far` over frames of these kinds alone

Then three ways to the same song by the voicebank itself:

    our frames    its graph is given our phonemes, durations and f0
    our timing    it sings a .ds with them, in OpenUtau's words and frames: the last row above
    the score     it sings the score, and predicts by its own models; beside the voice's own
                  singing with another seed

With --wav, both sounds are compared too, beside the voice's own sound with another seed.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import measure  # noqa: E402
import numpy as np  # noqa: E402
from openutau_parts import OurNoise, Part, changes, graph_mel, own_part, sung  # noqa: E402

from diffsinger_jax.audio.mel import log_mel  # noqa: E402
from diffsinger_jax.interop.openutau.models import PhraseMel, sing_phrase  # noqa: E402
from diffsinger_jax.interop.openutau.phrases import phrases_of  # noqa: E402
from diffsinger_jax.interop.openutau.synthesizer import VoicebankSynthesizer  # noqa: E402
from diffsinger_jax.metrics.measures import (  # noqa: E402
    Ratio,
    cepstral_distance,
    mel_cepstra,
    merge,
    sounding_frames,
)
from diffsinger_jax.score.ds import write_ds  # noqa: E402
from diffsinger_jax.score.reader import read_score  # noqa: E402
from diffsinger_jax.synthesis.arrays import PieceArrays  # noqa: E402
from diffsinger_jax.synthesis.mels import MelPiece, sing_mels  # noqa: E402
from diffsinger_jax.synthesis.phrase_mels import PADDING_FRAMES  # noqa: E402
from diffsinger_jax.synthesis.synthesizer import Synthesizer  # noqa: E402
from diffsinger_jax.types import Score  # noqa: E402
from diffsinger_jax.voices.voice import Voice  # noqa: E402

KINDS = ("all", "voiced", "unvoiced", "silent")
OUR_FRAMES = "our frames: the graph, given them"
OUR_TIMING = "our timing: as the voicebank sings it"
THE_SCORE = "the score: all by its own models"


def kinds(part: Part) -> dict[str, np.ndarray]:
    """bool[T] of each kind of frame."""
    rest = np.ones(len(part.f0), bool)
    rest[PADDING_FRAMES : len(rest) - PADDING_FRAMES] = False
    voiced = (part.f0 > 0) & ~rest
    return dict(zip(KINDS, (np.ones_like(rest), voiced, ~voiced & ~rest, rest), strict=True))


class Table:
    """Distances by row and column."""

    def __init__(self, spec):
        """Empty."""
        self.spec, self.sums = spec, dict[str, dict[str, Ratio]]()

    def add(self, row: str, column: str, own: np.ndarray, other: np.ndarray, mask) -> None:
        """Adds the frames of a phrase; the shorter of the two is held at its end."""
        other = other[np.minimum(np.arange(len(own)), len(other) - 1)]
        far = cepstral_distance(mel_cepstra(own, self.spec), mel_cepstra(other, self.spec))
        found = Ratio(float(far[mask].sum()), float(mask.sum()))
        columns = self.sums.setdefault(row, {})
        columns[column] = merge(columns.get(column, Ratio()), found)

    def add_kinds(self, row: str, own: np.ndarray, other: np.ndarray, masks) -> None:
        """All columns but `alone`."""
        for kind, mask in masks.items():
            self.add(row, "so far" if kind == "all" else kind, own, other, mask)

    def rows(self) -> list[dict[str, str | float]]:
        """To print."""
        return [
            {"exchanged": row} | {name: ratio.compute() for name, ratio in columns.items()}
            for row, columns in self.sums.items()
        ]


def phrases(
    own: Synthesizer, bank: VoicebankSynthesizer, score: Score, seed: int
) -> Iterator[tuple[PieceArrays, MelPiece, PhraseMel]]:
    """Each phrase as both sing it, with the piece that it is of."""
    prepared, theirs = own.prepare(score), bank.prepare(score)
    arrays = own._arrays(prepared, 0)
    made = sing_mels(
        own.voice, arrays, range(len(arrays)), seed=seed, sampling=None, frames_per_batch=1
    )
    mels = {mel.index: mel for mel in made}
    cast, steps = bank._cast(None), bank.resolve_sampling(steps=own.voice.sampling.steps)
    for phrase in phrases_of(theirs, bank.sung_pieces(theirs)):
        yield (
            arrays[phrase.index],
            mels[phrase.index],
            sing_phrase(bank.voice, phrase, cast, steps),
        )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--voice", default="pjs", metavar="FOLDER")
    parser.add_argument("--voicebank", required=True, metavar="FOLDER")
    parser.add_argument("--songs", nargs="+", required=True, metavar="FILE")
    parser.add_argument("--pieces", type=int, help="of each song, all unless given")
    parser.add_argument("--by", choices=("voice", "voicebank"), default="voice", help="performed")
    parser.add_argument("--wav", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    measure.add_report_flags(parser)
    flags = parser.parse_args()
    own = Synthesizer.from_checkpoint(flags.voice, "harmonic")
    bank = VoicebankSynthesizer.from_checkpoint(flags.voicebank, vocoder="harmonic")
    voice, spec = own.voice, own.voice.info.mel
    predicting = VoicebankSynthesizer.from_checkpoint(flags.voicebank, vocoder="harmonic")
    OurNoise(bank, voice)
    table, count = Table(spec), 0
    for path in flags.songs:
        score = performance(own, bank if flags.by == "voicebank" else own, path, flags)
        for arrays, mel, theirs in phrases(own, bank, score, flags.seed):
            part = own_part(arrays, mel, theirs, spec)
            compare(voice, table, part, theirs)
            table.add_kinds(
                OUR_FRAMES, sung(voice, part), graph_mel(bank, voice, part), kinds(part)
            )
            count += 1
        compare_predictions(own, predicting, table, path, flags)
        if flags.wav:
            compare_sounds(own, predicting, table, score, flags.seed)
    rows = table.rows()
    print("\n".join(map(measure.line, rows)))
    note = f"{count} phrases of {', '.join(Path(song).stem for song in flags.songs)}."
    measure.report(flags, "Our singing and the voicebank's", rows, note)


def performance(
    own: Synthesizer,
    singer: Synthesizer | VoicebankSynthesizer,
    path: str,
    flags: argparse.Namespace,
) -> Score:
    """The first pieces of a song with the durations and f0 that a singer gives them, as a file."""
    score = begun(own.prepare(read_score(path)), flags)
    sung = singer.sing(singer.prepare(score), seed=flags.seed).score
    with tempfile.TemporaryDirectory() as folder:
        write_ds(Path(folder) / "song.ds", sung)
        return read_score(Path(folder) / "song.ds")


def begun(score: Score, flags: argparse.Namespace) -> Score:
    """Its first pieces."""
    return dataclasses.replace(score, pieces=score.pieces[: flags.pieces])


def compare_predictions(
    own: Synthesizer,
    bank: VoicebankSynthesizer,
    table: Table,
    path: str,
    flags: argparse.Namespace,
) -> None:
    """Adds a song of which both are given the score alone."""
    score = read_score(path)
    first, again = (
        own.sing(begun(own.prepare(score), flags), seed=flags.seed + i) for i in range(2)
    )
    theirs = bank.sing(begun(bank.prepare(score), flags), seed=flags.seed)
    masks = {"all": sounding_frames(first.mel, table.spec)}
    table.add_kinds(THE_SCORE, first.mel, theirs.mel, masks)
    table.add_kinds(f"{THE_SCORE}, ours with another seed", first.mel, again.mel, masks)


def compare_sounds(
    own: Synthesizer, bank: VoicebankSynthesizer, table: Table, score: Score, seed: int
) -> None:
    """Adds a song to the rows of sounds."""
    spec = table.spec
    first, second = (own.sing(own.prepare(score), seed=s) for s in (seed, seed + 1))
    theirs = bank.sing(bank.prepare(score), seed=seed)
    own_mel, again, other = (log_mel(song.wav, spec) for song in (first, second, theirs))
    times = np.arange(len(own_mel)) / spec.frames_per_sec
    inside = np.any([(times >= p.start_sec) & (times < p.end_sec) for p in first.phonemes], axis=0)
    voiced = inside & (np.pad(first.f0, (0, len(times)))[: len(times)] > 0)
    loud = sounding_frames(own_mel, spec)
    masks = dict(zip(KINDS, (loud, voiced, inside & ~voiced, ~inside), strict=True))
    table.add_kinds("sound, of frames within 40 dB", own_mel, other, masks)
    table.add_kinds("the voice's own with another seed", own_mel, again, masks)


def compare(voice: Voice, table: Table, part: Part, theirs: PhraseMel) -> None:
    """Adds a phrase to all rows."""
    masks, own, so_far = kinds(part), sung(voice, part), part
    for name, change in changes(voice, theirs).items():
        table.add(name, "alone", own, sung(voice, change(part)), masks["all"])
        so_far = change(so_far)
        table.add_kinds(name, own, sung(voice, so_far), masks)
    table.add_kinds(OUR_TIMING, own, theirs.mel, masks)


if __name__ == "__main__":
    main()
