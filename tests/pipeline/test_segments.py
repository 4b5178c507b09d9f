"""Cuts for a vocoder: aligned, true to their f0, the same on every resumed run."""

import itertools

import numpy as np
import pytest

from diffsinger_jax.audio.mel import frame_count, log_mel
from diffsinger_jax.pipeline.segments import Recording, cut, segment_batches
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


def test_a_resumed_run_sees_the_same_batches():
    recordings = [tone(SPEC), tone(SPEC, 0.5)]

    def batches(start):
        return segment_batches(
            recordings, SPEC, rows=3, frames=8, most_semitones=3.0, seed=1, start_step=start
        )

    whole, resumed = list(itertools.islice(batches(0), 3)), next(batches(2))
    for a, b in zip(whole[2], resumed, strict=True):
        np.testing.assert_array_equal(a, b)
    assert whole[0].wav.shape == (3, 8 * 64) and whole[0].mel.shape == (3, 8, 20)
    assert np.abs(whole[0].wav - whole[1].wav).max() > 0
