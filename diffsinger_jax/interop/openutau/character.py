"""Who a voicebank is: character.txt and character.yaml."""

from __future__ import annotations

import dataclasses
import re

from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.openutau.package import VoicebankFiles
from diffsinger_jax.score.pitch_names import midi_of_name

CHARACTER_FILE = "character.txt"
_DEFAULT_ENCODING = "shift_jis"


@dataclasses.dataclass(frozen=True)
class Subbank:
    """One colour of a voice, for some of its notes.

    Attributes:
      color: "" for the one that sings unless told otherwise.
      suffix: the entry of `speakers` that sings it.
      tones: whole MIDI numbers; None for all.
    """

    color: str
    suffix: str
    tones: frozenset[int] | None = None


@dataclasses.dataclass(frozen=True)
class Character:
    """What it says of itself.

    Attributes:
      name, author: "" where it does not say.
      phonemizer: the class that OpenUtau reads its lyrics with, "" where it does not say.
      subbanks: in order; none for a voice of one colour.
    """

    name: str = ""
    author: str = ""
    phonemizer: str = ""
    subbanks: tuple[Subbank, ...] = ()

    def suffix(self, color: str, midi: float) -> str:
        """Who sings a note: the suffix of the first subbank of its colour and tone, or ""."""
        tone = round(midi)
        return next(
            (
                s.suffix
                for s in self.subbanks
                if s.color == color and (s.tones is None or tone in s.tones)
            ),
            "",
        )


def read_character(files: VoicebankFiles) -> Character:
    """The two files, what character.yaml says before what character.txt says.

    Raises:
      InputError: if one of them is none.
    """
    said = files.yaml("character.yaml") if files.has("character.yaml") else {}
    encoding = str(said.get("text_file_encoding") or _DEFAULT_ENCODING)
    data = files.read(CHARACTER_FILE, 2**20) if files.has(CHARACTER_FILE) else b""
    try:
        text = data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        text = data.decode("utf-8", errors="replace")
    lines = dict(re.split(r"[=:：]", line, maxsplit=1) for line in text.splitlines() if "=" in line)
    known = {key.strip().lower(): value.strip() for key, value in lines.items()}
    rows = said.get("subbanks") or []
    return Character(
        name=str(said.get("name") or known.get("name", "")),
        author=str(said.get("author") or known.get("author", "")),
        phonemizer=str(said.get("default_phonemizer") or ""),
        subbanks=tuple(_subbank(row, files) for row in rows if isinstance(row, dict)),
    )


def _subbank(row: dict, files: VoicebankFiles) -> Subbank:
    ranges = row.get("tone_ranges") or []
    tones: set[int] = set()
    for said in ranges if isinstance(ranges, list) else []:
        first, _, last = str(said).partition("-")
        try:
            low, high = (round(midi_of_name(name) or 0) for name in (first, last or first))
        except (InputError, ValueError) as error:
            raise InputError(
                f"{files.where('character.yaml')}: tone_ranges has {said!r}, expected notes, as "
                "C4-B4; correct it"
            ) from error
        tones |= set(range(max(low, 0), min(high, 127) + 1))
    return Subbank(
        str(row.get("color") or ""), str(row.get("suffix") or ""), frozenset(tones) or None
    )
