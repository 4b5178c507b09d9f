"""Raw songs to a prepared corpus: checked, measured, cut, and written as shards."""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.audio.f0 import require_extractor
from diffsinger_jax.audio.wav import read_wav, resample
from diffsinger_jax.corpus.augmentation import (
    COLUMNS,
    Augmentation,
    added_examples,
    as_recorded,
)
from diffsinger_jax.corpus.breaths import breaths_of
from diffsinger_jax.corpus.checks import Report, check_song
from diffsinger_jax.corpus.features import (
    FeatureJob,
    check_header,
    file_digest,
    fill_cache,
    load_features,
    value_range,
)
from diffsinger_jax.corpus.info import CORPUS_FILE, write_corpus_info
from diffsinger_jax.corpus.notes import note_range, with_estimated_notes
from diffsinger_jax.corpus.output import finish, is_finished, make_folder, work_folder
from diffsinger_jax.corpus.pieces import cut_song, make_example
from diffsinger_jax.corpus.shards import Example, write_shards
from diffsinger_jax.corpus.songs import SPLITS, SungSong, assign_splits
from diffsinger_jax.errors import InputError
from diffsinger_jax.features import extractor
from diffsinger_jax.types import BREATH, SILENCE, CorpusInfo, MelSpec, Vocabulary

CHECKS_FILE = "checks.csv"


@dataclasses.dataclass(frozen=True)
class CorpusSettings:
    """What a prepared corpus depends on, besides the songs.

    Attributes:
      name: of the corpus.
      mel: the representation.
      f0: a name in `audio.f0.F0_EXTRACTORS`.
      max_piece_sec: pieces longer than this are cut at short rests too.
      keep_faulty: prefixes of names that are used although they fail the check; "" is all.
      test, validation: prefixes of the songs held out.
      licence: see `CorpusInfo`.
      curves: names of optional features in `FEATURES`, made of each recording and kept with it.
      augmentation: pieces added to the training split; None for none.
    """

    name: str
    mel: MelSpec = MelSpec()
    f0: str = "harvest"
    max_piece_sec: float = 12.0
    keep_faulty: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    licence: str = ""
    curves: tuple[str, ...] = ()
    augmentation: Augmentation | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all optional features of a record."""
        return self.curves + (COLUMNS if self.augmentation else ())

    def validate(self) -> None:
        """Raises InputError for a name or number that cannot be."""
        require_extractor(self.f0)
        for name in self.curves:
            extractor(name)
        if not self.max_piece_sec > 0:
            raise InputError(f"--max_piece_sec is {self.max_piece_sec}, expected more than 0")


@dataclasses.dataclass(frozen=True)
class CheckedSong:
    """A song with notes, what was found in it, and where its features are (None: no audio)."""

    song: SungSong
    report: Report
    features: Path | None
    split: str
    used: bool


def prepare(
    songs: Sequence[SungSong],
    settings: CorpusSettings,
    out: Path,
    processes: int,
    *,
    beam: Sequence[str] | None = None,
) -> list[CheckedSong]:
    """Makes the folder `out`, whole or not at all.

    What is computed from each song's audio is kept in OUT.partial until then, so that a build
    that was killed goes on where it stood and ends with the same bytes.

    Args:
      songs: of the corpus.
      settings: of the build.
      out: folder to make.
      processes: on this machine.
      beam: options of Apache Beam; given, its runner works and `processes` counts for nothing.

    Returns:
      All songs, in order; empty if `out` held just this corpus already.

    Raises:
      InputError: for songs that cannot be read or used, and an `out` that cannot be written.
    """
    settings.validate()
    splits = assign_splits(songs, settings.test, settings.validation)
    digests = _digests(songs)
    fingerprint = _fingerprint(songs, digests, settings)
    work = work_folder(out)
    if is_finished(out, fingerprint, CORPUS_FILE):
        return []
    checked = _check(songs, splits, digests, settings, work, processes, beam)
    used = [c for c in checked if c.used]
    # A corpus whose songs are all held out is one to evaluate with.
    if not any(c.split == "train" for c in used) and (not used or "train" in splits.values()):
        raise InputError(
            f"none of the {len(songs)} songs can be trained on: all fail the check or are held "
            "out; run with --check_only and read the table"
        )
    staging = work / "corpus"
    shutil.rmtree(staging, ignore_errors=True)  # of a build that was killed
    folder = _write_corpus(used, settings, staging, beam)
    write_checks(folder / CHECKS_FILE, checked)
    finish(folder, out, fingerprint)
    return checked


def check_only(
    songs: Sequence[SungSong],
    settings: CorpusSettings,
    out: Path,
    processes: int,
    *,
    beam: Sequence[str] | None = None,
) -> list[CheckedSong]:
    """Writes OUT.checks.csv and no corpus; what was computed stays for a later `prepare`."""
    settings.validate()
    splits = assign_splits(songs, settings.test, settings.validation)
    checked = _check(songs, splits, _digests(songs), settings, work_folder(out), processes, beam)
    write_checks(checks_file(out), checked)
    return checked


def checks_file(out: Path) -> Path:
    """The table that `check_only` writes."""
    return out.with_name(f"{out.name}.{CHECKS_FILE}")


def write_checks(path: Path, checked: Sequence[CheckedSong]) -> None:
    """song, verdict, split, used, reason, as comma-separated values; whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["song", "verdict", "split", "used", "reason"])
    for c in checked:
        yes_no = "yes" if c.used else "no"
        writer.writerow([c.song.name, c.report.verdict, c.split, yes_no, c.report.reason])
    with atomic_write(path) as partial:
        partial.write_text(text.getvalue(), encoding="utf-8")


