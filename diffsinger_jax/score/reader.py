"""`read_score`: one door for every kind of score."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.ds import read_ds
from diffsinger_jax.score.labels import read_hts_lab, read_textgrid
from diffsinger_jax.score.libresvip_project import SUFFIXES, read_libresvip
from diffsinger_jax.score.midi import read_midi
from diffsinger_jax.score.musicxml import read_musicxml
from diffsinger_jax.score.options import ReadOptions
from diffsinger_jax.score.song import Song, scores_of
from diffsinger_jax.score.timeline import require_song_length
from diffsinger_jax.score.ust import read_ust
from diffsinger_jax.score.ustx import read_ustx
from diffsinger_jax.types import Score

LARGEST_BYTES = 32 * 2**20
"""No project of a song is larger."""

READERS: dict[str, Callable[[Path, ReadOptions], Song | Score]] = {
    ".ds": lambda path, options: read_ds(path),
    ".musicxml": read_musicxml,
    ".xml": read_musicxml,
    ".mxl": read_musicxml,
    ".mid": read_midi,
    ".midi": read_midi,
    ".kar": read_midi,
    ".ustx": read_ustx,
    ".ust": read_ust,
    ".lab": read_hts_lab,
    ".textgrid": read_textgrid,
    **dict.fromkeys(SUFFIXES, read_libresvip),
}
"""What reads a file, by its suffix."""


def read_score(path: str | Path, options: ReadOptions | None = None, **given) -> Score:
    """Reads a score; its suffix says which kind it is.

    Args:
      path: a file whose suffix is one of `READERS`.
      options: how to read it; or
      **given: the fields of `ReadOptions`, as `verse=2`.

    Raises:
      InputError: if there is no such file, if it is of another kind, or if it cannot be sung;
        the sentence names the place in the file.
    """
    return read_scores(path, options, **given)[0]


def read_scores(path: str | Path, options: ReadOptions | None = None, **given) -> list[Score]:
    """Reads the chosen parts of a file, one score each, all of one length.

    Args and Raises: as of `read_score`; several scores come only of `part="all"`.
    """
    options = options or ReadOptions(**given)
    path = Path(path)
    read = READERS.get(path.suffix.lower())
    if read is None:
        raise InputError(
            f"{path}: a score's name ends in one of {', '.join(READERS)}, not in "
            f"{path.suffix or 'nothing'!r}; export it to one of these"
        )
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; check the path")
    try:
        if (size := path.stat().st_size) > LARGEST_BYTES:
            raise InputError(
                f"{path}: it has {size / 2**20:.0f} MiB, which no song has; is it a score?"
            )
        read_one = read(path, options)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check it") from error
    scores = scores_of(read_one, options) if isinstance(read_one, Song) else [read_one]
    for score in scores:
        require_song_length(score.duration_sec, str(path))
    if options.language is None:
        return scores
    return [dataclasses.replace(score, language=options.language) for score in scores]
