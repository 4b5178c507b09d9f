"""What is wrong with files of songs, and what their readers assume, one finding each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.dictionary import Dictionary
from diffsinger_jax.score.ds import faults_of
from diffsinger_jax.score.languages import guess_language, words_of
from diffsinger_jax.score.lyrics import LONG_MARK
from diffsinger_jax.score.options import ReadOptions
from diffsinger_jax.score.phonemize import bad_lyrics
from diffsinger_jax.score.reader import READERS, read_scores
from diffsinger_jax.score.tables import name_of
from diffsinger_jax.types import Score, Vocabulary


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing to know of a file.

    Attributes:
      file: its path.
      level: "error" if it keeps the file from being sung, else "note".
      place: in the file, as "measure 3, note 2"; "" for all of it.
      what: is wrong, or was assumed.
      remedy: what to do; "" where nothing need be done.
    """

    file: str
    level: str
    place: str
    what: str
    remedy: str

    def __str__(self) -> str:
        """One line."""
        place = f"{self.place}: " if self.place else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        note = "note: " if self.level == "note" else ""
        return f"{self.file}: {note}{place}{self.what}{remedy}"


def findings(
    path: str | Path,
    options: ReadOptions | None = None,
    *,
    dictionary: Dictionary | None = None,
    vocabulary: Vocabulary | None = None,
) -> list[Finding]:
    """Everything that reading a file, and its lyrics, finds.

    Args:
      path: of the file.
      options: how to read it; all its parts unless they name one.
      dictionary: of the lyrics; None leaves them alone.
      vocabulary: of the voice that is to sing them.
    """
    file = str(path)
    options = options or ReadOptions()
    if Path(path).suffix.lower() == ".ds":
        try:
            faults = faults_of(path)
        except InputError as error:
            return [finding_of(file, "error", str(error))]
        if faults:
            return [finding_of(file, "error", fault) for fault in faults]
    try:
        scores = read_scores(path, dataclasses.replace(options, part=options.part or "all"))
    except InputError as error:
        return [finding_of(file, "error", str(error))]
    found: dict[Finding, None] = {}
    for score in scores:
        for remark in score.remarks:
            found[finding_of(file, "note", remark)] = None
        if dictionary is not None and vocabulary is not None:
            found |= dict.fromkeys(_lyric_findings(file, score, dictionary, vocabulary))
    return list(found)


def _lyric_findings(
    file: str, score: Score, dictionary: Dictionary, vocabulary: Vocabulary
) -> list[Finding]:
    written = [
        (n.lyric, n.hyphen)
        for p in score.pieces
        for n in p.notes
        if n.lyric not in (None, LONG_MARK)
    ]
    bad = bad_lyrics(score, dictionary, vocabulary)
    found = [
        finding_of(file, "error", f"{': '.join(filter(None, (score.part, b.where)))}: {b.reason}")
        for b in bad
    ]
    guess = guess_language(words_of(written))
    if guess not in (None, dictionary.language) and len(bad) > 0.3 * len(written):
        what = (
            f"the score looks like {name_of(guess)} ({len(written) - len(bad)} of {len(written)} "
            f"syllables known)"
        )
        remedy = f"choose another voice, or --phoneme_map {guess}"
        return [Finding(file, "error", score.part, what, remedy)]
    return found


def finding_of(file: str, level: str, sentence: str) -> Finding:
    """A sentence "FILE: place: what; remedy" in its parts."""
    sentence = sentence.removeprefix(f"{file}: ").removeprefix(f"{file}, ")
    what, _, remedy = sentence.rpartition("; ")
    what, remedy = (what, remedy) if what else (remedy, "")
    place, colon, rest = what.rpartition(": ")
    if not colon or not any(c.isdigit() for c in place):
        place, rest = "", what
    return Finding(file, level, place, rest, remedy)


def files_in(paths: Sequence[str | Path]) -> Iterator[Path]:
    """The files themselves, and of folders every file in them that a reader takes."""
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in READERS)
            yield from (p for p in inside if p.is_file())
        else:
            yield path  # whoever reads it says if it is not there
