import dataclasses
import sys
from pathlib import Path

import librosa
import numpy as np
import pytest

from diffsinger_jax.audio.mel import (
    compile_librosa,
    frame_count,
    frame_offset,
    log_mel,
    mel_centres,
    mel_filterbank,
)
from diffsinger_jax.types import MEL_SPECS

GOLDEN = np.load(Path(__file__).with_name("golden_mel.npz"))
CASES = {
    "popcs": ("24k_hop128", 1e-10),
    "opencpop": ("24k_hop128", 1e-6),
    "ljspeech": ("22k_hop256", 1e-10),
    "openvpi_44k": ("44k_hop512", 1e-5),
}


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_golden(case):
    name, floor = CASES[case]
    spec = dataclasses.replace(MEL_SPECS[name], log_floor=floor)
    expected = GOLDEN[f"{case}_mel"]
    mel = log_mel(GOLDEN[f"{case}_wav"], spec)[: len(expected)]
    assert mel.dtype == np.float32
    np.testing.assert_allclose(mel, expected, atol=1e-4)


@pytest.mark.parametrize("scale", ("slaney", "htk"))
@pytest.mark.parametrize("name", MEL_SPECS)
def test_filterbank_and_centres_are_librosas(name, scale):
    spec = dataclasses.replace(MEL_SPECS[name], mel_scale=scale)
    band = dict(fmin=spec.fmin, fmax=spec.fmax, htk=scale == "htk")
    np.testing.assert_array_equal(
        mel_centres(spec), librosa.mel_frequencies(spec.n_mels + 2, **band)[1:-1]
    )
    np.testing.assert_array_equal(
        mel_filterbank(spec),
        librosa.filters.mel(sr=spec.sample_rate, n_fft=spec.n_fft, n_mels=spec.n_mels, **band),
    )


@pytest.mark.parametrize("name", MEL_SPECS)
def test_frame_count_is_the_length_of_log_mel(name):
    spec = MEL_SPECS[name]
    noise = np.random.default_rng(0).normal(size=5 * spec.hop).astype(np.float32)
    for length in (0, 1, spec.hop - 1, spec.hop, spec.hop + 1, 5 * spec.hop):
        mel = log_mel(noise[:length], spec)
        assert mel.shape == (frame_count(length, spec), spec.n_mels)
        assert np.all(np.isfinite(mel))


@pytest.mark.parametrize("name", MEL_SPECS)
def test_frames_are_centred_where_frame_offset_says(name):
    spec = MEL_SPECS[name]
    click = np.zeros(21 * spec.hop, np.float32)
    click[10 * spec.hop + frame_offset(spec)] = 1.0
    assert np.argmax(log_mel(click, spec).mean(axis=1)) == 10


def test_silence_is_the_floor():
    spec = MEL_SPECS["24k_hop128"]
    mel = log_mel(np.zeros(10 * spec.hop, np.float32), spec)
    np.testing.assert_allclose(mel, np.log10(spec.log_floor), rtol=1e-6)


@pytest.mark.parametrize("name", MEL_SPECS)
def test_every_band_has_a_bin(name):
    spec = MEL_SPECS[name]
    filterbank = mel_filterbank(spec)
    assert filterbank.shape == (spec.n_mels, 1 + spec.n_fft // 2)
    assert np.all(filterbank.sum(axis=1) > 0)


def test_several_channels_are_refused():
    with pytest.raises(ValueError, match="one channel"):
        log_mel(np.zeros((2, 1000), np.float32), MEL_SPECS["24k_hop128"])


def test_all_that_librosa_compiles_is_compiled_before_processes_start():
    compile_librosa()
    package = Path(librosa.__file__).parent
    for file in package.rglob("*.py"):
        module = ".".join(["librosa", *file.relative_to(package).with_suffix("").parts])
        unused = module == "librosa.beat"  # nothing of ours finds beats
        assert "guvectorize(" not in file.read_text() or module in sys.modules or unused
