import numpy as np
import pytest

from diffsinger_jax.audio.f0 import F0_EXTRACTORS, extract_f0
from diffsinger_jax.audio.mel import frame_count, frame_offset
from diffsinger_jax.types import MEL_SPECS


def sawtooth(f0_hz, rate):
    """A band-limited tone of 20 harmonics with f0 per sample."""
    phase = 2 * np.pi * np.cumsum(f0_hz) / rate
    return (0.1 * sum(np.sin(h * phase) / h for h in range(1, 21))).astype(np.float32)


@pytest.mark.parametrize("method", F0_EXTRACTORS)
def test_a4_is_a4(method):
    spec = MEL_SPECS["24k_hop256"]
    wav = sawtooth(np.full(spec.sample_rate // 2, 440.0), spec.sample_rate)
    f0 = extract_f0(wav, spec, method, f0_floor=110.0)
    assert f0.shape == (frame_count(len(wav), spec),) and f0.dtype == np.float32
    middle = f0[10:-10]
    cents = 1200 * np.log2(middle / 440.0)
    assert np.median(np.abs(cents)) < (6.0 if method == "pyin" else 1.0)


@pytest.mark.parametrize("name", ["24k_hop128", "44k_hop512"])
def test_a_glide_is_followed_on_the_frames_of_the_mel(name):
    spec = MEL_SPECS[name]
    samples = np.arange(spec.sample_rate)
    glide = 220.0 * 2.0 ** (samples / spec.sample_rate)  # an octave in a second
    f0 = extract_f0(sawtooth(glide, spec.sample_rate), spec)
    centers = np.arange(len(f0)) * spec.hop + frame_offset(spec)
    middle = slice(len(f0) // 5, -len(f0) // 5)
    cents = 1200 * np.log2(f0[middle] / np.interp(centers, samples, glide)[middle])
    assert abs(np.median(cents)) < 2.0  # half a frame of 44k_hop512 would be 7 cents
    assert np.max(np.abs(cents)) < 6.0


@pytest.mark.parametrize("name", MEL_SPECS)
def test_lengths_and_silence(name):
    spec = MEL_SPECS[name]
    noise = 0.1 * np.random.default_rng(0).normal(size=4 * spec.hop).astype(np.float32)
    for length in (0, 1, spec.hop - 1, spec.hop, 4 * spec.hop):
        assert len(extract_f0(noise[:length], spec, "dio")) == frame_count(length, spec)
    silence = extract_f0(np.zeros(8 * spec.hop, np.float32), spec)
    np.testing.assert_array_equal(silence, np.zeros(frame_count(8 * spec.hop, spec)))


def test_unknown_method_names_the_known_ones():
    with pytest.raises(ValueError, match="harvest, dio, pyin"):
        extract_f0(np.zeros(1000, np.float32), MEL_SPECS["24k_hop128"], "crepe")
