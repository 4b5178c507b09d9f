"""The pieces of a corpus are found again in the songs that they were cut from."""

import numpy as np
import pytest

from diffsinger_jax.audio.mel import log_mel
from diffsinger_jax.audio.wav import write_wav
from diffsinger_jax.errors import InputError
from diffsinger_jax.evaluation.recordings import piece_recordings
from diffsinger_jax.types import MelSpec

SPEC = MelSpec(sample_rate=16_000, hop=160, n_fft=512, win=512, n_mels=40, fmax=8_000.0)


@pytest.fixture
def song(tmp_path):
    """A second of silence, then two different seconds of noise, in a folder below."""
    rng = np.random.default_rng(0)
    wav = np.concatenate([np.zeros(16_000), rng.uniform(-0.5, 0.5, 32_000)]).astype(np.float32)
    (tmp_path / "one").mkdir()
    write_wav(tmp_path / "one" / "one_song.wav", wav, SPEC.sample_rate)
    return wav


def piece(song, first, frames, name="one#1"):
    return {"name": name, "mel": log_mel(song, SPEC)[first : first + frames]}


def test_a_piece_is_the_sound_of_its_frames(song, tmp_path):
    pieces = [piece(song, 50, 120), piece(song, 150, 100, "one#2")]
    found = piece_recordings(tmp_path, pieces, SPEC)
    for wav, first, frames in zip(found, (50, 150), (120, 100), strict=True):
        expected = song[first * SPEC.hop : (first + frames) * SPEC.hop]
        np.testing.assert_allclose(wav, expected, atol=1e-4)


def test_a_piece_that_ends_with_the_song_is_as_long_as_its_frames(song, tmp_path):
    (wav,) = piece_recordings(tmp_path, [piece(song, 250, 51)], SPEC)
    assert len(wav) == 51 * SPEC.hop and not wav[-SPEC.hop :].any()


def test_what_is_not_there_is_one_sentence(song, tmp_path):
    with pytest.raises(InputError, match=r"no recording of two .* two\.wav or \.flac"):
        piece_recordings(tmp_path, [piece(song, 50, 20, "two#1")], SPEC)
    other = piece(song, 150, 100)
    other["mel"] = other["mel"][::-1]
    with pytest.raises(InputError, match="the piece one#1 is not in the recording"):
        piece_recordings(tmp_path, [other], SPEC)
