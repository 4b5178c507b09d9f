"""From a score to sound with a voice that is known exactly."""

import dataclasses

import numpy as np
import pytest
from fake_voice import SPEC, FakeVoice

from diffsinger_jax.errors import InputError
from diffsinger_jax.evaluation.notes import measure_song
from diffsinger_jax.score.transform import change_tempo, transpose
from diffsinger_jax.synthesis.buckets import bucket_frames
from diffsinger_jax.synthesis.synthesizer import Synthesizer
from diffsinger_jax.types import Curve, MelSpec, Note, Phoneme, Piece, Score

pytestmark = pytest.mark.usefixtures("optimized")  # the vocoder computes for a while
FPS = SPEC.frames_per_sec
MELODY = (60, 62, 64, 65, 67, 65, 64, 62, 60)


def notes_of(*parts):
    """Notes of (seconds, midi or None, lyric)."""
    return tuple(
        Note(sec, midi, lyric, where=f"note {i + 1}") for i, (sec, midi, lyric) in enumerate(parts)
    )


def short_score(repeats=1):
    """A phrase that begins at 0, a rest of a second, and the phrase again."""
    phrase = [(0.4, midi, lyric) for midi, lyric in zip(MELODY, "うさぎおいしかの", strict=False)]
    parts = []
    for _ in range(repeats):
        parts += [*phrase, (1.0, None, None), *phrase, (0.8, None, None)]
    return Score("short", "ja", (Piece(0.0, notes_of(*parts)),))


@pytest.fixture(scope="module")
def song_and_score(optimized):
    score = short_score()
    return Synthesizer(FakeVoice())(score, seed=3), score


def test_the_song_sings_its_score(song_and_score):
    song, score = song_and_score
    report = measure_song(song.wav, song.sample_rate, score)
    assert report.passed, str(report)
    assert len(song.wav) == round(score.duration_sec * song.sample_rate)
    assert len(song.f0) == len(song.mel) == round(score.duration_sec * FPS)


def test_vowels_start_with_their_notes(song_and_score):
    song, _ = song_and_score
    vowels = np.array([p.start_sec for p in song.phonemes if p.label in "aiueo"])
    onsets = np.array([note.start_sec for note in song.notes])
    assert len(vowels) == len(onsets)
    assert np.abs(vowels - onsets).max() <= 0.5 / FPS + 1e-6


def test_the_same_seed_sings_the_same_song_and_another_does_not(song_and_score):
    song, score = song_and_score
    synthesizer = Synthesizer(FakeVoice())
    np.testing.assert_array_equal(synthesizer(score, seed=3).wav, song.wav)
    assert np.abs(synthesizer(score, seed=4).wav - song.wav).max() > 1e-4


@pytest.mark.parametrize("frames_per_batch", [1, 100_000])
def test_streamed_is_whole(frames_per_batch, song_and_score):
    song, score = song_and_score
    synthesizer = Synthesizer(FakeVoice(), frames_per_batch=frames_per_batch)
    score = synthesizer.prepare(score)
    blocks = list(synthesizer.stream(score, seed=3))
    assert len(blocks) > 2 and min(len(block) for block in blocks) > 0
    np.testing.assert_allclose(np.concatenate(blocks), song.wav, atol=1e-5)
    assert synthesizer.song_samples(score) == len(song.wav)


def test_how_pieces_are_batched_changes_no_number():
    score = short_score()
    alone = Synthesizer(FakeVoice(), frames_per_batch=1)(score)
    together = Synthesizer(FakeVoice(), frames_per_batch=100_000)(score)
    np.testing.assert_allclose(alone.wav, together.wav, atol=1e-5)
    np.testing.assert_array_equal(alone.f0, together.f0)


def test_as_many_shapes_as_buckets():
    voice = FakeVoice()
    synthesizer = Synthesizer(voice, vocoder="harmonic")
    score = synthesizer.prepare(short_score(repeats=3))
    pieces = synthesizer._arrays(score, 0)
    for seed in (0, 1):
        list(synthesizer._mels(pieces, range(len(pieces)), seed, {}))
    lengths = {bucket_frames(round((p.duration_sec + 0.6) * FPS), 1) for p in score.pieces}
    assert len(voice.shapes) <= len(lengths)


def test_key_and_tempo():
    score = short_score()
    song = Synthesizer(FakeVoice())(score, key=2, tempo=2.0)
    assert len(song.wav) == round(score.duration_sec / 2 * song.sample_rate)
    report = measure_song(song.wav, song.sample_rate, change_tempo(transpose(score, 2), 2.0))
    assert report.median_cents < 30


