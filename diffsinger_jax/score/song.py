"""From the parts of a file, on one musical timeline, to the scores that are sung."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import numpy as np

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.lyrics import is_slur
from diffsinger_jax.score.options import ReadOptions
from diffsinger_jax.score.timeline import (
    TempoMap,
    WrittenNote,
    notes_in_seconds,
    without_short_overlaps,
)
from diffsinger_jax.types import Curve, Piece, Score


@dataclasses.dataclass(frozen=True)
class Part:
    """What one singer sings.

    Attributes:
      name: as the file has it, or "part 2".
      notes: in order of their starts.
      sung: False for an instrument, which is sung only if it is asked for by name.
      f0: the pitch that the file draws: seconds f64[n] -> Hz f64[n]; None to predict it.
      remarks: what was assumed of this part alone.
      singer, phonemizer, expressions: as of `Score`.
    """

    name: str
    notes: tuple[WrittenNote, ...]
    sung: bool = True
    f0: Callable[[np.ndarray], np.ndarray] | None = None
    remarks: tuple[str, ...] = ()
    singer: str = ""
    phonemizer: str = ""
    expressions: Mapping[str, Callable[[np.ndarray], np.ndarray]] = dataclasses.field(
        default_factory=dict
    )

    @property
    def has_lyrics(self) -> bool:
        """True if any note has a syllable of its own."""
        return any(note.lyric and not is_slur(note.lyric) for note in self.notes)


@dataclasses.dataclass(frozen=True)
class Song:
    """All parts of a file.

    Attributes:
      title, language, source: as of `Score`.
      parts: in the order of the file.
      tempo: of all of them.
      end: where the music ends, in quarters.
      remarks: what was assumed of the file.
    """

    title: str
    language: str
    source: str
    parts: tuple[Part, ...]
    tempo: TempoMap
    end: Fraction
    remarks: tuple[str, ...] = ()


F0_STEP_SEC = 0.005
"""Between the values of a curve that is sampled from a part's `f0`."""


def scores_of(song: Song, options: ReadOptions) -> list[Score]:
    """The scores of the chosen parts, all as long as the song.

    Raises:
      InputError: if there is no such part, if it has no lyrics, or cannot be sung as it is.
    """
    parts, remark = _chosen(song, options)
    scores = []
    for part in parts:
        remarks = [*song.remarks, *remark, *part.remarks]
        notes, trimmed = without_short_overlaps(part.notes)
        if trimmed:
            remarks.append(f"{trimmed} notes that sounded on into the next one were shortened")
        if options.lyric is not None:
            notes = [dataclasses.replace(n, lyric=options.lyric, hyphen=False) for n in notes]
        _check_first_syllable(notes, song.source)
        sung = notes_in_seconds(notes, song.end, song.tempo, song.source)
        piece = Piece(0.0, sung)
        if part.f0 is not None:
            times = np.arange(int(np.ceil(piece.duration_sec / F0_STEP_SEC)) + 1) * F0_STEP_SEC
            curve = Curve(part.f0(times).astype(np.float32), F0_STEP_SEC)
            piece = dataclasses.replace(piece, curves={"f0": curve})
        name = part.name if len(song.parts) > 1 else ""
        score = Score(song.title, song.language, (piece,), song.source, name, tuple(remarks))
        scores.append(
            dataclasses.replace(
                score,
                singer=part.singer,
                phonemizer=part.phonemizer,
                expressions=part.expressions,
            )
        )
    return scores


def _chosen(song: Song, options: ReadOptions) -> tuple[list[Part], list[str]]:
    """The parts to sing, and a sentence where the file left the choice open."""
    singers = [part for part in song.parts if part.sung]
    if options.lyric is not None and not singers:
        singers = list(song.parts)
    if not singers:
        raise InputError(
            f"{song.source}: no part has lyrics; write a syllable under each note to be sung, or "
            "sing it on one with --lyric a"
        )
    listed = ", ".join(f"{i} {part.name}" for i, part in enumerate(singers, 1))
    wanted = (options.part or "").strip()
    if wanted.lower() == "all":
        return singers, []
    if not wanted:
        chosen = next((part for part in singers if part.has_lyrics), singers[0])
        if len(singers) == 1:
            return [chosen], []
        number = singers.index(chosen) + 1
        return [chosen], [
            f"of its {len(singers)} parts ({listed}) part {number} is sung; --part chooses another"
        ]
    if wanted.isdecimal() and 1 <= int(wanted) <= len(singers):
        return [singers[int(wanted) - 1]], []
    for matches in (_exactly, _begins):
        found = [part for part in [*singers, *song.parts] if matches(part.name, wanted)]
        if found and not (found[0].has_lyrics or found[0].sung or options.lyric is not None):
            raise InputError(
                f"{song.source}: part {found[0].name!r} has no lyrics; sing it on a syllable, as "
                "--lyric a"
            )
        if found:
            return [found[0]], []
    raise InputError(f"{song.source}: there is no part {wanted!r}; there are {listed}, or all")


def _exactly(name: str, wanted: str) -> bool:
    return name.casefold() == wanted.casefold()


def _begins(name: str, wanted: str) -> bool:
    return name.casefold().startswith(wanted.casefold())


def _check_first_syllable(notes: Sequence[WrittenNote], source: str) -> None:
    if not notes:
        raise InputError(f"{source}: there is no note in it to sing; check the chosen part")
    if not any(note.lyric and not is_slur(note.lyric) for note in notes):
        raise InputError(
            f"{source}: the part has no lyrics; write a syllable under each note to be sung, or "
            "sing it on one with --lyric a"
        )
    first = notes[0]
    if first.lyric is None or is_slur(first.lyric):
        raise InputError(
            f"{source}: {first.where} starts the song without a syllable; a melisma goes on with "
            "a syllable before it, so write one under its first note, or sing all with --lyric a"
        )


def unique_names(names: Sequence[str]) -> list[str]:
    """Names of parts, numbered where several are alike, "part N" where one is missing."""
    filled = [re.sub(r"\s+", " ", name).strip() or f"part {i}" for i, name in enumerate(names, 1)]
    return [
        f"{name} {filled[: i + 1].count(name)}" if filled.count(name) > 1 else name
        for i, name in enumerate(filled)
    ]
