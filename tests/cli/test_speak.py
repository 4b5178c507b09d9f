"""The command `speak`: what it prints, writes and refuses."""

import io

import numpy as np
import pytest
import soundfile
from fake_voice import FakeVoice

from diffsinger_jax.cli import runtime, speak
from diffsinger_jax.errors import InputError
from diffsinger_jax.synthesis.synthesizer import Synthesizer


class SpeakingVoice(FakeVoice):
    """Each phoneme lasts 5 frames, at 200 Hz."""

    def predict_f0(self, batch):
        return np.where(batch.mask, 200.0, 0.0).astype(np.float32)


@pytest.fixture
def voice(monkeypatch):
    made = Synthesizer(SpeakingVoice(speaks=True))
    monkeypatch.setattr(runtime, "remember_compiled_programs", lambda: None)
    monkeypatch.setattr(Synthesizer, "from_checkpoint", lambda *_: made)


def test_phones_are_printed_without_a_voice(capsys):
    assert speak.main(["It's 5,", "<break time='1s'/> {K A}.", "--phones"]) == 0
    out = capsys.readouterr().out
    assert out == 'it\'s{IH1 T S} five{F AY1 V} <break time="1s"/> {K A} .\n'


def test_a_text_becomes_a_file_and_lines_become_files(voice, tmp_path, capsys, monkeypatch):
    file = tmp_path / "text.txt"
    file.write_text("{k a}\n\n{t o n}\n", "utf-8")
    speak.main(["--voice", "v", "--file", str(file), "--out", str(tmp_path / "a" / "x.wav")])
    wav, rate = soundfile.read(tmp_path / "a" / "x.wav")
    assert rate == 24_000 and len(wav) / rate > 0.4
    assert "real-time factor" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO("{k a}\n\n{t o n}\n"))
    speak.main(["--voice", "v", "--lines", "--out", str(tmp_path / "y.wav")])
    assert sorted(p.name for p in tmp_path.glob("y*")) == ["y_1.wav", "y_2.wav"]


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["x", "--voice", "v", "--rate", "never"], "rate is 'never'"),
        (["🙂", "--voice", "v"], "nothing to say"),
        (["--file", "missing.txt", "--voice", "v"], "missing.txt"),
    ],
)
def test_what_cannot_be_said_is_refused_in_words(voice, tmp_path, arguments, named, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=named):
        speak.main(arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["x"], ["x", "--voice", "v", "--out", "x.mp3"]])
def test_flags_at_fault_end_at_once(arguments):
    with pytest.raises(SystemExit):
        speak.main(arguments)
