"""What is written as it comes is the file that is written whole."""

import io

import numpy as np
import pytest
import soundfile

from diffsinger_jax.audio.wav import read_tags, write_wav
from diffsinger_jax.audio.wav_stream import WavStream


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
@pytest.mark.parametrize("samples", [1000, 1001])
def test_the_same_samples_as_a_file_written_whole(subtype, samples, tmp_path):
    wav = np.random.default_rng(0).uniform(-1.01, 1.01, samples).astype(np.float32)
    tags = {"title": "うた", "artist": "one", "comment": "synthetic"}
    path, whole = tmp_path / "streamed.wav", tmp_path / "whole.wav"
    with open(path, "wb") as file:
        stream = WavStream(file, samples, 24_000, subtype, tags)
        for first in range(0, samples, 300):
            stream.write(wav[first : first + 300])
    write_wav(whole, wav, 24_000, subtype)
    streamed, rate = soundfile.read(path, dtype="int32")
    assert rate == 24_000 and soundfile.info(path).subtype == subtype
    assert path.stat().st_size % 2 == 0
    expected = soundfile.read(whole, dtype="int32")[0]
    np.testing.assert_array_equal(streamed, expected)
    assert read_tags(path) == tags


def test_more_than_was_said_is_refused():
    stream = WavStream(io.BytesIO(), 10, 24_000)
    stream.write(np.zeros(6, np.float32))
    with pytest.raises(ValueError, match="6 samples come where 4 are left"):
        stream.write(np.zeros(6, np.float32))