def _check(
    songs: Sequence[SungSong],
    splits: Mapping[str, str],
    digests: Mapping[Path, bytes],
    settings: CorpusSettings,
    work: Path,
    processes: int,
    beam: Sequence[str] | None,
) -> list[CheckedSong]:
    """Measures every recording, into the cache `work`, and looks at every song."""
    _check_prefixes(songs, settings.keep_faulty)
    spec = settings.mel
    jobs = {
        song.name: FeatureJob(
            song.name, song.wav, digests[song.wav], spec, settings.f0, settings.curves
        )
        for song in songs
        if song.wav in digests
    }
    for job in jobs.values():
        check_header(job.wav)
    make_folder(work)
    if beam is not None:
        from diffsinger_jax.corpus.on_beam import fill_cache_on_beam

        fill_cache_on_beam(list(jobs.values()), work, beam)
    else:
        with tqdm(total=len(jobs), desc="mel and f0", unit="song", dynamic_ncols=True) as bar:
            for _ in fill_cache(list(jobs.values()), work, processes):
                bar.update()
    checked = []
    for song in songs:
        file = jobs[song.name].cache_file(work) if song.name in jobs else None
        features = load_features(file) if file else None
        if features is not None:
            song = with_estimated_notes(song, features.f0, spec)
        report = check_song(song, features, spec)
        good = report.verdict != "fail" or song.name.startswith(settings.keep_faulty)
        used = good and features is not None and bool(song.phonemes)
        checked.append(CheckedSong(song, report, file, splits[song.name], used))
    return checked


