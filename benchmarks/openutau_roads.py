"""Compares a voice's own singing with that of the voicebank exported of it, input by input.

    python benchmarks/openutau_roads.py --voice pjs --voicebank PJS --songs song.musicxml

One of them sings a song, then both sing the phonemes, durations and f0 of that performance. One
input of the voice after the other becomes what the voicebank's graph is given. Each row is the mel
cepstral distortion in dB from the voice's own mel of the same phrases:

    alone      with this input exchanged, and no other
    so far     with it and all of the rows above
    voiced, unvoiced, silent
               `so far` over frames of these kinds alone

With --wav, both sounds are compared too, beside the voice's own sound with another seed.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import measure  # noqa: E402
import numpy as np  # noqa: E402

from diffsinger_jax.audio.mel import log_mel  # noqa: E402
from diffsinger_jax.interop.openutau.graph_notes import notes_of_pitch  # noqa: E402
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
from diffsinger_jax.pipeline.collate import collate  # noqa: E402
from diffsinger_jax.pipeline.plan import Bucket  # noqa: E402
from diffsinger_jax.score.ds import write_ds  # noqa: E402
from diffsinger_jax.score.reader import read_score  # noqa: E402
from diffsinger_jax.synthesis.arrays import PieceArrays  # noqa: E402
from diffsinger_jax.synthesis.buckets import bucket_frames  # noqa: E402
from diffsinger_jax.synthesis.mels import MelPiece, sing_mels  # noqa: E402
from diffsinger_jax.synthesis.phrase_mels import PADDING_FRAMES  # noqa: E402
from diffsinger_jax.synthesis.synthesizer import Synthesizer  # noqa: E402
from diffsinger_jax.types import SILENCE, Batch, Score  # noqa: E402
from diffsinger_jax.voices.voice import Voice  # noqa: E402

KINDS = ("all", "voiced", "unvoiced", "silent")


class Part(NamedTuple):
    """A phrase with its silences as the voice's encoder is told of it.

    Attributes:
      example: arrays [N] by name, with `ph_frames`.
      f0: f32[T] Hz, 0 unvoiced.
      filled: f32[T] Hz without gaps, as the voicebank's graph is given it.
      curves: f32[T] by name.
      again: bool[N], the vowels that a slur sings again.
    """

    example: dict[str, np.ndarray]
    f0: np.ndarray
    filled: np.ndarray
    curves: dict[str, np.ndarray]
    again: np.ndarray

    def on(self, ph_frames: np.ndarray) -> Part:
        """With other durations, the frames cut or held at the end."""
        places = np.minimum(np.arange(int(ph_frames.sum())), len(self.f0) - 1)
        curves = {name: values[places] for name, values in self.curves.items()}
        example = self.example | {"ph_frames": ph_frames.astype(np.int32)}
        return self._replace(
            example=example, f0=self.f0[places], filled=self.filled[places], curves=curves
        )


Change = Callable[[Part], Part]


def changes(voice: Voice, theirs: PhraseMel) -> dict[str, Change]:
    """What makes the voice's inputs the graph's, in order."""
    spec, vocabulary = voice.info.mel, voice.info.vocabulary
    frames = theirs.grid.ph_dur

    def slurs(part: Part) -> Part:
        first = np.flatnonzero(~part.again)
        merged = {n: v[first] if np.ndim(v) else v for n, v in part.example.items()}
        counts = np.add.reduceat(part.example["ph_frames"], first)
        merged["ph_frames"] = counts.astype(np.int32)
        return part._replace(example=merged, again=part.again[first])

    def rounding(part: Part) -> Part:
        first = np.flatnonzero(~part.again)
        own = part.example["ph_frames"]
        last = np.append(first[1:], len(own)) - 1  # of each group, what takes up the difference
        counts = own.copy()
        counts[last] += frames - np.add.reduceat(own, first)
        return part.on(np.maximum(counts, 0))

    def pitch(part: Part) -> Part:
        return part._replace(f0=np.where(part.f0 > 0, part.filled, 0).astype(np.float32))

    def notes(part: Part) -> Part:
        tokens, ph_frames = (jnp.asarray(part.example[n][None]) for n in ("tokens", "ph_frames"))
        filled = jnp.asarray(part.filled[None])
        read_off = notes_of_pitch(tokens, ph_frames, filled, vocabulary, spec.frames_per_sec)
        midi, sec = map(np.asarray, read_off)
        read = {"note_midi": midi[0], "note_sec": sec[0], "slur": 0 * part.example["slur"]}
        return part._replace(example=part.example | read)

    def voicing(part: Part) -> Part:
        predicted = voice.predict_f0(batch_of(voice, part._replace(f0=part.filled)))
        voiced = np.asarray(predicted)[0, : len(part.f0)] > 0
        return part._replace(f0=np.where(voiced, part.filled, 0).astype(np.float32))

    return {
        "f0 at its frames": pitch,
        "notes read off f0": notes,
        "predicted voicing": voicing,
        "slurred vowels as one": slurs,
        "OpenUtau's rounding to frames": rounding,
    }


def sung_again(tokens: np.ndarray, slur: np.ndarray, onset: np.ndarray) -> np.ndarray:
    """bool[N]: the vowels that a slur sings again."""
    again = np.concatenate([[False], tokens[1:] == tokens[:-1]])
    return again & (slur > 0) & (onset > 0)


def batch_of(voice: Voice, part: Part) -> Batch:
    """One row."""
    frames = bucket_frames(len(part.f0), len(part.example["tokens"]))
    example = part.example | {"f0": part.f0} | part.curves
    return collate([example], Bucket(1, frames, frames // 4), voice.info.mel.n_mels, voice.curves)


def sung(voice: Voice, part: Part) -> np.ndarray:
    """f32[T, M]."""
    keys = jax.random.split(jax.random.key(0), 1)
    return np.asarray(voice.sample_mel(batch_of(voice, part), keys))[0, : len(part.f0)]


def own_part(arrays: PieceArrays, mel: MelPiece, theirs: PhraseMel, spec) -> Part:
    """The phrase in the piece that the voice sang."""
    silent = np.array([phoneme.symbol == SILENCE for phoneme in arrays.phonemes])
    ends = np.cumsum(mel.ph_frames)
    begin_sec = theirs.phones[0].start_sec - arrays.piece.offset_sec
    begin = round(begin_sec * spec.frames_per_sec) + arrays.head_frames
    off = np.abs(ends - mel.ph_frames - begin)
    first = int(np.argmin(np.where(silent, len(silent) * 10**6, off)))
    last = first + int(np.argmax(silent[first:]))
    ph_frames = mel.ph_frames[first - 1 : last + 1].astype(np.int32)
    ph_frames[[0, -1]] = PADDING_FRAMES
    which = slice(first - 1, last + 1)
    example = {n: v[which] if np.ndim(v) else v for n, v in arrays.example.items()}
    example["note_sec"] = np.array(example["note_sec"])
    example["note_sec"][[0, -1]] = PADDING_FRAMES / spec.frames_per_sec
    places = np.arange(int(ends[first - 1]) - PADDING_FRAMES, int(ends[last - 1]) + PADDING_FRAMES)
    inside = (places >= 0) & (places < mel.frames)
    f0 = np.where(inside, mel.f0[np.clip(places, 0, mel.frames - 1)], 0).astype(np.float32)
    at = np.minimum(np.arange(len(places)), theirs.grid.frames - 1)
    curves = {name: values[at].astype(np.float32) for name, values in theirs.curves.items()}
    again = sung_again(*(example[name] for name in ("tokens", "slur", "onset")))
    return Part(example | {"ph_frames": ph_frames}, f0, theirs.f0[at], curves, again)


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
    cast, steps = bank._cast(None), bank.resolve_sampling()
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
    table, count = Table(spec), 0
    for path in flags.songs:
        score = performance(own, bank if flags.by == "voicebank" else own, path, flags)
        for arrays, mel, theirs in phrases(own, bank, score, flags.seed):
            compare(voice, table, own_part(arrays, mel, theirs, spec), theirs)
            count += 1
        if flags.wav:
            compare_sounds(own, bank, table, score, flags.seed)
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
    score = own.prepare(read_score(path))
    if flags.pieces:
        score = dataclasses.replace(score, pieces=score.pieces[: flags.pieces])
    sung = singer.sing(singer.prepare(score), seed=flags.seed).score
    with tempfile.TemporaryDirectory() as folder:
        write_ds(Path(folder) / "song.ds", sung)
        return read_score(Path(folder) / "song.ds")


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
    table.add_kinds("the graph: as the voicebank sings it", own, theirs.mel, masks)


if __name__ == "__main__":
    main()
