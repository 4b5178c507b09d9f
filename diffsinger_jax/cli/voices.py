"""Lists voices: the ones that ship, and those below the folders that are given."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diffsinger_jax import resources
from diffsinger_jax.errors import InputError
from diffsinger_jax.score.pitch_names import name_of_midi


def main(arguments: Sequence[str] | None = None) -> None:
    """A paragraph for each voice; its weights are not read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folders", nargs="*", type=Path, metavar="DIR", help="a voice folder, or one that has some"
    )
    flags = parser.parse_args(arguments)
    for name, folder in resources.shipped_voices().items():
        print(described(name, folder))
    for given in flags.folders:
        files = sorted(given.rglob("voice.json"))
        if not files:
            raise InputError(f"{given} has no voice in it; a voice is a folder with a voice.json")
        for file in files:
            print(described(str(file.parent), file.parent))


def described(name: str, folder: Path) -> str:
    """What a voice says of itself.

    Raises:
      InputError: if it is no voice.
    """
    file = folder / "voice.json"
    try:
        fields: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        corpus = fields["corpus"]
        vocabulary, mel = corpus["vocabulary"], corpus["mel"]
        lines = [
            name,
            f"  languages  {', '.join(vocabulary['languages']) or 'not said'}",
            f"  does       {_does(fields)}",
            f"  speakers   {', '.join(vocabulary['speakers'])}",
            f"  range      {_range(corpus.get('note_range'))}",
            f"  sound      {mel['sample_rate']} Hz, {mel['n_mels']} mel bins",
            f"  licence    {corpus.get('licence') or 'not said'}",
            f"  folder     {folder}",
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} does not describe a voice ({error}); copy it again") from error
    return "\n".join(lines)


def _does(fields: Mapping[str, Any]) -> str:
    """Whether it sings notes or speaks texts, as `Voice.speaks`."""
    from diffsinger_jax.models.families import DIFFSINGER
    from diffsinger_jax.voices.voice import speaks

    family, model = fields.get("family", DIFFSINGER), fields.get("model", {})
    return "speak" if speaks(family, model, fields.get("requires", ())) else "sing"


def _range(notes: Sequence[float] | None) -> str:
    """Of the notes that it was trained on."""
    if not notes:
        return "not said"
    return " to ".join(f"{name_of_midi(midi)}" for midi in notes)
