"""`read_score`: one door for every kind of score."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.ds import read_ds
from diffsinger_jax.score.midi import read_midi
from diffsinger_jax.score.musicxml import read_musicxml
from diffsinger_jax.types import Score

_KINDS = {
    ".ds": "ds",
    ".musicxml": "musicxml",
    ".xml": "musicxml",
    ".mxl": "musicxml",
    ".mid": "midi",
    ".midi": "midi",
}


def read_score(
    path: str | Path,
    *,
    language: str | None = None,
    verse: int = 1,
    encoding: str | None = None,
) -> Score:
    """Reads a score; its suffix says which kind it is.

    Args:
      path: `.ds`, `.musicxml`, `.xml`, `.mxl`, `.mid` or `.midi`.
      language: tag of the lyrics, as "ja"; None for what the file says.
      verse: the verse to sing, MusicXML only.
      encoding: of the lyrics, MIDI only; None tries UTF-8, then Shift-JIS.

    Raises:
      InputError: if there is no such file, if it is of another kind, or if it cannot be sung;
        the sentence names the place in the file.
    """
    path = Path(path)
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise InputError(
            f"{path}: a score's name ends in one of {', '.join(_KINDS)}, not in "
            f"{path.suffix or 'nothing'!r}; export it to one of these"
        )
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; check the path")
    try:
        if kind == "ds":
            score = read_ds(path)
        elif kind == "midi":
            score = read_midi(path, encoding=encoding)
        else:
            score = read_musicxml(path, verse=verse)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check it") from error
    return score if language is None else dataclasses.replace(score, language=language)