def test_given_durations_and_f0_are_used_as_they_are():
    symbols, durations = ("SP", "k", "a", "s", "a", "SP"), (0.3, 0.08, 0.5, 0.11, 0.6, 0.3)
    phonemes = tuple(
        Phoneme(symbol, index, onset, sec)
        for symbol, index, onset, sec in zip(
            symbols, (0, 1, 1, 2, 2, 3), (1, 0, 1, 0, 1, 1), durations, strict=True
        )
    )
    notes = notes_of((0.38, None, None), (0.61, 60, "か"), (0.6, 62, "さ"), (0.3, None, None))
    times = np.arange(0, sum(durations), 0.005)
    f0 = np.where((times > 0.4) & (times < 1.5), 200 + 20 * times, 0).astype(np.float32)
    piece = Piece(0.5, notes, phonemes, {"f0": Curve(f0, 0.005)})
    song = Synthesizer(FakeVoice())(Score("given", "ja", (piece,)))

    starts = np.cumsum([0.5, *durations])[[1, 2, 3, 4]]
    np.testing.assert_allclose([p.start_sec for p in song.phonemes], starts, atol=0.51 / FPS)
    expected = np.interp(np.arange(len(song.f0)) / FPS - 0.5, times, f0)
    voiced = (expected > 205) & (song.f0 > 0)
    assert voiced.sum() > 0.9 * 1.1 * FPS
    np.testing.assert_allclose(song.f0[voiced], expected[voiced], rtol=0.003)
    assert (song.f0[expected == 0] == 0).mean() > 0.95


def test_a_given_curve_without_gaps_leaves_voicing_to_the_voice():
    notes = notes_of((0.5, None, None), (0.5, 60, "さ"), (0.5, None, None))
    curve = Curve(np.full(300, 250.0, np.float32), 0.005)
    song = Synthesizer(FakeVoice())(Score("x", "ja", (Piece(0.0, notes, None, {"f0": curve}),)))
    np.testing.assert_allclose(song.f0[song.f0 > 0], 250.0, rtol=1e-5)
    assert (song.f0 > 0).sum() == pytest.approx(0.5 * FPS, abs=1)


def test_a_voice_that_predicts_no_pitch_takes_the_given_one_as_it_is():
    notes = notes_of((0.5, None, None), (0.5, 60, "さ"), (0.5, None, None))
    curve = Curve(np.full(300, 250.0, np.float32), 0.005)
    voice = FakeVoice(requires=("f0",))
    song = Synthesizer(voice)(Score("x", "ja", (Piece(0.0, notes, None, {"f0": curve}),)))
    assert (song.f0 > 0).sum() == pytest.approx(1.5 * FPS, abs=1)


@pytest.mark.parametrize(
    "requires, message",
    [("f0", "short: .*no pitch.*give f0_seq"), ("durations", "no durations.*give ph_dur")],
)
def test_what_a_voice_cannot_predict_must_be_given(requires, message):
    with pytest.raises(InputError, match=message):
        Synthesizer(FakeVoice(requires=(requires,))).prepare(short_score())


def test_a_sung_score_sings_the_same_again(song_and_score):
    song, _ = song_and_score
    again = Synthesizer(FakeVoice())(song.score, seed=3)
    assert [p.label for p in again.phonemes] == [p.label for p in song.phonemes]
    np.testing.assert_allclose(
        [p.start_sec for p in again.phonemes],
        [p.start_sec for p in song.phonemes],
        atol=1.01 / FPS,
    )
    both = (again.f0 > 0) & (song.f0 > 0)
    assert both.sum() > 0.95 * (song.f0 > 0).sum()


def test_another_mel_is_sung_too():
    spec = MelSpec(
        sample_rate=44_100,
        hop=512,
        n_fft=2048,
        win=2048,
        n_mels=64,
        fmin=40.0,
        fmax=16_000.0,
        log_base="e",
        framing="reflect",
    )
    score = Score("a", "ja", (Piece(0.5, notes_of((0.8, 60, "ら"))),))
    song = Synthesizer(FakeVoice(spec))(score)
    assert len(song.wav) == round(1.3 * 44_100)
    assert 0 < np.abs(song.wav).max() < 1


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda s: dataclasses.replace(s, language="de"), "its language is 'de'"),
        (lambda s: dataclasses.replace(s, pieces=()), "no note in it"),
        (lambda s: dataclasses.replace(s, pieces=(Piece(0.0, (Note(1.0, None),)),)), "no note"),
    ],
)
def test_a_score_that_cannot_be_sung_is_one_sentence(change, message):
    with pytest.raises(InputError, match=message):
        Synthesizer(FakeVoice()).prepare(change(short_score()))


def test_an_unknown_speaker_is_named_with_those_there_are():
    with pytest.raises(InputError, match="no speaker 'three'; it has one, two"):
        Synthesizer(FakeVoice())(short_score(), speaker="three")


@pytest.mark.slow
def test_a_long_song():
    repeats = int(np.ceil(20 / short_score().duration_sec))
    score = short_score(repeats)
    voice = FakeVoice()
    song = Synthesizer(voice)(score)
    assert abs(song.duration_sec - score.duration_sec) < 0.1
    assert max(rows * frames for rows, frames, _ in voice.shapes) <= 2048
    assert measure_song(song.wav, song.sample_rate, score).passed


def test_a_voice_that_is_too_loud_is_kept_to_what_a_recording_can_be(monkeypatch):
    score = short_score()
    monkeypatch.setattr(FakeVoice, "sample_mel", lambda self, batch, *_: batch.mel + np.inf)
    song = Synthesizer(FakeVoice())(score)
    assert np.isfinite(song.wav).all() and song.mel.max() == pytest.approx(3.0)
    monkeypatch.setattr(FakeVoice, "sample_mel", lambda self, batch, *_: batch.mel * np.nan)
    with pytest.raises(InputError, match="the voice fake sings what is no number"):
        Synthesizer(FakeVoice())(score)
