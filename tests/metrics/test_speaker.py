from pathlib import Path

import numpy as np
import pytest

from diffsinger_jax.audio.wav import read_wav
from diffsinger_jax.errors import InputError
from diffsinger_jax.metrics import speaker

SONG = "data/pjs_mini/pjs026/pjs026_song.flac"
GOLDEN = Path(__file__).with_name("golden_speaker.npz")
needs_weights = pytest.mark.skipif(
    not speaker.installed(), reason="needs pip install --no-deps resemblyzer"
)


@pytest.fixture(scope="module")
def sung():
    wav, _ = read_wav(SONG, speaker.SAMPLE_RATE)
    return wav[: 7 * speaker.SAMPLE_RATE]


@needs_weights
def test_it_is_the_embedding_of_the_reference(sung):
    """The golden one was made by Resemblyzer 0.1.4 with PyTorch 2.13, without its trimming."""
    embedding = speaker.speaker_embedding(sung, speaker.SAMPLE_RATE)
    golden = np.load(GOLDEN)["embedding"]
    assert np.linalg.norm(embedding) == pytest.approx(1.0) and embedding.min() >= 0
    np.testing.assert_allclose(embedding, golden, atol=1e-4)


@needs_weights
def test_the_same_singer_is_nearer_than_a_voice_an_octave_up(sung):
    embedding = speaker.speaker_embedding(sung, speaker.SAMPLE_RATE)
    wav, _ = read_wav(SONG.replace("026", "055"), speaker.SAMPLE_RATE)
    other_song = speaker.speaker_embedding(wav, speaker.SAMPLE_RATE)
    faster = speaker.speaker_embedding(sung[::2], speaker.SAMPLE_RATE)
    same, higher = (speaker.speaker_cosine(embedding, e) for e in (other_song, faster))
    assert speaker.speaker_cosine(embedding, embedding) == pytest.approx(1.0)
    assert same > 0.8 and same > higher + 0.1


@needs_weights
def test_loudness_says_little_of_who_sings(sung):
    embeddings = [speaker.speaker_embedding(g * sung, speaker.SAMPLE_RATE) for g in (0.01, 0.05)]
    assert speaker.speaker_cosine(*embeddings) == pytest.approx(1.0, abs=1e-4)


def test_what_cannot_be_heard_is_one_sentence(monkeypatch):
    with pytest.raises(InputError, match="no length"):
        speaker.speaker_embedding(np.zeros(0, np.float32), 16_000)
    speaker._encoder.cache_clear()
    monkeypatch.setattr(speaker, "installed", lambda: False)
    with pytest.raises(InputError, match="--no-deps"):
        speaker.speaker_embedding(np.zeros(100, np.float32), 16_000)
