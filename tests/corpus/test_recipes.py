"""The layouts that recipes read, made up in small, and the songs that ship."""

from __future__ import annotations

import csv
import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from sung import RATE, make_song, sing

from diffsinger_jax.audio.wav import write_wav
from diffsinger_jax.corpus import build
from diffsinger_jax.errors import InputError
from diffsinger_jax.pipeline.prepared import open_corpus
from diffsinger_jax.score.pitch_names import name_of_midi
from diffsinger_jax.types import MEL_SPECS

ROOT = Path(__file__).resolve().parents[2]
LABELS, NOTES = make_song([57, 60, 62, 64, 60, 59, 57, 55])
SYMBOLS = [x.symbol.replace("N", "an") for x in LABELS]
SECONDS = [x.end_sec - x.start_sec for x in LABELS]
VOWELS = [i for i, symbol in enumerate(SYMBOLS) if set(symbol) & set("aiueo")]


def read(name, *raw, language=None):
    return importlib.import_module(f"diffsinger_jax.data.{name}.recipe").RECIPE.read(raw, language)


def per_phoneme():
    """(midi, note_sec) of each phoneme: consonants as the vowel after them."""
    midi, note_sec = [], []
    for i, symbol in enumerate(SYMBOLS):
        following = [v for v in VOWELS if v >= i]
        rest = symbol == "SP"
        midi.append(0 if rest else int(NOTES[VOWELS.index(following[0])].midi))
        note_sec.append(SECONDS[i] if rest else 0.4)
    return midi, note_sec


def write_sound(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, sing(LABELS, NOTES), RATE)


def words(values) -> str:
    return " ".join(str(value) for value in values)


def check_against_truth(song):
    """Pitches and onsets of a song are those that were written."""
    sung = [p for p in song.phonemes if p.onset and p.midi]
    assert [p.midi for p in sung] == [n.midi for n in NOTES]
    assert [p.start_sec for p in sung] == pytest.approx([n.start_sec for n in NOTES])
    assert not song.faults


def opencpop_line(name, ph_sec=SECONDS):
    midi, note_sec = per_phoneme()
    notes = ["rest" if m == 0 else f"{name_of_midi(m)}/{name_of_midi(m)}" for m in midi]
    slurs = [0] * len(SYMBOLS)
    fields = [name, "words", words(SYMBOLS), words(notes), words(note_sec), words(ph_sec)]
    return "|".join([*fields, words(slurs)])


