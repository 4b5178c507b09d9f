"""Texts through a voice without weights: durations, prosody, pauses, and streams."""

import dataclasses
import io

import numpy as np
import pytest
import soundfile
from fake_voice import SPEC, FakeVoice

from diffsinger_jax.audio.wav_stream import WavStream
from diffsinger_jax.errors import InputError
from diffsinger_jax.synthesis.speaking import Speaker
from diffsinger_jax.synthesis.synthesizer import Synthesizer
from diffsinger_jax.text.markup import Prosody
from diffsinger_jax.types import SILENCE


class SpeakingVoice(FakeVoice):
    """Each phoneme lasts 5 frames, at 200 Hz."""

    def predict_f0(self, batch):
        return np.where(batch.mask, 200.0, 0.0).astype(np.float32)


class LoudVoice(SpeakingVoice):
    """Its energy is -30 dB, and its mel what it is told."""

    def predict_curves(self, batch):
        return {"energy": np.where(batch.mask, -30.0, 0.0).astype(np.float32)}

    def sample_mel(self, batch, keys, sampling=None):
        self.told = np.asarray(batch.curves["energy"])[np.asarray(batch.mask)]
        return super().sample_mel(batch, keys, sampling)


@pytest.fixture(scope="module")
def speaker():
    return Speaker(Synthesizer(SpeakingVoice(speaks=True)), lambda word: ("k", "a"))


def prepared(speaker, text, **how):
    return [speaker.prepare(sentence, **how) for sentence in speaker.sentences([text])]


def frames(utterance):
    phonemes = utterance.score.pieces[0].phonemes
    return [(p.symbol, round(SPEC.frames(p.duration_sec))) for p in phonemes]


def test_a_sentence_becomes_a_piece_without_notes(speaker):
    (utterance,) = prepared(speaker, "One, {t o}.")
    piece = utterance.score.pieces[0]
    pause = lambda sec: round(sec * 93.75)  # noqa: E731
    assert frames(utterance) == [
        ("k", 5), ("a", 5), (SILENCE, pause(0.15)), ("t", 5), ("o", 5), (SILENCE, pause(0.35)),
    ]  # fmt: skip
    assert [p.onset for p in piece.phonemes] == [True, False, True, True, False, True]
    assert all(note.midi is None for note in piece.notes) and len(piece.notes) == 4
    assert piece.duration_sec == pytest.approx(sum(p.duration_sec for p in piece.phonemes))
    assert not piece.curves


def test_rate_breaks_pitch_and_volume(speaker):
    text = 'One <break time="1s"/> <prosody rate="50%" pitch="+12st" volume="-20dB">two</prosody>'
    (utterance,) = prepared(speaker, text, prosody=Prosody(rate=2.0))
    lengths = frames(utterance)
    assert lengths[:3] == [("k", 3), ("a", 3), (SILENCE, 94)]
    assert lengths[3:5] == [("k", 5), ("a", 5)]
    f0 = utterance.score.pieces[0].curves["f0"].values
    assert np.allclose(f0[:6], 200.0) and np.allclose(f0[101:109], 400.0)
    assert utterance.gain[0] == 1.0
    assert utterance.gain[int(105 / 93.75 * 24_000)] == pytest.approx(0.1)


def test_a_voice_that_predicts_energy_is_louder_by_itself_as_far_as_that_goes():
    energy = ("energy",)
    voice = LoudVoice(speaks=True, curves=energy, predicted_curves=energy)
    speaker = Speaker(Synthesizer(voice), lambda word: ("k", "a"))
    list(speaker.stream(["One."]))
    assert np.all(voice.told == -30.0)
    (utterance,) = prepared(speaker, '<prosody volume="+4dB">One</prosody> two.')
    given = utterance.score.pieces[0].curves["energy"].values
    np.testing.assert_allclose(given[:10], -26.0)
    np.testing.assert_allclose(given[10:20], -30.0)
    assert np.all(utterance.gain == 1.0)
    list(speaker.stream(["One."], prosody=Prosody(volume_db=-26.0)))
    assert voice.told.min() == pytest.approx(-36.0)
    (utterance,) = prepared(speaker, "One.", prosody=Prosody(volume_db=-26.0))
    np.testing.assert_allclose(utterance.gain, 0.1, rtol=1e-6)


def test_sound_is_as_long_as_the_sentences_and_softer_where_told(speaker):
    text = "One two three. Four."
    blocks = list(speaker.stream([text], seed=3))
    expected = sum(u.score.duration_sec for u in prepared(speaker, text))
    wav = np.concatenate(blocks)
    assert len(wav) == pytest.approx(expected * 24_000, abs=2)
    soft = np.concatenate(list(speaker.stream([text], seed=3, prosody=Prosody(volume_db=-20.0))))
    np.testing.assert_allclose(soft, 0.1 * wav, atol=1e-6)


def test_an_endless_text_is_spoken_as_it_comes(speaker):
    def text():
        while True:
            yield "One two. "

    assert len(next(speaker.stream(text()))) > 0


def test_what_the_voice_lacks_is_named(speaker):
    with pytest.raises(InputError, match="no phoneme 'QQ'"):
        list(speaker.stream(["{QQ}"]))
    with pytest.raises(InputError, match="cannot speak"):
        Speaker(Synthesizer(FakeVoice()))


def test_voices_name_phonemes_in_their_own_way():
    voice = SpeakingVoice(speaks=True)
    info = dataclasses.replace(
        voice.info,
        vocabulary=dataclasses.replace(
            voice.info.vocabulary, phonemes=("SP", "HH", "AH", "en/l", "ow", ",")
        ),
    )
    voice.info = info
    speaker = Speaker(Synthesizer(voice))
    (utterance,) = prepared(speaker, "Hello, hello")
    symbols = [p.symbol for p in utterance.score.pieces[0].phonemes]
    assert symbols == ["HH", "AH", "en/l", "ow", ",", "HH", "AH", "en/l", "ow", "SP"]


def test_a_stream_of_unknown_length_ends_as_a_whole_file():
    file = io.BytesIO()
    sound = WavStream(file, None, 8000, tags={"title": "x"})
    for _ in range(3):
        sound.write(np.full(5, 0.5, np.float32))
    sound.finish()
    file.seek(0)
    wav, rate = soundfile.read(file)
    assert rate == 8000 and len(wav) == 15 and np.allclose(wav, 0.5)
