"""What is wrong with files of songs, one line a finding, with its place and what to do.

python -m diffsinger_jax.score.validate FILE_OR_FOLDER ... [--voice DIR] [--json]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from diffsinger_jax import cli
from diffsinger_jax.errors import InputError
from diffsinger_jax.score.dictionary import Dictionary
from diffsinger_jax.score.ds import faults_of
from diffsinger_jax.score.languages import guess_language, words_of
from diffsinger_jax.score.lyrics import LONG_MARK
from diffsinger_jax.score.options import ReadOptions
from diffsinger_jax.score.phonemize import bad_lyrics
from diffsinger_jax.score.pronunciation import Pronunciation
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
        return f"{self.file}: {self.level}: {place}{self.what}{remedy}"


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
            return [_finding(file, "error", str(error))]
        if faults:
            return [_finding(file, "error", fault) for fault in faults]
    try:
        scores = read_scores(path, dataclasses.replace(options, part=options.part or "all"))
    except InputError as error:
        return [_finding(file, "error", str(error))]
    found: dict[Finding, None] = {}
    for score in scores:
        for remark in score.remarks:
            found[_finding(file, "note", remark)] = None
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
        _finding(file, "error", f"{': '.join(filter(None, (score.part, b.where)))}: {b.reason}")
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


def _finding(file: str, level: str, sentence: str) -> Finding:
    """A sentence "FILE: place: what; remedy" in its parts."""
    sentence = sentence.removeprefix(f"{file}: ").removeprefix(f"{file}, ")
    what, _, remedy = sentence.rpartition("; ")
    what, remedy = (what, remedy) if what else (remedy, "")
    place, colon, rest = what.rpartition(": ")
    if not colon or not any(c.isdigit() for c in place):
        place, rest = "", what
    return Finding(file, level, place, rest, remedy)


def files_in(paths: Sequence[str | Path]) -> Iterator[Path]:
    """The files themselves, and of folders every file in them that a reader takes.

    Raises:
      InputError: for a path that is not there.
    """
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in READERS)
            yield from (p for p in inside if p.is_file())
        elif path.exists():
            yield path
        else:
            raise InputError(f"{path}: there is no such file or folder; check the path")


def main(argv: Sequence[str] | None = None) -> int:
    """Checks files; returns 2 if any cannot be sung, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m diffsinger_jax.score.validate", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("paths", nargs="+", metavar="FILE_OR_FOLDER")
    parser.add_argument("--voice", metavar="DIR", help="also check the lyrics for this voice")
    parser.add_argument(
        "--phoneme_map", metavar="NAME|FILE", help="for a language it does not know"
    )
    parser.add_argument("--dictionary", nargs="+", default=[], metavar="FILE")
    parser.add_argument("--language", metavar="TAG", help="of the lyrics, as de")
    parser.add_argument("--encoding", metavar="NAME", help="of the lyrics, as cp932")
    parser.add_argument("--json", action="store_true", help="a list of findings as JSON")
    flags = parser.parse_args(argv)
    options = ReadOptions(language=flags.language, encoding=flags.encoding)
    pronunciation = Pronunciation(flags.phoneme_map, tuple(flags.dictionary))
    voice = _voice_languages(flags.voice) if flags.voice else None
    found: list[Finding] = []
    for path in files_in(flags.paths):
        dictionary = vocabulary = None
        here: list[Finding] = []
        if voice is not None:
            vocabulary, name = voice
            try:
                dictionary = pronunciation.dictionary(
                    flags.language or "", vocabulary.languages, name
                )
            except InputError as error:
                here = [_finding(str(path), "error", str(error))]
        here += findings(path, options, dictionary=dictionary, vocabulary=vocabulary)
        if not flags.json:
            print("\n".join(map(str, here)) if here else f"{path}: OK")
        found += here
    if flags.json:
        json.dump([vars(f) for f in found], sys.stdout, ensure_ascii=False, indent=1)
        print()
    return 2 if any(f.level == "error" for f in found) else 0


def _voice_languages(folder: str) -> tuple[Vocabulary, str]:
    """Vocabulary and dictionary of a voice, from its description alone."""
    path = Path(folder) / "voice.json"
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        said = description["corpus"]["vocabulary"]
        vocabulary = Vocabulary(**{key: tuple(said[key]) for key in said})
        return vocabulary, description["dictionary"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder}: not a voice folder, there is no good voice.json") from error


if __name__ == "__main__":
    cli.run(main)