def test_opencpop(tmp_path):
    segments = tmp_path / "segments"
    names = ["2001000001", "2001000002", "2044000001"]
    for name in names:
        write_sound(segments / "wavs" / f"{name}.wav")
    lines = [opencpop_line(name) for name in names]
    (segments / "transcriptions.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    songs = read("opencpop", tmp_path)
    assert [(s.name, s.song) for s in songs] == [(name, name[:4]) for name in names]
    check_against_truth(songs[0])

    settings = build.CorpusSettings(
        "opencpop", mel=MEL_SPECS["24k_hop256"], f0="dio", test=("2044",)
    )
    build.prepare(songs, settings, tmp_path / "out", 1)
    corpus = open_corpus(tmp_path / "out")
    assert corpus.splits == ("train", "test") and corpus.info.vocabulary.languages == ("zh",)

    (segments / "transcriptions.txt").write_text(opencpop_line("1", SECONDS[:-1]))
    assert "columns differ in length" in read("opencpop", tmp_path)[0].faults[0]
    (segments / "transcriptions.txt").write_text("2001|a b|c\n")
    with pytest.raises(InputError, match="line 1: has 3 fields"):
        read("opencpop", tmp_path)
    with pytest.raises(InputError, match="transcriptions.txt"):
        read("opencpop", tmp_path / "segments")


def test_meta_json_with_notes_as_of_m4singer(tmp_path):
    midi, note_sec = per_phoneme()
    item = {
        "item_name": "Alto-1#Song#0003",
        "phs": [symbol.replace("SP", "<SP>") for symbol in SYMBOLS],
        "ph_dur": SECONDS,
        "notes": midi,
        "notes_dur": note_sec,
        "is_slur": [0] * len(SYMBOLS),
    }
    (tmp_path / "meta.json").write_text(json.dumps([item]))
    song = read("meta_json", tmp_path)[0]
    assert (song.song, song.speaker, song.language) == ("Alto-1#Song", "Alto-1", "zh")
    assert song.wav == tmp_path / "Alto-1#Song" / "0003.wav"
    check_against_truth(song)

    del item["is_slur"]
    (tmp_path / "meta.json").write_text(json.dumps([item]))
    with pytest.raises(InputError, match="item 1: KeyError 'is_slur'"):
        read("meta_json", tmp_path)
    (tmp_path / "meta.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        read("meta_json", tmp_path)


def test_meta_json_without_notes_has_them_estimated(tmp_path):
    items = []
    for name in ("popcs-x-0000", "popcs-x-0001"):
        write_sound(tmp_path / "wavs" / f"{name}.wav")
        items.append(
            {
                "item_name": name,
                "wav_fn": f"wavs/{name}.wav",
                "phs": words(SYMBOLS),
                "ph_dur": SECONDS,
            }  # fmt: skip
        )
    (tmp_path / "meta.json").write_text(json.dumps(items))
    songs = read("meta_json", tmp_path)
    assert {song.song for song in songs} == {"popcs-x"}
    settings = build.CorpusSettings("popcs", mel=MEL_SPECS["24k_hop256"], f0="dio")
    checked = build.prepare(songs, settings, tmp_path / "out", 1)
    check_against_truth(checked[0].song)


def make_singer(root: Path, rows: list[dict[str, str]]) -> Path:
    for row in rows:
        write_sound(root / "wavs" / f"{row['name']}.wav")
    with (root / "transcriptions.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


def singer_row(name, **more):
    return {"name": name, "ph_seq": words(SYMBOLS), "ph_dur": words(SECONDS), **more}


def test_make_diffsinger_with_words_and_notes(tmp_path):
    heads = [i for i, symbol in enumerate(SYMBOLS) if i in VOWELS or symbol == "SP"]
    ph_num = np.diff([*heads, len(SYMBOLS)]).tolist()
    note_seq, note_dur, now = [], [], 0.0
    for note in NOTES:
        if note.start_sec > now + 1e-6:
            note_seq.append("rest")
            note_dur.append(note.start_sec - now)
        note_seq.append(name_of_midi(note.midi))
        note_dur.append(note.end_sec - note.start_sec)
        now = note.end_sec
    row = singer_row(
        "song_000", ph_num=words(ph_num), note_seq=words(note_seq), note_dur=words(note_dur)
    )
    folder = make_singer(tmp_path / "anna.xx", [row])
    song = read("make_diffsinger", folder)[0]
    assert (song.speaker, song.language, song.song) == ("anna", "xx", "song")
    check_against_truth(song)

    row["ph_num"] = words([*ph_num[:-1], 7])
    make_singer(tmp_path / "anna.xx", [row])
    assert "ph_num sums to" in read("make_diffsinger", folder)[0].faults[0]


def test_make_diffsinger_with_two_speakers_and_no_notes(tmp_path):
    folders = [
        make_singer(tmp_path / f"{name}.ja", [singer_row("a_000"), singer_row("b_000")])
        for name in ("anna", "ben")
    ]
    songs = read("make_diffsinger", *folders)
    assert [song.name for song in songs] == ["anna#a_000", "anna#b_000", "ben#a_000", "ben#b_000"]
    settings = build.CorpusSettings("two", mel=MEL_SPECS["24k_hop256"], f0="dio", test=("anna#b",))
    checked = build.prepare(songs, settings, tmp_path / "out", 1)
    check_against_truth(checked[2].song)
    corpus = open_corpus(tmp_path / "out")
    assert corpus.info.vocabulary.speakers == ("anna", "ben")
    assert {int(example["speaker"]) for example in corpus.source("train")} == {0, 1}


def test_make_diffsinger_says_what_is_missing(tmp_path):
    with pytest.raises(InputError, match="transcriptions.csv"):
        read("make_diffsinger", tmp_path)
    make_singer(tmp_path / "anna", [singer_row("a")])
    with pytest.raises(InputError, match="--language"):
        read("make_diffsinger", tmp_path / "anna")
    make_singer(tmp_path / "ben.ja", [{"name": "a", "ph_seq": "a b", "ph_dur": "0.1 x"}])
    with pytest.raises(InputError, match="line 2: could not convert"):
        read("make_diffsinger", tmp_path / "ben.ja")


def test_hts_labels(tmp_path):
    write_sound(tmp_path / "song_001.wav")
    lines = [
        f"{round(x.start_sec * 1e7)} {round(x.end_sec * 1e7)} a^b-{x.symbol}+c=d/A:x\n"
        for x in LABELS
    ]
    (tmp_path / "song_001.lab").write_text("".join(lines))
    songs = read("hts_labels", tmp_path)
    settings = build.CorpusSettings("hts", mel=MEL_SPECS["24k_hop256"], f0="dio")
    checked = build.prepare(songs, settings, tmp_path / "out", 1)
    assert checked[0].report.verdict == "ok"
    check_against_truth(checked[0].song)


def test_the_songs_that_ship_are_clean(tmp_path):
    recipe = importlib.import_module("diffsinger_jax.data.pjs_mini.recipe").RECIPE
    size = sum(path.stat().st_size for path in recipe.raw.rglob("*") if path.is_file())
    assert size <= 5e6 and (recipe.raw / "LICENSE").is_file()
    settings = build.CorpusSettings(
        "pjs_mini",
        mel=MEL_SPECS["24k_hop256"],
        f0="dio",
        test=recipe.test,
        validation=recipe.validation,
    )
    checked = build.prepare(recipe.read([recipe.raw], None), settings, tmp_path / "out", 1)
    assert not [c.report for c in checked if c.report.verdict == "fail"]
    assert open_corpus(tmp_path / "out").splits == ("train", "validation", "test")


PJS = ROOT.parent / "shared" / "data" / "pjs"


@pytest.mark.slow
@pytest.mark.skipif(not PJS.is_dir(), reason="needs the whole PJS corpus")
def test_pjs_as_recorded_has_a_note_for_every_vowel_but_in_a_few_songs():
    songs = read("pjs", PJS)
    assert len(songs) == 94
    faulty = {song.name for song in songs if song.faults}
    assert faulty == {"pjs060"}  # the unknown phone xx
    for song in songs:
        edges = [(p.start_sec, p.end_sec) for p in song.phonemes]
        assert all(a[1] == b[0] for a, b in zip(edges, edges[1:], strict=False))
        assert all(end > start for start, end in edges)
        assert all(p.midi and p.note_sec > 0 for p in song.phonemes if p.symbol != "SP")
