"""Checks scores and OpenUtau voicebanks: one line a finding, with its place and what to do."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from diffsinger_jax import resources
from diffsinger_jax.errors import InputError

EXAMPLES = """\
examples:
  %(prog)s song.musicxml
      what keeps it from being read, and what is assumed
  %(prog)s songs/ --voice pjs --phoneme_map de
      every score in a folder, with the lyrics as this voice would sing them
  %(prog)s singers/Anna.zip
      what OpenUtau refuses of a DiffSinger voicebank, or does in silence (extra `onnx`)
  %(prog)s songs/ --json > findings.json
      a list of {file, level, place, what, remedy}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints findings, or "OK" for a file without; returns 2 if any file cannot be sung."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="scores, voicebanks, or folders of scores"
    )
    parser.add_argument("--voice", metavar="DIR", help="also check the lyrics for this voice")
    parser.add_argument(
        "--phoneme_map", metavar="NAME|FILE", help="for lyrics in a language that it does not know"
    )
    parser.add_argument("--dictionary", nargs="+", default=[], metavar="FILE")
    parser.add_argument("--language", metavar="TAG", help="of the lyrics, as de")
    parser.add_argument("--encoding", metavar="NAME", help="of the lyrics, as cp932")
    parser.add_argument("--json", action="store_true", help="print a list of findings as JSON")
    flags = parser.parse_args(arguments)
    found, as_json = [], flags.json
    for path, findings in _findings(flags):
        if not as_json:
            print("\n".join(map(str, findings)) if findings else f"{path}: OK")
        found += findings
    if as_json:
        json.dump([vars(f) for f in found], sys.stdout, ensure_ascii=False, indent=1)
        print()
    return 2 if any(f.level == "error" for f in found) else 0


def _findings(flags: argparse.Namespace):
    """(path, findings) of each file."""
    from diffsinger_jax.interop.openutau.package import is_voicebank
    from diffsinger_jax.score.options import ReadOptions
    from diffsinger_jax.score.pronunciation import Pronunciation
    from diffsinger_jax.score.validate import files_in, finding_of, findings

    options = ReadOptions(language=flags.language, encoding=flags.encoding)
    pronunciation = Pronunciation(flags.phoneme_map, tuple(flags.dictionary))
    vocabulary = dictionary = None
    if flags.voice is not None:
        vocabulary, own = _vocabulary(resources.find_voice(flags.voice))
        language = flags.language or ""
        dictionary = pronunciation.dictionary(language, vocabulary.languages, own)
    voicebanks = [path for path in flags.files if is_voicebank(path)]
    for path in voicebanks:
        from diffsinger_jax.interop.openutau.findings import voicebank_findings

        yield path, voicebank_findings(path)
    for path in files_in([path for path in flags.files if path not in voicebanks]):
        try:
            yield path, findings(path, options, dictionary=dictionary, vocabulary=vocabulary)
        except InputError as error:
            yield path, [finding_of(str(path), "error", str(error))]


def _vocabulary(folder: Path):
    """The vocabulary of a voice and the name of its dictionary, without its weights."""
    from diffsinger_jax.types import Vocabulary

    file = folder / "voice.json"
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
        said = description["corpus"]["vocabulary"]
        return Vocabulary(**{k: tuple(v) for k, v in said.items()}), description["dictionary"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} does not describe a voice ({error}); copy it again") from error
