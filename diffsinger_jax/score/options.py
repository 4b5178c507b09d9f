"""What a user may say about how a score is read."""

from __future__ import annotations

import dataclasses
import math

from diffsinger_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """How to read a score; the defaults take the file at its word.

    Attributes:
      language: tag of the lyrics, as "de"; None for what the file says.
      verse: the verse to sing, from 1 (MusicXML).
      encoding: of the lyrics, as "gbk" (MIDI and UST); None tries the usual ones.
      part: name or number (from 1) of the part to sing, "all" for every sung part; None for the
        first that has lyrics.
      voice_line: which note of chords (divisi) to sing, 1 for the highest.
      lyric: a syllable to sing every note on (vocalise); None for the file's own lyrics.
      fermata: how many times as long a note under a fermata lasts, 1 for as written.
      ritardando: tempo at the end of a ritardando over that at its start, 1 for in tempo.

    Raises:
      InputError: for a value out of range.
    """

    language: str | None = None
    verse: int = 1
    encoding: str | None = None
    part: str | None = None
    voice_line: int = 1
    lyric: str | None = None
    fermata: float = 1.0
    ritardando: float = 1.0

    def __post_init__(self):
        """Checks the fields."""
        for name in ("verse", "voice_line"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} counts from 1, got {getattr(self, name)}")
        if not (math.isfinite(self.fermata) and 1.0 <= self.fermata <= 8.0):
            raise InputError(f"fermata is a factor from 1 to 8, got {self.fermata:g}")
        if not (math.isfinite(self.ritardando) and 0.2 <= self.ritardando <= 1.0):
            raise InputError(f"ritardando is a factor from 0.2 to 1, got {self.ritardando:g}")
        if self.encoding is not None:
            try:
                "".encode(self.encoding)
            except (LookupError, ValueError) as error:
                raise InputError(
                    f"there is no encoding {self.encoding!r}; utf-8, cp932 (Shift-JIS) and gbk "
                    "are usual"
                ) from error
