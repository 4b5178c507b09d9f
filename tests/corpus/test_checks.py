"""Faults are planted in a clean song, one at a time; each is found and said in words."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from sung import RATE, make_song, sing

from diffsinger_jax.audio.f0 import extract_f0
from diffsinger_jax.corpus.align import align
from diffsinger_jax.corpus.checks import check_song
from diffsinger_jax.corpus.features import SongFeatures
from diffsinger_jax.corpus.nuclei import is_nucleus
from diffsinger_jax.corpus.songs import Label, SungNote, SungSong
from diffsinger_jax.types import MEL_SPECS

SPEC = MEL_SPECS["24k_hop256"]
LABELS, NOTES = make_song([57, 60, 62, 64, 60, 59, 57, 55])


def song_of(labels, notes, **fields):
    nuclei = [i for i, x in enumerate(labels) if is_nucleus(x.symbol, "ja")]
    return SungSong(
        "s", "s", Path("s.wav"), (), align(labels, nuclei, notes), "x", "ja", tuple(notes), **fields
    )


def features_of(wav, **fields):
    f0 = extract_f0(wav, SPEC, "dio")
    features = SongFeatures(np.zeros((len(f0), 80)), f0, len(wav) / RATE, 1, 0.5, 0)
    return dataclasses.replace(features, **fields)


@pytest.fixture(scope="module")
def clean():
    return features_of(sing(LABELS, NOTES))


def moved(labels, sec):
    first = Label("SP", 0.0, labels[0].end_sec + sec)
    last = Label("SP", labels[-1].start_sec + sec, labels[-1].end_sec)
    middle = [Label(x.symbol, x.start_sec + sec, x.end_sec + sec) for x in labels[1:-1]]
    return [first, *middle, last]


def test_a_clean_song_passes_without_a_word(clean):
    report = check_song(song_of(LABELS, NOTES), clean, SPEC)
    assert (report.verdict, report.reason) == ("ok", "")


@pytest.mark.parametrize("octaves, word", [(1, "above"), (-1, "below")])
def test_a_song_an_octave_off(octaves, word):
    report = check_song(
        song_of(LABELS, NOTES), features_of(sing(LABELS, NOTES, transpose=12 * octaves)), SPEC
    )
    assert report.verdict == "fail"
    assert f"1 octave(s) {word} its notes" in report.reason


def test_another_melody():
    other = [
        dataclasses.replace(n, midi=n.midi + (5 if i % 2 else -2)) for i, n in enumerate(NOTES)
    ]
    report = check_song(song_of(LABELS, NOTES), features_of(sing(LABELS, other)), SPEC)
    assert report.verdict == "fail" and "100% of the notes" in report.reason


@pytest.mark.parametrize("sec, words", [(-0.26, "0.26 s before"), (0.2, "0.20 s after")])
def test_labels_beside_their_notes(clean, sec, words):
    report = check_song(song_of(moved(LABELS, sec), NOTES), clean, SPEC)
    assert report.verdict == "fail" and f"{words} their notes" in report.reason


@pytest.mark.parametrize("sec, words", [(2.4, "2.40 s after"), (-0.3, "0.30 s before")])
def test_labels_that_end_elsewhere_than_the_audio(clean, sec, words):
    labels = [*LABELS[:-1], dataclasses.replace(LABELS[-1], end_sec=LABELS[-1].end_sec + sec)]
    report = check_song(song_of(labels, NOTES), clean, SPEC)
    assert report.verdict == "fail" and f"labels end {words} the audio" in report.reason


def test_a_note_without_a_vowel(clean):
    notes = [*NOTES, SungNote(NOTES[-1].end_sec, NOTES[-1].end_sec + 0.3, 60.0)]
    report = check_song(song_of(LABELS, notes), clean, SPEC)
    assert report.verdict == "fail" and "8 vowels for 9 notes" in report.reason


def test_vowels_without_voice():
    wav = sing(LABELS, NOTES)
    end = int(NOTES[3].end_sec * RATE)
    wav[:end] = 0.02 * np.random.default_rng(0).standard_normal(end)
    report = check_song(song_of(LABELS, NOTES), features_of(wav), SPEC)
    assert report.verdict == "fail" and "have no voice" in report.reason


@pytest.mark.parametrize(
    "fields, verdict, words",
    [
        ({"channels": 2}, "fail", "2 channels"),
        ({"clipped_runs": 3}, "warn", "clipped, in 3 place"),
        ({"clipped_runs": 300}, "fail", "clipped"),
        ({"peak": 0.0}, "fail", "silent"),
    ],
)
def test_sound(clean, fields, verdict, words):
    report = check_song(song_of(LABELS, NOTES), dataclasses.replace(clean, **fields), SPEC)
    assert report.verdict == verdict and words in report.reason


def test_faults_of_the_reader_and_missing_audio_fail(clean):
    report = check_song(song_of(LABELS, NOTES, faults=("unknown phone 'xx'",)), clean, SPEC)
    assert (report.verdict, report.reason) == ("fail", "unknown phone 'xx'")
    report = check_song(song_of(LABELS, NOTES), None, SPEC)
    assert (report.verdict, report.reason) == ("fail", "there is no audio, expected s.wav")
