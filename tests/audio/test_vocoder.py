import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffsinger_jax.audio.f0 import extract_f0
from diffsinger_jax.audio.mel import frame_count, log_mel
from diffsinger_jax.audio.vocoder import (
    _as_phase,
    harmonic_plus_noise,
    harmonic_plus_noise_chunk,
    reach_frames,
    start_phases,
)
from diffsinger_jax.types import MEL_SPECS

SPEC = MEL_SPECS["24k_hop256"]
FLOOR = np.log10(SPEC.log_floor)


@functools.partial(jax.jit, static_argnums=2)
def vocoder(mel, f0, spec, mask=None):
    return harmonic_plus_noise(mel, f0, spec, key=jax.random.key(0), mask=mask)


def sung(f0_hz, spec=SPEC, seed=0):
    """A buzz of falling harmonics with a little noise; f0 per sample, 0 for noise alone."""
    f0_hz = np.asarray(f0_hz, np.float64)
    phase = 2 * np.pi * np.cumsum(f0_hz) / spec.sample_rate
    buzz = sum(
        np.sin(h * phase) / h * (h * f0_hz < spec.sample_rate / 2) * (f0_hz > 0)
        for h in range(1, 60)
    )
    noise = np.random.default_rng(seed).normal(size=len(f0_hz))
    return (0.05 * buzz + (0.0002 + 0.01 * (f0_hz == 0)) * noise).astype(np.float32)


def frames_of(f0_hz, spec=SPEC):
    return np.asarray(f0_hz, np.float32)[:: spec.hop][: len(f0_hz) // spec.hop]


@pytest.mark.parametrize("name", MEL_SPECS)
def test_a4_comes_back_as_a4_and_at_its_level(name):
    spec = MEL_SPECS[name]
    f0_hz = np.full(spec.sample_rate // 2, 440.0)
    mel = log_mel(sung(f0_hz, spec), spec)
    wav = np.asarray(vocoder(mel[None], np.full((1, len(mel)), 440.0, np.float32), spec))[0]
    assert wav.shape == (len(mel) * spec.hop,) and np.max(np.abs(wav)) < 1.0
    f0 = extract_f0(wav, spec)[5:-5]
    assert np.mean(f0 > 0) > 0.98
    assert np.median(np.abs(1200 * np.log2(f0[f0 > 0] / 440.0))) < 3.0
    again = log_mel(wav, spec)[: len(mel)]
    loud = mel[8:-8] > np.max(mel) - (2.0 if spec.log_base == "10" else 4.6)  # within 40 dB
    scale = 20.0 if spec.log_base == "10" else 8.69
    assert np.mean(np.abs(again - mel)[8:-8][loud]) * scale < 1.0  # dB


def test_a_glide_is_followed():
    samples = np.arange(SPEC.sample_rate)
    f0_hz = 200.0 * 2.0 ** (samples / SPEC.sample_rate)
    mel, f0 = log_mel(sung(f0_hz), SPEC)[:93], frames_of(f0_hz)
    again = extract_f0(np.asarray(vocoder(mel[None], f0[None], SPEC))[0], SPEC)[:93]
    assert np.median(np.abs(1200 * np.log2(again[5:-5] / f0[5:-5]))) < 3.0


def test_noise_stays_noise_and_voicing_changes_do_not_click():
    f0_hz = np.repeat([0.0, 220.0, 0.0, 330.0], SPEC.sample_rate // 4)
    wav = sung(f0_hz)
    mel, f0 = log_mel(wav, SPEC)[:93], frames_of(f0_hz)
    again = np.asarray(vocoder(mel[None], f0[None], SPEC))[0]
    # A click is a jump far beyond those of the harmonics themselves.
    assert np.max(np.abs(np.diff(again))) < 1.5 * np.max(np.abs(np.diff(wav)))
    # Harvest hears some pitch in noise; it shall hear no more of it than in the original.
    wrong, wrong_again = (
        np.mean((extract_f0(sound, SPEC)[:93] > 0) != (f0 > 0)) for sound in (wav, again)
    )
    assert wrong_again <= wrong + 0.05


def test_silence_is_silence():
    mel = np.full((1, 40, SPEC.n_mels), FLOOR, np.float32)
    wav = vocoder(mel, np.full((1, 40), 220.0, np.float32), SPEC)
    np.testing.assert_array_equal(wav, np.zeros((1, 40 * SPEC.hop)))


def test_neither_padding_nor_neighbours_change_a_row():
    f0_hz = np.repeat([220.0, 0.0, 330.0], SPEC.sample_rate // 8)
    mel, f0 = log_mel(sung(f0_hz), SPEC)[:35], frames_of(f0_hz)[:35]
    alone = np.asarray(vocoder(mel[None], f0[None], SPEC))[0]
    mels = np.full((3, 60, SPEC.n_mels), FLOOR, np.float32)
    f0s = np.zeros((3, 60), np.float32)
    mels[0], f0s[0] = -2.0, 100.0
    mels[1, :35], f0s[1, :35] = mel, f0
    together = np.asarray(vocoder(mels, f0s, SPEC))[1]
    np.testing.assert_allclose(together[: len(alone)], alone, atol=1e-5)
    np.testing.assert_allclose(together[len(alone) + SPEC.n_fft :], 0.0, atol=1e-6)

    # A mask says the same of whatever stands in the padding.
    mels[1, 35:], f0s[1, 35:] = 0.0, 50.0
    mask = np.ones((3, 60), bool)
    mask[1, 35:] = False
    masked = vocoder(mels, f0s, SPEC, mask)[1]
    np.testing.assert_allclose(masked, together, atol=1e-5)


def test_chunks_in_a_row_are_the_whole():
    f0_hz = np.repeat([220.0, 0.0, 330.0], SPEC.sample_rate // 4)
    mel, f0 = log_mel(sung(f0_hz), SPEC)[:64], frames_of(f0_hz)[:64]
    whole = np.asarray(vocoder(mel[None], f0[None], SPEC))[0]
    reach = reach_frames(SPEC)
    frames = 64 - 2 * reach  # of one chunk, in the shape that the program for the whole has too
    assert frames > 0
    mel = np.pad(mel, ((reach, reach + frames), (0, 0)), constant_values=-np.inf)
    f0 = np.pad(f0, (reach, reach + frames))
    phase = start_phases(jnp.asarray(f0), SPEC)
    chunk = jax.jit(functools.partial(harmonic_plus_noise_chunk, spec=SPEC, key=jax.random.key(0)))
    wavs = [
        chunk(*(x[first : first + 64] for x in (mel, f0, phase)), first_frame=first)
        for first in range(0, 64, frames)
    ]
    np.testing.assert_allclose(np.concatenate(wavs)[: len(whole)], whole, atol=1e-5)


def test_phases_are_exact_after_minutes():
    frames = 30_000  # more than five minutes
    phase = start_phases(jnp.full(frames, 439.7), SPEC)
    step = int(_as_phase(jnp.float32(439.7) * (SPEC.hop / SPEC.sample_rate)))
    expected = (step * np.arange(frames, dtype=np.uint64)) % 2**32
    np.testing.assert_array_equal(phase, expected.astype(np.uint32))


@pytest.mark.parametrize("name", MEL_SPECS)
def test_sound_covers_the_frames_that_made_it(name):
    spec = MEL_SPECS[name]
    mel = np.zeros((2, 7, spec.n_mels), np.float32)
    shape = jax.eval_shape(vocoder, mel, np.zeros((2, 7), np.float32), spec).shape
    assert shape == (2, 7 * spec.hop)
    assert frame_count(shape[1], spec) >= 7
