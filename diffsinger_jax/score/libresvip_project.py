"""Projects of other editors (.svp, .vsqx, .vpr, .ccs ...) to a `Song`, read by LibreSVIP."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from diffsinger_jax.errors import InputError, first_line
from diffsinger_jax.score.options import ReadOptions
from diffsinger_jax.score.song import Part, Song, unique_names
from diffsinger_jax.score.timeline import MOST_NOTES, TempoMap, WrittenNote, checked_tempo
from diffsinger_jax.score.utau_lyrics import utau_lyric

SUFFIXES = {
    ".svp": "Synthesizer V", ".s5p": "Synthesizer V (old)", ".vsqx": "VOCALOID 3 and 4",
    ".vpr": "VOCALOID 5 and 6", ".vsq": "VOCALOID 2", ".ccs": "CeVIO", ".tssln": "VoiSona",
    ".ufdata": "UtaFormatix", ".dv": "DeepVocal", ".acep": "ACE Studio", ".svip": "X Studio",
    ".nn": "NiaoNiao", ".ppsf": "Piapro Studio", ".vvproj": "VOICEVOX", ".dspx": "DiffScope",
    ".aisp": "AISingers", ".y77": "Yuantian Singer", ".vog": "Vogen", ".vspx": "VocalSharp",
    ".tlp": "TuneLab", ".xvsq": "VOCALOID X-China",
}  # fmt: skip
"""The editor of a project, by the suffix of its file."""

TICKS = 480
_LARGEST_BYTES, _LARGEST_UNPACKED = 12 * 2**20, 64 * 2**20
_WORST_RATIO = 200


def read_libresvip(path: str | Path, options: ReadOptions) -> Song:
    """Reads a project: tempo map, and the notes and lyrics of each singing track.

    Raises:
      InputError: if LibreSVIP is not installed or cannot read it, or if a note cannot be.
    """
    path = Path(path)
    source = str(path)
    editor = SUFFIXES[path.suffix.lower()]
    _check_before_reading(path)
    with _forward_slashes(path) as readable:
        project = _load(readable, source, editor)
    tempos = []
    for change in project.song_tempo_list:
        try:
            tempos.append((Fraction(change.position) / TICKS, checked_tempo(float(change.bpm))))
        except ValueError as error:
            raise InputError(f"{source}: it has {error}; set it in {editor}") from error
    names, parts, end, count = [], [], Fraction(0), 0
    for track in project.track_list:
        raw = list(getattr(track, "note_list", None) or [])
        count += len(raw)
        if count > MOST_NOTES:
            raise InputError(f"{source}: it has more than {MOST_NOTES} notes, which no song has")
        notes = tuple(_notes(raw, source, editor))
        if notes:
            names.append(track.title or "")
            parts.append(Part("", notes))
            end = max([end] + [note.end for note in notes])
    if not parts:
        raise InputError(f"{source}: there is no note in it to sing; check it in {editor}")
    named = zip(parts, unique_names(names), strict=True)
    parts = [dataclasses.replace(part, name=name) for part, name in named]
    return Song(path.stem, "", source, tuple(parts), TempoMap(tempos), end)


def _notes(raw: list[Any], source: str, editor: str) -> Iterator[WrittenNote]:
    for number, note in enumerate(sorted(raw, key=lambda n: n.start_pos), 1):
        if note.length <= 0 or note.start_pos < 0 or not 0 <= note.key_number <= 127:
            raise InputError(
                f"{source}: note {number} starts at tick {note.start_pos}, lasts {note.length} "
                f"ticks and has pitch {note.key_number}; mend it in {editor}"
            )
        lyric, hyphen = utau_lyric(note.lyric or "")
        start, end = Fraction(note.start_pos, TICKS), Fraction(note.start_pos + note.length, TICKS)
        where = f"note {number}"
        yield WrittenNote(start, end, float(note.key_number), lyric or None, False, where, hyphen)


def _check_before_reading(path: Path) -> None:
    """Refuses what would fill the memory when it is read, as far as its outside says."""
    if path.stat().st_size > _LARGEST_BYTES:
        raise InputError(f"{path}: it has more than 12 MiB, which no song has; is it one project?")
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(member.file_size for member in archive.infolist())
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise InputError(f"{path}: not a readable archive ({error}); save it again") from error
        if unpacked > _LARGEST_UNPACKED or unpacked > _WORST_RATIO * max(path.stat().st_size, 4096):
            raise InputError(f"{path}: it unpacks to {unpacked >> 20} MiB; is it a song?")
    elif b"<!ENTITY" in path.read_bytes():
        raise InputError(f"{path}: it declares XML entities, which no project needs; save it again")


@contextlib.contextmanager
def _forward_slashes(path: Path) -> Iterator[Path]:
    """The file, or a copy of the archive in which names from Windows have forward slashes."""
    if not zipfile.is_zipfile(path):
        yield path
        return
    with zipfile.ZipFile(path) as archive:
        if not any("\\" in name for name in archive.namelist()):
            yield path
            return
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / path.name
            with zipfile.ZipFile(copy, "w") as renamed:
                for name in archive.namelist():
                    renamed.writestr(name.replace("\\", "/"), archive.read(name))
            yield copy


def _load(path: Path, source: str, editor: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from libresvip.extension.manager import get_svs_plugin_by_suffix
            from loguru import logger
    except ImportError as error:
        raise InputError(
            f"{source}: projects of {editor} are read by LibreSVIP, which is not installed; "
            "pip install libresvip, or export the song as MusicXML or MIDI"
        ) from error
    logger.disable("libresvip")
    plugin = get_svs_plugin_by_suffix(path.suffix.lower()[1:])
    if plugin is None:
        raise InputError(
            f"{source}: this LibreSVIP does not read {path.suffix}; update it, or export the song "
            "as MusicXML or MIDI"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return plugin.load(path, plugin.input_option_cls().model_dump())
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # whatever its plugins raise for a file that they do not understand
        raise InputError(
            f"{source}: LibreSVIP cannot read it as a project of {editor} "
            f"({type(error).__name__}: {first_line(error)}); save it again, or export it as MIDI"
        ) from error