def _write_corpus(
    used: Sequence[CheckedSong], settings: CorpusSettings, staging: Path, beam: Sequence[str] | None
) -> Path:
    """Shards and corpus.json of the songs, in a folder below `staging`."""
    spec = settings.mel
    vocabulary = _vocabulary([c.song for c in used])
    by_split = {split: [c for c in used if c.split == split] for split in SPLITS}
    by_split = {split: songs for split, songs in by_split.items() if songs}
    measured = next(iter(by_split))  # "train" but for a corpus that is only evaluated with
    examples_of = functools.partial(
        song_examples,
        spec=spec,
        vocabulary=vocabulary,
        max_piece_sec=settings.max_piece_sec,
        augmentation=settings.augmentation,
    )
    if beam is not None:
        from diffsinger_jax.corpus.on_beam import value_range_on_beam, write_shards_on_beam

        folder = write_shards_on_beam(
            staging, spec.n_mels, by_split, examples_of, beam, settings.columns
        )
        mel_min, mel_max = value_range_on_beam(staging, by_split[measured], examples_of, beam)
    else:

        def examples(split: str) -> Iterator[Example]:
            for song in by_split[split]:
                yield from examples_of(song)

        splits = {split: functools.partial(examples, split) for split in by_split}
        folder = write_shards(staging, spec.n_mels, splits, settings.columns)
        mel_min, mel_max = value_range(example["mel"] for example in examples(measured))
    sung = note_range(c.song for c in by_split[measured])
    info = CorpusInfo(
        settings.name,
        spec,
        vocabulary,
        mel_min,
        mel_max,
        settings.licence,
        sung,
        settings.augmentation.ranges if settings.augmentation else {},
        breaths_of(_recorded(by_split[measured], examples_of), vocabulary, spec),
    )
    write_corpus_info(folder, info)
    return folder


def _recorded(
    songs: Sequence[CheckedSong], examples_of: Callable[..., Iterator[Example]]
) -> Iterator[Example]:
    """The records of songs without those that are added."""
    for song in songs:
        yield from examples_of(song, augmentation=None)


def song_examples(
    checked: CheckedSong,
    spec: MelSpec,
    vocabulary: Vocabulary,
    max_piece_sec: float,
    augmentation: Augmentation | None = None,
) -> Iterator[Example]:
    """The records of one song; of the training split also those that are added."""
    song = checked.song
    if checked.features is None:
        raise ValueError(f"{song.name} has no audio; only used songs have examples")
    features = load_features(checked.features)
    adds = augmentation is not None and checked.split == "train"
    wav = resample(*read_wav(song.wav, downmix=True), spec.sample_rate) if adds else None
    pieces = cut_song(song.phonemes, max_piece_sec, only_long=song.spoken)
    for n, piece in enumerate(pieces):
        name = f"{song.name}#{n + 1}"
        example = make_example(name, piece, song, features, spec, vocabulary)
        if example is None:
            continue
        yield as_recorded(example) if augmentation else example
        if augmentation is not None and wav is not None:
            first = spec.nearest_frame(piece[0].start_sec)
            yield from added_examples(example, wav, first, spec, augmentation)


def _check_prefixes(songs: Sequence[SungSong], prefixes: Sequence[str]) -> None:
    for prefix in prefixes:
        if not any(song.name.startswith(prefix) for song in songs):
            raise InputError(f"no song starts with {prefix!r}, given to --keep_faulty; correct it")


def _digests(songs: Sequence[SungSong]) -> dict[Path, bytes]:
    """A hash of each file that songs were read from, where it exists."""
    sources = sorted({source for song in songs for source in song.sources})
    return {source: file_digest(source) for source in sources if source.is_file()}


def _fingerprint(
    songs: Sequence[SungSong], digests: Mapping[Path, bytes], settings: CorpusSettings
) -> str:
    """A hash of the settings and of everything the songs were read from."""
    fields = dataclasses.asdict(settings)
    if not settings.curves:
        del fields["curves"]  # corpora of before there were any keep their fingerprint
    if settings.augmentation is None:
        del fields["augmentation"]
    digest = hashlib.sha256(json.dumps(fields).encode())
    for song in songs:
        digest.update(song.name.encode())
        for source in song.sources:
            digest.update(digests.get(source, b"missing"))
    return digest.hexdigest()


def _vocabulary(songs: Sequence[SungSong]) -> Vocabulary:
    """SP and AP, then the phonemes of the songs, sorted; so are speakers and languages."""
    symbols = {p.symbol for song in songs for p in song.phonemes} - {SILENCE, BREATH}
    return Vocabulary(
        phonemes=(SILENCE, BREATH, *sorted(symbols)),
        speakers=tuple(sorted({song.speaker for song in songs})),
        languages=tuple(sorted({song.language for song in songs})),
    )
