"""Raw folders to prepared ones: whole or not at all, and the same bytes whatever happens."""

from __future__ import annotations

import csv
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from diffsinger_jax.data.pjs.recipe import RECIPE
from sung import RATE, make_song, sing, write_pjs_song

from diffsinger_jax.corpus import build, features
from diffsinger_jax.corpus.songs import Label
from diffsinger_jax.errors import InputError
from diffsinger_jax.pipeline.prepared import open_corpus
from diffsinger_jax.types import MEL_SPECS

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = build.CorpusSettings(
    "made_up", mel=MEL_SPECS["24k_hop256"], f0="dio", test=("pjs003",), validation=("pjs002",)
)


@pytest.fixture(scope="module")
def recipe():
    return RECIPE


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Four good songs, and one an octave off."""
    root = tmp_path_factory.mktemp("raw")
    for n in range(1, 6):
        labels, notes = make_song([57 + (n * i) % 7 for i in range(12)], note_sec=0.3 + 0.02 * n)
        wav = sing(labels, notes, transpose=12 if n == 5 else 0)
        write_pjs_song(root, f"pjs{n:03}", labels, notes, wav)
    return root


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def prepared(recipe, raw, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared") / "corpus"
    build.prepare(recipe.read([raw], None), SETTINGS, out, 1)
    return out


def test_records_are_as_promised(prepared):
    corpus = open_corpus(prepared)
    info = corpus.info
    assert corpus.splits == ("train", "validation", "test")
    assert info.vocabulary.phonemes == ("SP", "AP", "N", "a", "e", "i", "k", "m", "n", "o", "s",
                                        "t", "u")  # fmt: skip
    lows, highs = [], []
    for split in corpus.splits:
        for example in corpus.source(split):
            count, frames = len(example["tokens"]), len(example["f0"])
            assert example["ph_frames"].sum() == frames and example["ph_frames"].min() >= 1
            assert example["mel"].shape == (frames, 80)
            for name in ("language", "note_midi", "note_sec", "slur", "onset"):
                assert len(example[name]) == count
            assert example["tokens"].min() >= 1
            assert example["tokens"][0] == example["tokens"][-1] == 1  # SP
            assert example["onset"][0] == 1
            rests = example["tokens"] == 1
            assert np.all((example["note_midi"] == 0) == rests)
            # A vowel's frames are sung on its note, but for those at its edges.
            note = np.repeat(example["note_midi"] * example["onset"], example["ph_frames"])
            sung = (note > 0) & (example["f0"] > 0)
            cents = 1200 * np.log2(example["f0"][sung] / (440 * 2 ** ((note[sung] - 69) / 12)))
            assert np.median(np.abs(cents)) < 10
            if split == "train":
                lows.append(example["mel"].min(axis=0))
                highs.append(example["mel"].max(axis=0))
    np.testing.assert_array_equal(info.mel_min, np.min(lows, axis=0))
    np.testing.assert_array_equal(info.mel_max, np.max(highs, axis=0))


def test_a_song_that_fails_is_left_out_and_said_so(prepared):
    with (prepared / "checks.csv").open() as file:
        rows = {row["song"]: row for row in csv.DictReader(file)}
    assert [row["verdict"] for row in rows.values()] == ["ok"] * 4 + ["fail"]
    assert rows["pjs005"]["used"] == "no" and "octave" in rows["pjs005"]["reason"]
    assert [rows[f"pjs{n:03}"]["split"] for n in (1, 2, 3)] == ["train", "validation", "test"]
    names = open_corpus(prepared).lengths("train").names
    assert not any(name.startswith("pjs005") for name in names)


def test_faulty_songs_can_be_kept(recipe, raw, tmp_path):
    import dataclasses

    settings = dataclasses.replace(SETTINGS, keep_faulty=("pjs005",))
    build.prepare(recipe.read([raw], None), settings, tmp_path / "out", 1)
    names = open_corpus(tmp_path / "out").lengths("train").names
    assert any(name.startswith("pjs005") for name in names)
    settings = dataclasses.replace(SETTINGS, keep_faulty=("pjs9",))
    with pytest.raises(InputError, match="'pjs9'"):
        build.prepare(recipe.read([raw], None), settings, tmp_path / "out2", 1)


def test_a_corpus_that_is_all_test_can_be_evaluated_with(recipe, tmp_path):
    labels, notes = make_song([57 + i % 7 for i in range(12)])
    write_pjs_song(tmp_path / "raw", "pjs003", labels, notes, sing(labels, notes))
    songs = recipe.read([tmp_path / "raw"], None)
    settings = build.CorpusSettings("x", mel=MEL_SPECS["24k_hop256"], f0="dio", test=("pjs003",))
    build.prepare(songs, settings, tmp_path / "out", 1)
    corpus = open_corpus(tmp_path / "out")
    assert corpus.splits == ("test",)
    mels = np.concatenate([example["mel"] for example in corpus.source("test")])
    np.testing.assert_array_equal(corpus.info.mel_max, mels.max(axis=0))
    with pytest.raises(InputError, match="no examples in the split 'train'"):
        corpus.source("train")


def test_a_build_that_stops_half_way_goes_on_and_ends_with_the_same_bytes(
    recipe, raw, prepared, tmp_path, monkeypatch
):
    out, compute = tmp_path / "corpus", features.compute_features
    computed = []

    def dies_at_the_third(job):
        if len(computed) == 2:
            raise KeyboardInterrupt
        computed.append(job.name)
        return compute(job)

    monkeypatch.setattr(features, "compute_features", dies_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        build.prepare(recipe.read([raw], None), SETTINGS, out, 1)
    assert not out.exists()

    monkeypatch.setattr(
        features, "compute_features", lambda job: computed.append(job) or compute(job)
    )
    (build.work_folder(out) / "corpus" / "left").mkdir(parents=True)  # of a build killed later
    assert build.prepare(recipe.read([raw], None), SETTINGS, out, 1)
    assert len(computed) == 5  # two before, three after
    assert hashes(out) == hashes(prepared)
    assert not build.work_folder(out).exists()

    assert build.prepare(recipe.read([raw], None), SETTINGS, out, 1) == []  # it is there
    with pytest.raises(InputError, match="other settings"):
        build.prepare(recipe.read([raw], None), build.CorpusSettings("x", f0="dio"), out, 1)


def command(raw: Path, out: Path, *more: str) -> list[str]:
    return [
        *(sys.executable, str(ROOT / "data" / "prepare.py"), "pjs", "--raw", str(raw)),
        *("--out", str(out), "--mel", "24k_hop256", "--test", "pjs003"),
        *("--validation", "pjs002", *more),
    ]


@pytest.mark.slow
def test_killed_and_started_again_from_the_command_line(raw, tmp_path):
    flags = ("--jobs", "2", "--f0", "harvest")
    subprocess.run(command(raw, tmp_path / "whole", *flags), check=True, capture_output=True)

    out = tmp_path / "killed"
    process = subprocess.Popen(
        command(raw, out, *flags), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not list(build.work_folder(out).glob("*.npz")):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not out.exists()
    kept = {path: path.stat().st_mtime_ns for path in build.work_folder(out).glob("*.npz")}
    assert 1 <= len(kept) < 5

    again = subprocess.Popen(
        command(raw, out, *flags), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while again.poll() is None:  # songs that were finished are not computed again
        for path, written in kept.items():
            assert not path.exists() or path.stat().st_mtime_ns == written
        time.sleep(0.05)
    assert again.returncode == 0
    assert hashes(out) == hashes(tmp_path / "whole")


def fails(recipe, raw, out, settings=SETTINGS) -> str:
    with pytest.raises(InputError) as caught:
        build.prepare(recipe.read([raw], None), settings, out, 1)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_bad_input_is_one_sentence_and_leaves_nothing(recipe, raw, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no songs of PJS" in fails(recipe, empty, tmp_path / "out")

    broken = tmp_path / "broken"
    labels, notes = make_song([60, 62, 64, 65])
    for name in ("pjs001", "pjs002", "pjs003"):
        write_pjs_song(broken, name, labels, notes)
    wav = broken / "pjs002" / "pjs002_song.wav"
    wav.write_bytes(b"RIFX" + wav.read_bytes()[4:30])
    assert "pjs002_song.wav: not a readable sound file" in fails(recipe, broken, tmp_path / "out")

    (tmp_path / "file").write_text("")
    assert "cannot be written" in fails(recipe, raw, tmp_path / "file" / "out")
    assert "holds other things" in fails(recipe, raw, tmp_path)
    for settings, words in (
        (build.CorpusSettings("x", f0="crepe"), "no f0 extractor 'crepe'"),
        (build.CorpusSettings("x", max_piece_sec=0), "max_piece_sec"),
        (build.CorpusSettings("x", f0="dio", test=("pjs4",)), "'pjs4'"),
    ):
        assert words in fails(recipe, raw, tmp_path / "out", settings)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "empty", "file"]


def test_the_command_ends_with_one_sentence_and_code_2(tmp_path):
    ended = subprocess.run(
        command(tmp_path / "nowhere", tmp_path / "out"), capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: there is no folder") and ended.stderr.count("\n") == 1


def test_stereo_clipping_and_unknown_phones_are_found(recipe, tmp_path):
    labels, notes = make_song([60, 62, 64, 65, 60, 62, 64, 65])
    write_pjs_song(tmp_path / "raw", "pjs001", labels, notes)
    wav = sing(labels, notes)
    write_pjs_song(tmp_path / "raw", "pjs002", labels, notes)
    stereo = tmp_path / "raw" / "pjs002" / "pjs002_song.wav"
    soundfile.write(stereo, np.stack([wav, wav], axis=1), RATE)
    write_pjs_song(tmp_path / "raw", "pjs003", labels, notes, np.clip(5 * wav, -1, 1))
    labels[1] = Label("xx", labels[1].start_sec, labels[1].end_sec)
    write_pjs_song(tmp_path / "raw", "pjs004", labels, notes)
    settings = build.CorpusSettings("x", mel=MEL_SPECS["24k_hop256"], f0="dio")
    checked = build.check_only(recipe.read([tmp_path / "raw"], None), settings, tmp_path / "out", 1)
    assert [c.report.verdict for c in checked] == ["ok", "fail", "fail", "fail"]
    for c, words in zip(checked[1:], ("2 channels", "clipped", "unknown phone 'xx'"), strict=True):
        assert words in c.report.reason
    assert build.checks_file(tmp_path / "out").is_file() and not (tmp_path / "out").exists()


def test_the_fields_of_a_record_stand_in_order(prepared):
    """Else their order, and the bytes of a shard, would change from process to process."""
    from array_record.python.array_record_module import ArrayRecordReader

    for shard in prepared.glob("*.array_record*"):
        for record in ArrayRecordReader(str(shard)).read_all():
            fields = (b"f0", b"language", b"mel", b"name", b"note_midi", b"note_sec", b"onset")
            places = [record.index(b"\n" + bytes([len(field)]) + field) for field in fields]
            assert places == sorted(places)
