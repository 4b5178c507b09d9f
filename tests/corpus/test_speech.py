"""Spoken corpora: layouts, faults planted one at a time, and whole clips in the shards."""

import dataclasses
import importlib
from pathlib import Path

import numpy as np
import pytest

from diffsinger_jax.audio.wav import write_wav
from diffsinger_jax.corpus import build
from diffsinger_jax.corpus.checks import check_song
from diffsinger_jax.corpus.features import SongFeatures
from diffsinger_jax.corpus.speech import Utterance, spoken_song
from diffsinger_jax.errors import InputError
from diffsinger_jax.pipeline.prepared import open_corpus
from diffsinger_jax.types import MEL_SPECS

SPEC = MEL_SPECS["22k_hop256"]
WORDS = {"hello": "HH AH0 L OW1", "world": "W ER1 L D"}
TEXT = "Hello, world."
PHONE_SEC, PAUSE_SEC = 0.1, 0.3


def intervals(words=("hello", "", "world", "")):
    """(words, phones) as (start, end, text), evenly long."""
    tiers, now = ([], []), 0.0
    for word in words:
        start = now
        for phone in WORDS.get(word, word or "sp").split():
            sec = PHONE_SEC if word else PAUSE_SEC
            tiers[1].append((now, now + sec, phone))
            now += sec
        tiers[0].append((start, now, word))
    return tiers


def write_grid(path: Path, tiers) -> Path:
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", "xmax = 9"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}"]
    for name, tier in zip(("words", "phones"), tiers, strict=True):
        lines += ['class = "IntervalTier"', f'name = "{name}"', "xmin = 0", "xmax = 9"]
        lines.append(f"intervals: size = {len(tier)}")
        for a, b, text in tier:
            lines += [f"xmin = {a}", f"xmax = {b}", f'text = "{text}"']
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def write_clip(path: Path) -> None:
    seconds = np.arange(int(1.4 * SPEC.sample_rate)) / SPEC.sample_rate
    tone = sum(np.sin(2 * np.pi * 150 * h * seconds) / h for h in range(1, 9))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, (0.2 * tone).astype(np.float32), SPEC.sample_rate)


def song(tmp_path, tiers=None, text=TEXT):
    grid = tmp_path / "a.TextGrid"
    if tiers is not False:
        write_grid(grid, tiers or intervals())
    return spoken_song(Utterance("a", tmp_path / "a.wav", grid, text, "ann"), "en")


def features(**changed):
    frames = int(SPEC.frames(1.4)) + 1
    sound = SongFeatures(np.zeros((frames, 80)), np.full(frames, 150.0), 1.4, 1, 0.5, 0)
    return dataclasses.replace(sound, **changed)


def test_a_clip_is_read_with_the_words_that_its_phones_are_in(tmp_path):
    spoken = song(tmp_path)
    assert [p.symbol for p in spoken.phonemes] == "HH AH0 L OW1 SP W ER1 L D SP".split()
    assert [p.onset for p in spoken.phonemes] == [
        p.symbol in ("HH", "W", "SP") for p in spoken.phonemes
    ]
    assert [p.note_sec for p in spoken.phonemes] == pytest.approx(
        [0.4] * 4 + [0.3] + [0.4] * 4 + [0.3]
    )
    assert check_song(spoken, features(), SPEC).verdict == "ok"


def stretched(tiers, index, sec):
    """The same with one phone longer."""
    moved = [
        (a + sec * (i > index), b + sec * (i >= index), t) for i, (a, b, t) in enumerate(tiers[1])
    ]
    return [], moved


@pytest.mark.parametrize(
    "tiers, text, changed, verdict, named",
    [
        (False, TEXT, {}, "fail", "no alignment"),
        (None, "Good bye, world.", {}, "fail", "2 of 3 words"),
        (None, None, {}, "warn", "no text"),
        (intervals(("hello", "", "spn", "")), "Hello you.", {}, "fail", "the word at 0.70"),
        (([], [(0.0, 0.7, "XX"), (0.7, 1.4, "AA1")]), TEXT, {}, "fail", "ARPAbet with stress: XX"),
        (([], [(0.0, 1.4, "sp")]), TEXT, {}, "fail", "nothing is said"),
        (stretched(intervals(), 1, 1.3), TEXT, {"duration_sec": 2.7}, "fail", "AH0 at 0.10 s"),
        (None, TEXT, {"duration_sec": 3.0}, "fail", "before the audio"),
        (None, TEXT, {"f0": np.zeros(121)}, "fail", "vowels have no voice"),
        (None, TEXT, {"peak": 0.0}, "fail", "silent"),
        (None, TEXT, {"peak": 0.01}, "warn", "very quiet"),
        (None, TEXT, {"clipped_runs": 30}, "warn", "clipped"),
        (None, TEXT, {"clipped_runs": 90}, "fail", "clipped"),
    ],
)  # fmt: skip
def test_what_is_planted_is_found(tmp_path, tiers, text, changed, verdict, named):
    report = check_song(song(tmp_path, tiers, text), features(**changed), SPEC)
    assert report.verdict == verdict and named in report.reason, report


def read(name, *raw):
    return importlib.import_module(f"diffsinger_jax.data.{name}.recipe").RECIPE.read(raw, None)


def test_the_official_layout_becomes_whole_clips_in_shards(tmp_path):
    raw = tmp_path / "LJSpeech-1.1"
    for name in ("LJ001-0001", "LJ003-0001", "LJ010-0002"):
        write_clip(raw / "wavs" / f"{name}.wav")
        write_grid(raw / "TextGrid" / f"{name}.TextGrid", intervals())
    lines = [f'{path.stem}|"Hello, world.|{TEXT}' for path in sorted(raw.glob("wavs/*"))]
    (raw / "metadata.csv").write_text("\n".join(lines), "utf-8")
    songs = read("ljspeech", raw)
    assert [s.name for s in songs] == ["LJ001-0001", "LJ003-0001", "LJ010-0002"]
    settings = build.CorpusSettings("lj", SPEC, "dio", test=("LJ001",), validation=("LJ003",))
    checked = build.prepare(songs, settings, tmp_path / "out", processes=1)
    assert [c.report.reason for c in checked] == [""] * 3
    corpus = open_corpus(tmp_path / "out")
    example = corpus.source("train")[0]
    assert len(example["tokens"]) == 10 and not np.any(example["note_midi"])
    assert corpus.info.note_range is None and corpus.info.vocabulary.languages == ("en",)
    assert "OW1" in corpus.info.vocabulary.phonemes


def test_speakers_have_a_folder_each(tmp_path):
    for speaker in ("ann", "bob"):
        write_clip(tmp_path / speaker / "deep" / "a.wav")
        write_grid(tmp_path / speaker / "grids" / "a.TextGrid", intervals())
        (tmp_path / speaker / "a.lab").write_text(TEXT, "utf-8")
    songs = read("speech", tmp_path)
    assert [(s.name, s.speaker) for s in songs] == [("ann/a", "ann"), ("bob/a", "bob")]
    assert not any(s.faults or s.doubts for s in songs)
    assert [s.name for s in read("speech", tmp_path / "ann")] == ["a"]


def test_folders_that_hold_no_such_corpus_are_refused(tmp_path):
    with pytest.raises(InputError, match="no .wav"):
        read("speech", tmp_path)
    with pytest.raises(InputError, match="metadata.csv"):
        read("ljspeech", tmp_path)
