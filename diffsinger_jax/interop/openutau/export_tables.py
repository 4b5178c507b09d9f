"""Phonemes, languages, speakers and dictionaries of a voice in OpenUtau's files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import yaml

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.dictionary import Dictionary
from diffsinger_jax.score.phonology import is_rest, is_vowel
from diffsinger_jax.types import Vocabulary

_CLASSES = {
    "semivowel": {"w", "y", "j"}, "liquid": {"r", "l", "ry"}, "nasal": {"m", "n", "ny", "my", "ng"},
    "fricative": {"s", "sh", "z", "j", "f", "h", "hy", "v", "x", "th", "dh", "zh"},
    "affricate": {"ch", "ts", "c", "q"},
}  # fmt: skip


def symbol_files(vocabulary: Vocabulary, *, languages: bool) -> dict[str, bytes]:
    """phonemes.json, and languages.json where a model is told the language."""
    files = {"phonemes.json": json_bytes(phoneme_ids(vocabulary))}
    if languages:
        ids = {name: i + 1 for i, name in enumerate(vocabulary.languages)}
        files["languages.json"] = json_bytes(ids)
    return files


def phoneme_ids(vocabulary: Vocabulary) -> dict[str, int]:
    """Ids of all names, those of merged phonemes too."""
    ids = {name: i + 1 for i, name in enumerate(vocabulary.phonemes)}
    return ids | {name: ids[group[0]] for group in vocabulary.merged for name in group}


def speaker_entries(vocabulary: Vocabulary) -> list[str]:
    """As a dsconfig.yaml has them; the same in all folders, since OpenUtau compares them whole."""
    return [f"embeds/{name}" for name in vocabulary.speakers]


def speaker_files(vocabulary: Vocabulary, params: Mapping[str, Any]) -> dict[str, bytes]:
    """The embedding of each speaker: float32, little-endian."""
    (table,) = params["speaker_embedding"].values()
    rows = np.asarray(table, "<f4")
    return {
        f"{entry}.emb": row.tobytes()
        for entry, row in zip(speaker_entries(vocabulary), rows, strict=True)
    }


def dictionary_files(vocabulary: Vocabulary) -> dict[str, bytes]:
    """dsdict.yaml, and one for each language where there are several."""
    tables = {language: _entries(vocabulary, language) for language in vocabulary.languages}
    together = {k: v for table in tables.values() for k, v in table.items()}
    files = {"dsdict.yaml": _sounds(vocabulary, together)}
    if len(tables) > 1:
        files |= {f"dsdict-{name}.yaml": _sounds(vocabulary, t) for name, t in tables.items()}
    return files


def yaml_bytes(content: Mapping[str, Any]) -> bytes:
    """As UTF-8, in this order."""
    return yaml.safe_dump(dict(content), allow_unicode=True, sort_keys=False).encode()


def json_bytes(content: Mapping[str, int]) -> bytes:
    """As UTF-8, a line for each."""
    return json.dumps(dict(content), ensure_ascii=False, indent=1).encode()


def _entries(vocabulary: Vocabulary, language: str) -> dict[str, tuple[str, ...]]:
    """What the project's dictionary spells with phonemes that the voice has."""
    try:
        dictionary = Dictionary.of(language)
    except InputError:
        return {}
    if dictionary.rules is not None:  # OpenUtau has its own for languages of words
        return {}
    fitted = {}
    for grapheme, phones in dictionary.entries.items():
        try:
            fitted[grapheme] = dictionary.fit(phones, vocabulary)
        except InputError:  # a syllable of another inventory
            continue
    return fitted


def _sounds(vocabulary: Vocabulary, entries: Mapping[str, tuple[str, ...]]) -> bytes:
    names = [name for name in phoneme_ids(vocabulary) if not is_rest(name)]
    symbols = [{"symbol": name, "type": _type_of(name)} for name in names]
    rows = [{"grapheme": g, "phonemes": list(phones)} for g, phones in entries.items()]
    return yaml_bytes({"symbols": symbols, "entries": rows})


def _type_of(symbol: str) -> str:
    short = symbol.rpartition("/")[2]
    if is_vowel(symbol) or short == "N":  # ん has a note of its own
        return "vowel"
    return next((kind for kind, known in _CLASSES.items() if short.lower() in known), "stop")
