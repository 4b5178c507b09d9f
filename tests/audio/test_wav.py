import numpy as np
import pytest
import soundfile

from diffsinger_jax.audio.wav import read_tags, read_wav, resample, write_wav
from diffsinger_jax.errors import InputError

RATE = 24_000
TONE = (0.5 * np.sin(2 * np.pi * 440.0 * np.arange(RATE // 4) / RATE)).astype(np.float32)
TAGS = {"title": "さくら", "artist": "a voice", "software": "diffsinger_jax", "comment": "seed 1"}


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("subtype, step", [("PCM_16", 2.0**-15), ("PCM_24", 2.0**-23)])
def test_round_trip_with_tags(tmp_path, suffix, subtype, step):
    path = tmp_path / f"song{suffix}"
    write_wav(path, TONE, RATE, subtype, TAGS)
    wav, rate = read_wav(path)
    assert rate == RATE and wav.dtype == np.float32
    np.testing.assert_allclose(wav, TONE, atol=step)
    tags = read_tags(path)
    assert tags.pop("software").startswith("diffsinger_jax")
    assert tags == {k: v for k, v in TAGS.items() if k != "software"}
    assert [p.name for p in tmp_path.iterdir()] == [path.name]  # no temporary file is left


def test_the_same_call_writes_the_same_bytes(tmp_path):
    for name in ("a.wav", "b.wav"):
        write_wav(tmp_path / name, TONE, RATE, tags=TAGS)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_too_loud_is_clipped_and_not_wrapped(tmp_path):
    write_wav(tmp_path / "a.wav", 4.0 * TONE, RATE)
    wav, _ = read_wav(tmp_path / "a.wav")
    np.testing.assert_allclose(wav, np.clip(4.0 * TONE, -1.0, 1.0), atol=1e-4)


def test_resampling_keeps_a_tone(tmp_path):
    write_wav(tmp_path / "a.wav", TONE, RATE)
    wav, rate = read_wav(tmp_path / "a.wav", 44_100)
    assert rate == 44_100 and len(wav) == len(TONE) * 44_100 // RATE
    expected = 0.5 * np.sin(2 * np.pi * 440.0 * np.arange(len(wav)) / rate)
    np.testing.assert_allclose(wav[500:-500], expected[500:-500], atol=2e-3)
    np.testing.assert_array_equal(resample(TONE, RATE, RATE), TONE)


def test_what_cannot_be_read_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="there is no such sound file"):
        read_wav(tmp_path / "none.wav")
    write_wav(tmp_path / "good.wav", TONE, RATE)
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFX" + (tmp_path / "good.wav").read_bytes()[9:])
    with pytest.raises(InputError, match="not a readable sound file"):
        read_wav(broken)
    (tmp_path / "empty.flac").write_bytes(b"")
    with pytest.raises(InputError, match="not a readable sound file"):
        read_wav(tmp_path / "empty.flac")


def test_stereo_is_refused_unless_told(tmp_path):
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([TONE, -TONE], axis=1), RATE)
    with pytest.raises(InputError, match="2 channels"):
        read_wav(path)
    wav, _ = read_wav(path, downmix=True)
    np.testing.assert_allclose(wav, 0.0, atol=1e-4)


def test_what_cannot_be_written_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        write_wav(tmp_path / "missing" / "a.wav", TONE, RATE)
    (tmp_path / "taken.wav").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_wav(tmp_path / "taken.wav", TONE, RATE)
    with pytest.raises(InputError, match="name it .wav or .flac"):
        write_wav(tmp_path / "a.mp3", TONE, RATE)
    with pytest.raises(InputError, match="no subtype"):
        write_wav(tmp_path / "a.flac", TONE, RATE, "FLOAT")
    with pytest.raises(ValueError, match="NaN"):
        write_wav(tmp_path / "a.wav", np.full(8, np.nan), RATE)
    assert [p.name for p in tmp_path.iterdir()] == ["taken.wav"]
