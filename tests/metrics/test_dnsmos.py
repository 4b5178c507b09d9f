from pathlib import Path

import numpy as np
import pytest

from diffsinger_jax.audio.wav import read_wav, resample
from diffsinger_jax.errors import InputError
from diffsinger_jax.metrics import dnsmos

SONG = "data/pjs_mini/pjs026/pjs026_song.flac"
needs_network = pytest.mark.skipif(
    not dnsmos.installed(), reason="needs pip install onnxruntime speechmos"
)


@pytest.fixture(scope="module")
def sung():
    wav, _ = read_wav(SONG, dnsmos.SAMPLE_RATE)
    return wav[: 5 * dnsmos.SAMPLE_RATE]


@needs_network
def test_it_hears_noise(sung):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=len(sung)).astype(np.float32) * np.std(sung)
    opinions = [
        dnsmos.dnsmos(sung + size * noise, dnsmos.SAMPLE_RATE).ovrl for size in (0, 0.03, 0.3)
    ]
    assert 5 > opinions[0] > opinions[1] > opinions[2] > 1


@needs_network
def test_it_is_what_its_authors_program_says(sung):
    program = pytest.importorskip("speechmos.dnsmos", exc_type=ImportError)
    tiled = np.resize(sung, dnsmos.TILED_SAMPLES)
    folder = Path(program.__file__).with_name("dnsmos_models")
    theirs = program.DNSMOS(str(folder / "sig_bak_ovr.onnx"), str(folder / "model_v8.onnx"))
    theirs.audio_melspec = lambda audio: np.zeros((900, 120))  # of a score that is not used
    expected = theirs(tiled, dnsmos.SAMPLE_RATE, False)
    ours = dnsmos.dnsmos(sung, dnsmos.SAMPLE_RATE)
    assert ours.ovrl == pytest.approx(expected["ovrl_mos"], abs=1e-3)
    assert ours.sig == pytest.approx(expected["sig_mos"], abs=1e-3)
    assert ours.bak == pytest.approx(expected["bak_mos"], abs=1e-3)


@needs_network
def test_the_sample_rate_matters_little(sung):
    there = resample(sung, dnsmos.SAMPLE_RATE, 24_000)
    back = dnsmos.dnsmos(there, 24_000).ovrl
    assert back == pytest.approx(dnsmos.dnsmos(sung, dnsmos.SAMPLE_RATE).ovrl, abs=0.1)


def test_what_cannot_be_heard_is_one_sentence(monkeypatch):
    with pytest.raises(InputError, match="no length"):
        dnsmos.dnsmos(np.zeros(0, np.float32), 16_000)
    dnsmos._session.cache_clear()
    monkeypatch.setattr(dnsmos, "installed", lambda: False)
    with pytest.raises(InputError, match="pip install onnxruntime speechmos"):
        dnsmos.dnsmos(np.zeros(100, np.float32), 16_000)
