"""What is wrong with a voicebank: what OpenUtau refuses, and what it passes over in silence."""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Callable, Iterator

from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.openutau.character import CHARACTER_FILE
from diffsinger_jax.interop.openutau.dictionary import (
    SoundTable,
    languages_with_tables,
    read_sound_table,
)
from diffsinger_jax.interop.openutau.package import CONFIG_FILE, VoicebankFiles
from diffsinger_jax.interop.openutau.settings import Settings
from diffsinger_jax.interop.openutau.voicebank import Voicebank, model_roles, parts_of
from diffsinger_jax.score.validate import Finding, finding_of
from diffsinger_jax.types import BREATH, SILENCE
from diffsinger_jax.voices.onnx_vocoder import ONNX_CONFIG

_KNOWN_KEYS = {field.name for field in dataclasses.fields(Settings)} - {"where", "range"}
_KNOWN_KEYS |= {"augmentation_args", "use_shallow_diffusion"}
_MOST_LISTED = 8


def voicebank_findings(path: str | os.PathLike) -> list[Finding]:
    """Everything that a look at every file of a voicebank finds; nothing is sung.

    Args:
      path: a folder, .zip or .oudep.
    """
    where = str(path)
    try:
        voicebank = parts_of(VoicebankFiles.open(path))
    except InputError as error:
        return [_finding(where, "error", str(error))]
    found: dict[Finding, None] = {}
    for look in _LOOKS:
        try:
            for level, sentence in look(voicebank):
                found[_finding(where, level, sentence)] = None
        except InputError as error:
            found[_finding(where, "error", str(error))] = None
    return list(found)


def _finding(where: str, level: str, sentence: str) -> Finding:
    """The place is a file of the voicebank, before the first colon behind its path."""
    place, colon, rest = sentence.removeprefix(where).lstrip("/: ").partition(": ")
    if not colon or " " in place:
        return finding_of(where, level, sentence)
    what, _, remedy = rest.rpartition("; ")
    return Finding(where, level, place, what or remedy, remedy if what else "")


Said = tuple[str, str]
"""(level, sentence)."""


def _files(voicebank: Voicebank) -> Iterator[Said]:
    """Each file that a dsconfig.yaml names, one after the other, whatever the others are."""
    for part, roles in model_roles(voicebank):
        try:
            _ = part.settings
        except InputError as error:
            yield "error", str(error)
            continue
        named = ["phonemes", "languages", "embeddings", *roles]
        if roles[-1] in ("pitch", "variance"):
            named.append("table")
        for name in named:
            try:
                part.graph(name).load() if name in roles else getattr(part, name)
            except InputError as error:
                yield "error", str(error)


def _character(voicebank: Voicebank) -> Iterator[Said]:
    """The file that OpenUtau finds singers by."""
    files = voicebank.files
    if not files.has(CHARACTER_FILE):
        yield (
            "error",
            f"{files.where(CHARACTER_FILE)}: is not there, but OpenUtau finds singers by it; write "
            "one with a line as name=Anna",
        )
    elif not files.has("character.yaml") and not files.read(CHARACTER_FILE).isascii():
        yield (
            "note",
            f"{files.where(CHARACTER_FILE)}: is read as Shift-JIS; write text_file_encoding: utf-8 "
            "in a character.yaml if it is not",
        )


def _keys(voicebank: Voicebank) -> Iterator[Said]:
    """Keys that OpenUtau does not know, where they look like one that it does."""
    for part, _ in model_roles(voicebank):
        for key in part.files.yaml(CONFIG_FILE):
            near = difflib.get_close_matches(key, _KNOWN_KEYS, n=1, cutoff=0.8)
            if key not in _KNOWN_KEYS and near:
                yield (
                    "note",
                    f"{part.files.where(CONFIG_FILE)}: has the key {key}, which nobody reads; did "
                    f"you mean {near[0]}?",
                )


