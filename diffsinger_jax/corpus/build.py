"""Raw songs to a prepared corpus: checked, measured, cut, and written as shards."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from diffsinger_jax.corpus.checks import Report, check_song, write_table
from diffsinger_jax.corpus.features import (
    FeatureJob,
    file_digest,
    fill_cache,
    load_features,
    value_range,
)
from diffsinger_jax.corpus.info import CORPUS_FILE, write_corpus_info
from diffsinger_jax.corpus.notes import with_estimated_notes
from diffsinger_jax.corpus.pieces import cut_song, make_example
from diffsinger_jax.corpus.shards import Example, write_shards
from diffsinger_jax.corpus.songs import SPLITS, SungSong, assign_splits
from diffsinger_jax.errors import InputError
from diffsinger_jax.types import BREATH, MEL_SPECS, SILENCE, CorpusInfo, Vocabulary

CHECKS_FILE = "checks.csv"
BUILD_FILE = "build.json"
"""Which songs and settings a corpus was made from, as a hash."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a prepared corpus depends on, besides the songs.

    Attributes:
      name: of the corpus.
      mel: a name in `MEL_SPECS`.
      f0: a name in `F0_EXTRACTORS`.
      max_piece_sec: pieces longer than this are cut at short rests too.
      keep_faulty: use songs that fail the check, as far as they can be used.
      test, validation: prefixes of the songs held out.
      licence: see `CorpusInfo`.
    """

    name: str
    mel: str = "24k_hop128"
    f0: str = "harvest"
    max_piece_sec: float = 12.0
    keep_faulty: bool = False
    test: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    licence: str = ""


def prepare(
    songs: Sequence[SungSong], settings: Settings, out: Path, processes: int
) -> list[Report]:
    """Makes the folder `out`, whole or not at all.

    What is computed from each song's audio is kept in OUT.partial until then, so that a build
    that was killed goes on where it stood and ends with the same bytes.

    Returns:
      What the checker found, in order of the songs; empty if `out` was there already.

    Raises:
      InputError: for songs that cannot be read or used, and an `out` that cannot be written.
    """
    splits = assign_splits(songs, settings.test, settings.validation)
    fingerprint = _fingerprint(songs, settings)
    work = out.with_name(out.name + ".partial")
    if _is_finished(out, fingerprint):
        shutil.rmtree(work, ignore_errors=True)
        return []
    songs, reports, jobs = check(songs, settings, work, processes)
    used = _usable(songs, reports, jobs, settings.keep_faulty)
    _require_training_songs(used, splits, len(songs))

    staging = work / "corpus"
    shutil.rmtree(staging, ignore_errors=True)
    spec = MEL_SPECS[settings.mel]
    cache = {name: job.cache_file(work) for name, job in jobs.items()}
    vocabulary = _vocabulary(used)

    def examples(split: str) -> Iterator[Example]:
        for song in used:
            if splits[song.name] != split:
                continue
            features = load_features(cache[song.name])
            for n, piece in enumerate(cut_song(song.phonemes, settings.max_piece_sec)):
                example = make_example(
                    f"{song.name}#{n + 1}",
                    piece,
                    features,
                    spec,
                    vocabulary,
                    song.speaker,
                    song.language,
                )
                if example is not None:
                    yield example

    present = [split for split in SPLITS if split in {splits[song.name] for song in used}]
    print(f"writing the shards of {len(used)} songs")
    folder = write_shards(
        staging, spec.n_mels, {split: lambda split=split: examples(split) for split in present}
    )
    mel_min, mel_max = value_range(example["mel"] for example in examples("train"))
    info = CorpusInfo(settings.name, spec, vocabulary, mel_min, mel_max, settings.licence)
    write_corpus_info(folder, info)
    write_table(folder / CHECKS_FILE, reports, splits, [song.name for song in used])
    (folder / BUILD_FILE).write_text(json.dumps({"fingerprint": fingerprint}) + "\n")
    os.rename(folder, out)
    shutil.rmtree(work)
    return reports


def check(
    songs: Sequence[SungSong], settings: Settings, work: Path, processes: int
) -> tuple[list[SungSong], list[Report], dict[str, FeatureJob]]:
    """Measures every recording, into the cache `work`, and looks at every song.

    Returns:
      The songs, now all with notes; what was found, in their order; and by song's name where
      its features are, if it has audio.
    """
    spec = MEL_SPECS[settings.mel]
    jobs = {s.name: FeatureJob(s.name, s.wav, spec, settings.f0) for s in songs if s.wav.is_file()}
    _make_folder(work)
    bar = tqdm(total=len(jobs), desc="mel and f0", unit="song", dynamic_ncols=True)
    with bar:
        for _ in fill_cache(list(jobs.values()), work, processes):
            bar.update()
    with_notes, reports = [], []
    for song in songs:
        job = jobs.get(song.name)
        features = load_features(job.cache_file(work)) if job else None
        if features is not None:
            song = with_estimated_notes(song, features.f0, spec)
        with_notes.append(song)
        reports.append(check_song(song, features, spec))
    return with_notes, reports, jobs


def _make_folder(folder: Path) -> None:
    """Makes a folder and sees that it can be written to."""
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror}), expected a place for the prepared "
            "corpus and its partial work beside it; choose another --out"
        ) from error


def _fingerprint(songs: Sequence[SungSong], settings: Settings) -> str:
    """A hash of the settings and of everything the songs were read from."""
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(settings)).encode())
    for song in songs:
        digest.update(song.name.encode())
        for source in song.sources:
            digest.update(file_digest(source) if source.is_file() else b"missing")
    return digest.hexdigest()


def _is_finished(out: Path, fingerprint: str) -> bool:
    """True if `out` holds just this corpus.

    Raises:
      InputError: if it holds something else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    build = out / BUILD_FILE
    if build.is_file() and json.loads(build.read_text()) == {"fingerprint": fingerprint}:
        return True
    what = "a corpus of other settings or songs" if (out / CORPUS_FILE).exists() else "other things"
    raise InputError(f"{out} holds {what} already; remove it or choose another --out")


def _usable(
    songs: Sequence[SungSong],
    reports: Sequence[Report],
    jobs: dict[str, FeatureJob],
    keep_faulty: bool,
) -> list[SungSong]:
    """Songs that passed; with `keep_faulty` all that have audio and phonemes on notes."""
    return [
        song
        for song, report in zip(songs, reports, strict=True)
        if (report.verdict != "fail" or keep_faulty) and song.name in jobs and song.phonemes
    ]


def _require_training_songs(used: Sequence[SungSong], splits: dict[str, str], total: int) -> None:
    if not any(splits[song.name] == "train" for song in used):
        raise InputError(
            f"none of the {total} songs can be trained on: all fail the check or are held out; "
            "run with --check_only and read the table"
        )


def _vocabulary(songs: Sequence[SungSong]) -> Vocabulary:
    """SP and AP, then the phonemes of the songs, sorted; so are speakers and languages."""
    symbols = {p.symbol for song in songs for p in song.phonemes} - {SILENCE, BREATH}
    return Vocabulary(
        phonemes=(SILENCE, BREATH, *sorted(symbols)),
        speakers=tuple(sorted({song.speaker for song in songs})),
        languages=tuple(sorted({song.language for song in songs})),
    )
