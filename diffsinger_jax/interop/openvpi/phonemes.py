"""Phoneme ids of an openvpi/DiffSinger experiment, which has no list of them.

They are rebuilt from its dictionaries, `extra_phonemes` and `merged_phoneme_groups`: all names,
sorted by code point, from 1. With several dictionaries a phoneme is called `lang/ph`; one that
belongs to no language keeps its bare name. A merged group has one id, its first member's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from diffsinger_jax.errors import InputError
from diffsinger_jax.types import BREATH, SILENCE


class PhonemeTable(NamedTuple):
    """What the ids of a model mean.

    Attributes:
      names: one of each id, from 1.
      merged: further names, by group; the first of each group is in `names`.
      cross_lingual: ids of groups that several languages share: of these alone a model reads the
        language.
    """

    names: tuple[str, ...]
    merged: tuple[tuple[str, ...], ...]
    cross_lingual: tuple[int, ...]


def phoneme_table(
    dictionaries: Mapping[str, Iterable[str]],
    extra: Sequence[str],
    groups: Sequence[Sequence[str]],
    where: str,
) -> PhonemeTable:
    """Numbers the phonemes as the experiment does.

    Args:
      dictionaries: the phonemes of each language.
      extra: phonemes of no language, beside `SP` and `AP`.
      groups: of phonemes that share an id; groups that overlap are one.
      where: the files, for messages.

    Raises:
      InputError: for a slash in a dictionary's phoneme, or a group with an unknown one.
    """
    common = {SILENCE, BREATH, *extra}
    names = set(common)
    for language, phonemes in dictionaries.items():
        for phoneme in phonemes:
            if "/" in phoneme:
                raise InputError(
                    f"{where}: the dictionary of {language} has the phoneme {phoneme!r}; the slash "
                    "stands between language and phoneme, so rename it"
                )
            alone = len(dictionaries) == 1 or phoneme in common
            names.add(phoneme if alone else f"{language}/{phoneme}")
    united = _united(groups)
    for phoneme in (p for group in united for p in group):
        if phoneme not in names:
            raise InputError(
                f"{where}: merged_phoneme_groups has {phoneme!r}, which no dictionary has; give "
                "the dictionaries that the model was trained with"
            )
    first = {phoneme: min(group) for group in united for phoneme in group}
    kept = sorted(name for name in names if first.get(name, name) == name)
    ids = {name: number for number, name in enumerate(kept, 1)}
    languages_of = {min(group): {_language(p) for p in group} for group in united}
    return PhonemeTable(
        names=tuple(kept),
        merged=tuple(tuple(sorted(group)) for group in sorted(united, key=min)),
        cross_lingual=tuple(sorted(ids[p] for p, found in languages_of.items() if len(found) > 1)),
    )


def read_dictionary(path: Path) -> list[str]:
    """The phonemes of a file of lines `syllable<TAB>ph ph`, each once.

    Raises:
      InputError: if it cannot be read, naming the line that is not of this form.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the dictionary {path} cannot be read as UTF-8 ({error})") from error
    phonemes: dict[str, None] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        _, tab, tokens = line.partition("\t")
        if not tab or not tokens.split():
            raise InputError(
                f"{path}: line {number}: expected a syllable, a tab and phonemes, got {line!r}"
            )
        phonemes |= dict.fromkeys(tokens.split())
    return list(phonemes)


def read_ids(path: Path, first: int) -> tuple[str, ...] | None:
    """Names of `{name: id}` in the order of their ids, from `first`; None without the file.

    Raises:
      InputError: if the file is something else.
    """
    if not path.is_file():
        return None
    try:
        ids = json.loads(path.read_text(encoding="utf-8"))
        names = tuple(sorted(ids, key=ids.get))
        whole = [ids[name] for name in names] == list(range(first, first + len(names)))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{path} is no table of names and numbers ({error})") from error
    if not whole or not names:
        raise InputError(f"{path}: the numbers do not run from {first} without gaps: {ids}")
    return names


def _united(groups: Sequence[Sequence[str]]) -> list[set[str]]:
    """Groups that share a member as one."""
    united: list[set[str]] = []
    for group in map(set, groups):
        overlapping = [other for other in united if other & group]
        united = [other for other in united if not other & group]
        united.append(group.union(*overlapping))
    return united


def _language(phoneme: str) -> str:
    return phoneme.rpartition("/")[0]
