"""What a recipe in `data/` hands to the engine: songs as they were sung, phoneme by phoneme."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from diffsinger_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Label:
    """A phoneme in time, as a label file gives it."""

    symbol: str
    start_sec: float
    end_sec: float


@dataclasses.dataclass(frozen=True)
class SungNote:
    """A note in time; rests are the gaps between notes. `midi` 69 = A4."""

    start_sec: float
    end_sec: float
    midi: float


@dataclasses.dataclass(frozen=True)
class SungPhoneme:
    """A phoneme in time with the note it is sung on.

    Attributes:
      symbol: `SILENCE` and `BREATH` for rests and breaths.
      start_sec, end_sec: in the song's audio.
      midi: pitch of its note, 0 for rests, None where the corpus does not say.
      note_sec: length of its note.
      slur: True for a further note of the same syllable.
      onset: True where a note starts, see `types.Phoneme.onset`.
    """

    symbol: str
    start_sec: float
    end_sec: float
    midi: float | None
    note_sec: float
    slur: bool
    onset: bool

    @property
    def duration_sec(self) -> float:
        """Its length."""
        return self.end_sec - self.start_sec


@dataclasses.dataclass(frozen=True)
class SungSong:
    """One recording with its labels: a song, or a stretch of one that the corpus has cut out.

    Attributes:
      name: unique in the corpus.
      song: the song it is part of; all stretches of a song go to the same split.
      wav: the sound file.
      sources: all files it was read from, the sound file too.
      phonemes: in order, empty if the labels cannot be read as singing.
      speaker: name of the singer.
      language: tag, as "ja".
      notes: the notes of the score in time, where the corpus has them apart from the labels.
      faults: what the reader found wrong, in words; a song with faults fails the check.
      doubts: what it noticed, in words; a song with doubts is used with a warning.
      spoken: True for speech: it has no notes, and is left whole where it is short enough.
    """

    name: str
    song: str
    wav: Path
    sources: tuple[Path, ...]
    phonemes: tuple[SungPhoneme, ...]
    speaker: str
    language: str
    notes: tuple[SungNote, ...] | None = None
    faults: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    spoken: bool = False


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How one kind of corpus is read.

    Attributes:
      read: from the raw folder(s), and the language where the user names one, to songs in
        order; raises InputError for folders that hold no such corpus.
      test, validation: prefixes of the song names that are held out unless told otherwise.
      licence: what must travel with anything made from the corpus, "" where the user knows.
      raw: its own folder, for a corpus that ships; None where the user has to say.
    """

    read: Callable[[Sequence[Path], str | None], list[SungSong]]
    test: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    licence: str = ""
    raw: Path | None = None


SPLITS = ("train", "validation", "test")


class HasSong(Protocol):
    """A recording that is split with all others of its song."""

    @property
    def name(self) -> str:
        """Of the recording."""

    @property
    def song(self) -> str:
        """What must not be in two splits."""


def assign_splits(
    songs: Sequence[HasSong], test: Sequence[str], validation: Sequence[str]
) -> dict[str, str]:
    """The split of each song, by prefixes of song names; never part of a song in two splits.

    Returns:
      {song.name: split}.

    Raises:
      InputError: for a prefix that no song has, or that two splits claim.
    """
    by_song: dict[str, str] = {song.song: "train" for song in songs}
    for split, prefixes in (("validation", validation), ("test", test)):
        for prefix in prefixes:
            matches = [name for name in by_song if name.startswith(prefix)]
            if not matches:
                raise InputError(
                    f"no song starts with {prefix!r}, given as a prefix for the {split} split; "
                    f"the songs are {', '.join(sorted(by_song)[:8])}{' ...' * (len(by_song) > 8)}"
                )
            for name in matches:
                if by_song[name] not in ("train", split):
                    raise InputError(
                        f"song {name} is claimed by the {by_song[name]} and {split} splits; "
                        "give prefixes that do not overlap"
                    )
                by_song[name] = split
    return {song.name: by_song[song.song] for song in songs}
