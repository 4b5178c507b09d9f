"""Speech of any speakers, one folder for each, with alignments as TextGrids.

    SPEAKER/.../NAME.wav (or .flac), NAME.TextGrid, NAME.txt (or .lab)

Files find each other by their names wherever they lie below the speaker's folder; texts may also
be lines "name|text" of a metadata.csv in it. English unless told otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from diffsinger_jax.corpus.songs import Recipe, SungSong
from diffsinger_jax.corpus.speech import find_utterances, spoken_song


def read(raw: Sequence[Path], language: str | None) -> list[SungSong]:
    """All recordings of the folders, each a speaker or a folder of speakers.

    Raises:
      InputError: for a folder without sound.
    """
    return [spoken_song(found, language or "en") for root in raw for found in find_utterances(root)]


RECIPE = Recipe(read=read)
