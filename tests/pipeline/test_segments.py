"""Cuts for a vocoder: aligned, true to their f0, the same on every resumed run."""

import itertools

import numpy as np
import pytest

from diffsinger_jax.audio.mel import frame_count, log_mel
from diffsinger_jax.pipeline.segments import Recording, cut, draw_cut, segment_batches
from diffsinger_jax.types import MelSpec

SPEC = MelSpec(sample_rate=8000, hop=64, n_fft=256, win=256, n_mels=20, fmax=4000.0)
REFLECT = MelSpec(
    sample_rate=8000, hop=64, n_fft=256, win=256, n_mels=20, fmax=4000.0, framing="reflect"
)


def tone(spec, seconds=2.0):
    """Three harmonics of a falling tone, silent and unvoiced in the middle."""
    rate = spec.sample_rate
    t = np.arange(int(seconds * rate)) / rate
    hz = 300.0 - 40 * t
    phase = 2 * np.pi * np.cumsum(hz) / rate
    wav = sum(np.sin(k * phase) / k for k in (1, 2, 3)) * 0.2
    silent = np.abs(t - seconds / 2) < 0.1
    frames = frame_count(len(t), spec)
    at = np.minimum(np.arange(frames) * spec.hop, len(t) - 1)
    f0 = np.where(silent[at], 0, hz[at]).astype("f4")
    return Recording(np.where(silent, 0, wav).astype("f4"), f0)


@pytest.mark.parametrize("spec", [SPEC, REFLECT], ids=["centered", "reflect"])
def test_a_plain_cut_is_a_slice_of_everything(spec):
    recording = tone(spec)
    one = cut(recording, spec, 40, 16)
    np.testing.assert_array_equal(one.wav, recording.wav[40 * 64 : 56 * 64])
    np.testing.assert_array_equal(one.f0, recording.f0[40:56])
    whole = log_mel(recording.wav, spec)
    np.testing.assert_allclose(one.mel, whole[40:56], atol=1e-4)


@pytest.mark.parametrize("semitones", [-4.0, 5.0])
def test_a_shifted_cut_has_the_pitch_that_it_says(semitones):
    one = cut(tone(SPEC), SPEC, 10, 60, semitones=semitones)
    assert one.wav.shape == (60 * 64,) and one.mel.shape == (60, 20) and one.f0.shape == (60,)
    middle = one.f0[30] * 2 ** (0 / 12)
    window = np.hanning(2048) * one.wav[30 * 64 - 1024 : 30 * 64 + 1024]
    spectrum = np.abs(np.fft.rfft(window, 16384))
    heard = np.argmax(spectrum) * 8000 / 16384
    assert abs(1200 * np.log2(heard / middle)) < 25
    np.testing.assert_allclose(one.mel[5:-5], log_mel(one.wav, SPEC)[:60][5:-5], atol=1e-3)


def test_beyond_the_ends_is_silence():
    recording = Recording(np.ones(640, "f4"), np.full(11, 100, "f4"))
    one = cut(recording, SPEC, 0, 20)
    assert one.wav[:640].all() and not one.wav[640:].any() and one.mel.shape == (20, 20)


def batches(start=0, **part):
    recordings = [tone(SPEC), tone(SPEC, 0.5)]
    lengths = np.array([len(one.f0) for one in recordings])
    how = dict(rows=4, frames=8, most_semitones=3.0, seed=1)
    return segment_batches(recordings, lengths, SPEC, **how, start_step=start, **part)


def test_a_resumed_run_sees_the_same_batches():
    whole, resumed = list(itertools.islice(batches(), 3)), next(batches(2, read_threads=1))
    for a, b in zip(whole[2], resumed, strict=True):
        np.testing.assert_array_equal(a, b)
    assert whole[0].wav.shape == (4, 8 * 64) and whole[0].mel.shape == (4, 8, 20)
    assert np.abs(whole[0].wav - whole[1].wav).max() > 0


def test_hosts_together_read_the_batch_of_one():
    whole = next(batches())
    parts = [next(batches(host_index=host, host_count=2)) for host in range(2)]
    for together, *rows in zip(whole, *parts, strict=True):
        np.testing.assert_array_equal(np.concatenate(rows), together)


def test_long_recordings_are_taken_often_and_everywhere():
    lengths = np.array([300, 0, 100, 5])
    drawn = [draw_cut(lengths, 20, 0.0, seed=0, step=step, row=0) for step in range(4000)]
    taken = np.bincount([one.recording for one in drawn], minlength=4) / len(drawn)
    np.testing.assert_allclose(taken, lengths / lengths.sum(), atol=0.03)
    starts = [one.start_frame for one in drawn if one.recording == 0]
    assert min(starts) == 0 and max(starts) == 280
    # What is shifted up needs more of the recording.
    shifted = [draw_cut(lengths, 20, 12.0, seed=0, step=step, row=0) for step in range(400)]
    assert all(0 <= x.start_frame <= max(lengths[x.recording] - 20 * 0.5, 0) for x in shifted)
    ends = [x.start_frame + 20 * 2 ** (x.semitones / 12) for x in shifted if x.recording == 0]
    assert max(ends) <= 300 and 0.4 < np.mean([x.semitones == 0 for x in shifted]) < 0.6