def _parts(voicebank: Voicebank) -> Iterator[Said]:
    """Folders of models that are not there, and curves that are shown and not predicted."""
    root = voicebank.files.path
    if voicebank.dur is None:
        yield (
            "note",
            f"{root}: has no dsdur, so OpenUtau's DiffSinger phonemizers have no durations; add it",
        )
    if voicebank.pitch is None:
        yield "note", f"{root}: has no dspitch, so pitch is drawn and not predicted"
    shown = voicebank.acoustic.settings.shown_curves
    predicted: tuple[str, ...] = ()
    if voicebank.variance is not None:
        predicted = voicebank.variance.settings.predicted_curves
    if lost := [name for name in shown if name not in predicted]:
        yield (
            "error",
            f"{voicebank.acoustic.settings.where}: the acoustic model is shown {', '.join(lost)}, "
            "which no dsvariance predicts; add one that does",
        )


def _sounds(voicebank: Voicebank) -> Iterator[Said]:
    """Every dsdict file against itself and against the phonemes of its folder."""
    for part, roles in model_roles(voicebank)[1:]:
        names = ["dsdict.yaml"] if part.files.has("dsdict.yaml") else []
        if roles[-1] == "dur":
            names += languages_with_tables(part.files).values()
            if not names:
                yield (
                    "error",
                    f"{part.files.where('dsdict.yaml')}: is not there, so no lyric is known; write "
                    "its symbols and entries",
                )
        tables = [read_sound_table(part.files, name) for name in names]
        for table in tables:
            yield from _dropped(table)
        typed = {symbol for table in tables for symbol in table.types}
        untyped = [p for p in part.phonemes if p not in typed and p not in (SILENCE, BREATH, "")]
        untyped = [p for p in untyped if not p.startswith("<")]
        if tables and untyped:
            yield (
                "note",
                f"{tables[0].where}: has no symbols {_listed(untyped)}, with which OpenUtau "
                "does not sing; list each with its type",
            )
        if unknown := [s for s in sorted(typed) if s not in part.phonemes and s != BREATH]:
            yield (
                "note",
                f"{tables[0].where}: has the symbols {_listed(unknown)}, which are not among the "
                f"phonemes of {part.files.where(part.settings.phonemes)}; remove them",
            )


def _dropped(table: SoundTable) -> Iterator[Said]:
    if table.dropped:
        graphemes = list(dict.fromkeys(g for g, _ in table.dropped))
        symbols = list(dict.fromkeys(p for _, p in table.dropped))
        yield (
            "note",
            f"{table.where}: its entries for {_listed(graphemes)} lose the phonemes "
            f"{_listed(symbols)} in silence, which are not among its symbols; list them there",
        )


def _speakers(voicebank: Voicebank) -> Iterator[Said]:
    """Suffixes of subbanks that match no entry of a folder's speakers."""
    suffixes = [subbank.suffix for subbank in voicebank.character.subbanks]
    if not suffixes and voicebank.acoustic.settings.speakers:
        suffixes = list(voicebank.acoustic.settings.speakers)
    for part, _ in model_roles(voicebank):
        speakers = part.settings.speakers
        for suffix in dict.fromkeys(suffixes):
            if speakers and suffix not in speakers:
                yield (
                    "note",
                    f"{part.settings.where}: has no speaker {suffix!r}, so its first one, "
                    f"{speakers[0]!r}, sings in its place in silence; rename the entry and "
                    "its .emb",
                )


def _vocoder(voicebank: Voicebank) -> Iterator[Said]:
    if voicebank.files.inside("dsvocoder").has(ONNX_CONFIG):
        voicebank.vocoder()
    elif named := voicebank.acoustic.settings.vocoder:
        yield "note", f"{voicebank.files.path}: needs the vocoder package {named}; install it too"
    else:
        yield (
            "error",
            f"{voicebank.acoustic.settings.where}: names no vocoder and there is no dsvocoder; "
            "add that folder, or name a vocoder's package as vocoder",
        )


_LOOKS: tuple[Callable[[Voicebank], Iterator[Said]], ...] = (
    _files, _character, _keys, _parts, _sounds, _speakers, _vocoder,
)  # fmt: skip


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_LISTED
    return ", ".join(names[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
