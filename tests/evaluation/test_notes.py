from pathlib import Path

import numpy as np
import pytest

from diffsinger_jax.audio.wav import write_wav
from diffsinger_jax.cli import check_song
from diffsinger_jax.errors import InputError
from diffsinger_jax.evaluation.notes import measure_song, merged_rests, timeline
from diffsinger_jax.score.reader import read_score
from diffsinger_jax.score.transform import change_tempo, transpose
from diffsinger_jax.types import Note, Piece, Score

RATE = 16_000
SAKURA = Path(__file__).parents[2] / "data" / "songs" / "sakura.musicxml"
SCORE = Score(
    "scale",
    "",
    (
        Piece(0.5, (Note(0.5, 60), Note(0.4, 62.5), Note(0.1, 80), Note(0.3, None))),
        Piece(2.3, (Note(0.6, 64, where="measure 2, note 1"),)),
    ),
)


def sing(score, detune_cents=()):
    """A buzz on every note, silence elsewhere."""
    wav = np.zeros(round(score.duration_sec * RATE), np.float32)
    sung = [n for n in timeline(score) if n.midi is not None]
    for i, note in enumerate(sung):
        cents = detune_cents[i] if i < len(detune_cents) else 0
        f0 = 440 * 2 ** ((note.midi - 69) / 12 + cents / 1200)
        first, last = round(note.start_sec * RATE), round(note.end_sec * RATE)
        t = np.arange(last - first) / RATE
        wav[first:last] = sum(0.2 / h * np.sin(2 * np.pi * f0 * h * t) for h in range(1, 8))
    return wav


def test_timeline_has_no_holes():
    line = timeline(SCORE)
    assert [n.midi for n in line] == [None, 60, 62.5, 80, None, None, 64]
    ends = [0.0] + [n.end_sec for n in line]
    assert [n.start_sec for n in line] == pytest.approx(ends[:-1])
    assert [(n.start_sec, n.end_sec) for n in merged_rests(line)] == [
        (0, 0.5),
        pytest.approx((1.5, 2.3)),
    ]


def test_a_song_in_tune_passes():
    report = measure_song(sing(SCORE), RATE, SCORE)
    assert report.passed, str(report)
    assert report.notes == 3 and report.median_cents < 5
    assert report.notes_within_100_cents == 1 and report.loudest_rest_db < -100


def test_out_of_tune_silent_and_noisy_fail():
    report = measure_song(sing(SCORE, [0, 0, 0, 150]), RATE, SCORE)
    assert report.notes_within_100_cents == pytest.approx(2 / 3)
    assert "measure 2, note 1" in report.worst[0] and "150 cents" in report.worst[0]
    assert measure_song(sing(SCORE, [50] * 4), RATE, SCORE).median_cents == pytest.approx(50, abs=3)

    silent = measure_song(np.zeros(RATE, np.float32), RATE, SCORE)
    assert silent.notes_within_100_cents == 0 and silent.unvoiced_frames == 1
    assert silent.length_difference_sec == pytest.approx(1 - 2.9) and not silent.passed

    noisy = sing(SCORE)
    noisy[round(1.8 * RATE) : round(1.9 * RATE)] += 0.01
    failed = [c for c, (_, good) in measure_song(noisy, RATE, SCORE).checks().items() if not good]
    assert failed == ["rests 40 dB below the notes"]


def test_clipping_and_nan_fail():
    wav = sing(SCORE)
    wav[9_000:9_003] = 1.0
    assert measure_song(wav, RATE, SCORE).clipped_samples == 3
    wav[9_001] = np.nan
    report = measure_song(wav, RATE, SCORE)
    assert not report.finite and not report.passed and "FAIL  no NaN" in str(report)


def test_a_score_of_rests_cannot_be_measured():
    with pytest.raises(InputError, match="no note longer"):
        measure_song(np.zeros(100, np.float32), RATE, Score("", "", (Piece(0, (Note(1, None),)),)))


def test_the_command_measures_a_shipped_song(tmp_path, capsys):
    score = change_tempo(transpose(read_score(SAKURA), 2), 2.0)
    wav = tmp_path / "sakura.wav"
    write_wav(wav, sing(score), RATE)
    assert check_song.main([str(wav), str(SAKURA), "--key", "2", "--tempo", "2"]) == 0
    assert "FAIL" not in capsys.readouterr().out
    write_wav(wav, np.zeros(RATE, np.float32), RATE)
    assert check_song.main([str(wav), str(SAKURA)]) == 1
    assert "FAIL  length within 0.1 s of the score" in capsys.readouterr().out
