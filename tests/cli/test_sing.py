"""The program as a user meets it: files out, or one sentence and code 2 with nothing written."""

import json
import os
import sys

import numpy as np
import pytest
from fake_voice import FakeVoice

from diffsinger_jax.audio.wav import read_tags, read_wav
from diffsinger_jax.cli import runtime, sing
from diffsinger_jax.score.reader import read_score

pytestmark = pytest.mark.usefixtures("optimized")  # the vocoder computes for a while
NOTE = """
   <note><pitch><step>{step}</step><octave>4</octave></pitch><duration>{duration}</duration>
    <voice>1</voice><lyric number="1"><text>{lyric}</text></lyric></note>"""


def musicxml(lyrics="かえるの", steps="CDEF", duration=1):
    notes = "".join(
        NOTE.format(step=step, lyric=lyric, duration=duration)
        for step, lyric in zip(steps, lyrics, strict=True)
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<score-partwise version="3.1">
 <part-list><score-part id="P1"><part-name>Voice</part-name></score-part></part-list>
 <part id="P1"><measure number="1">
   <attributes><divisions>2</divisions><time><beats>4</beats><beat-type>4</beat-type></time>
   </attributes>
   <direction><sound tempo="120"/></direction>{notes}
 </measure></part>
</score-partwise>
"""


@pytest.fixture(autouse=True)
def fake_voice(monkeypatch, tmp_path):
    monkeypatch.setattr(
        "diffsinger_jax.synthesis.synthesizer.load_singer", lambda path, quality: FakeVoice()
    )
    # The program would remember compiled programs in the user's cache for the rest of this process.
    monkeypatch.setattr(runtime, "remember_compiled_programs", lambda: None)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def score(tmp_path):
    path = tmp_path / "frog.musicxml"
    path.write_text(musicxml(), encoding="utf-8")
    return str(path)


def run(*arguments):
    """The exit code."""
    with pytest.raises(SystemExit) as exit:
        runtime.run(lambda: sing.main([str(a) for a in arguments]))
    return exit.value.code


def test_a_score_becomes_a_sound_file_that_says_what_it_is(score, capsys, tmp_path):
    assert run("--score", score, "--seed", 5) == 0
    wav, rate = read_wav(tmp_path / "out" / "frog.wav")
    assert rate == FakeVoice().spec.sample_rate
    assert abs(len(wav) / rate - read_score(score).duration_sec) < 0.1
    assert 0.01 < np.abs(wav).max() < 1
    tags = read_tags(tmp_path / "out" / "frog.wav")
    assert tags["software"].startswith("diffsinger_jax") and tags["artist"] == "fake"
    assert tags["comment"] == "synthetic singing voice; voice fake; seed 5; licence CC0-1.0"
    said = capsys.readouterr().out
    assert "wrote out/frog.wav" in said and "real-time factor" in said
    assert os.listdir(tmp_path / "out") == ["frog.wav"]


def test_everything_that_can_be_written_beside_it(score, tmp_path):
    out = tmp_path / "deep" / "down"
    code = run("--score", score, "--out", out, "--save", "mel", "f0", "ds", "picture",
               "--format", "flac", "--bit_depth", 24, "--sample_rate", 16_000)  # fmt: skip
    assert code == 0
    assert sorted(os.listdir(out)) == [
        "frog.ds", "frog.f0.csv", "frog.flac", "frog.mel.npz", "frog.png",
    ]  # fmt: skip
    assert read_wav(out / "frog.flac")[1] == 16_000
    with np.load(out / "frog.mel.npz") as stored:
        mel, f0, spec = stored["mel"], stored["f0"], json.loads(str(stored["spec"]))
    assert mel.shape == (len(f0), FakeVoice().spec.n_mels)
    assert spec["hop"] == FakeVoice().spec.hop
    rows = np.loadtxt(out / "frog.f0.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(rows[:, 1], f0, atol=1e-3)
    phonemes = [p for piece in read_score(out / "frog.ds").pieces for p in piece.phonemes]
    assert [p.symbol for p in phonemes if p.symbol != "SP"] == list("kaeruno")
    assert all(p.duration_sec is not None for p in phonemes)


def test_a_written_ds_is_sung_again(score, tmp_path):
    assert run("--score", score, "--save", "ds", "f0") == 0
    assert run("--score", "out/frog.ds", "--out", "again", "--save", "f0") == 0
    first, second = (
        np.loadtxt(tmp_path / folder / "frog.f0.csv", delimiter=",", skiprows=1)[:, 1]
        for folder in ("out", "again")
    )
    assert abs(len(first) - len(second)) <= 2
    both = min(len(first), len(second))
    voiced = (first[:both] > 0) & (second[:both] > 0)
    assert voiced.sum() > 0.9 * (first > 0).sum()
    assert np.median(np.abs(1200 * np.log2(first[:both][voiced] / second[:both][voiced]))) < 5


def test_takes_have_names_and_seeds_of_their_own(score, tmp_path):
    assert run("--score", score, "--takes", 2, "--seed", 8) == 0
    assert sorted(os.listdir(tmp_path / "out")) == ["frog_take1.wav", "frog_take2.wav"]
    assert "seed 9" in read_tags(tmp_path / "out" / "frog_take2.wav")["comment"]
    one, two = (read_wav(tmp_path / "out" / f"frog_take{i}.wav")[0] for i in (1, 2))
    assert not np.array_equal(one, two)


def bad_ds(tmp_path):
    segment = {
        "offset": 0, "text": "ka", "ph_seq": "k a", "ph_num": "1 2", "note_seq": "C4",
        "note_dur": "1.0", "note_slur": "0",
    }  # fmt: skip
    path = tmp_path / "bad.ds"
    path.write_text(json.dumps([segment]), encoding="utf-8")
    return ["--score", path]


def unknown_phoneme(tmp_path):
    path = tmp_path / "bad.musicxml"
    path.write_text(musicxml(["[qq a]", "え", "る", "の"]), encoding="utf-8")
    return ["--score", path]


def one_good_one_missing(tmp_path):
    path = tmp_path / "good.musicxml"
    path.write_text(musicxml(), encoding="utf-8")
    return ["--score", path, tmp_path / "missing.musicxml"]


def vocoder(tmp_path, **changes):
    path = tmp_path / "good.musicxml"
    path.write_text(musicxml(), encoding="utf-8")
    config = {
        "sample_rate": 24_000, "hop_size": 256, "fft_size": 1024, "win_size": 1024,
        "num_mel_bins": 80, "mel_fmin": 30, "mel_fmax": 12_000, "mel_base": "10",
        "mel_scale": "slaney", **changes,
    }  # fmt: skip
    folder = tmp_path / "vocoder"
    folder.mkdir()
    (folder / "vocoder.yaml").write_text(json.dumps(config), encoding="utf-8")
    return ["--score", path, "--vocoder", folder]


def out_below_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    return [*one_good(tmp_path), "--out", tmp_path / "file" / "out"]


def one_good(tmp_path):
    path = tmp_path / "good.musicxml"
    path.write_text(musicxml(), encoding="utf-8")
    return ["--score", path]


@pytest.mark.parametrize(
    "arguments, said",
    [
        (lambda p: ["--score", p / "missing.musicxml"], "there is no such file"),
        (lambda p: ["--score", p / "song.doc"], "a score's name ends in"),
        (one_good_one_missing, "missing.musicxml: there is no such file"),
        (bad_ds, "ph_num"),
        (unknown_phoneme, "qq"),
        (out_below_a_file, "cannot be written to"),
        (lambda p: [*one_good(p), "--out", "/proc/nowhere"], "cannot be written to"),
        (lambda p: [*one_good(p), "--speaker", "nobody"], "no speaker 'nobody'"),
        (lambda p: vocoder(p, hop_size=128), "hop: 256 here, 128 there"),
        (lambda p: vocoder(p, mel_fmax=8000), "fmax: 12000.0 here, 8000.0 there"),
        (lambda p: [*one_good(p), "--vocoder", p], "no vocoder folder"),
        (lambda p: [*one_good(p), "--tempo", "0"], "--tempo: 0 is not above 0"),
        (lambda p: [*one_good(p), "--takes", "x"], "--takes: invalid whole number value: 'x'"),
        (lambda p: [*one_good(p), "--steps", "0"], "--steps: 0 is not from 1 to"),
        (lambda p: [*one_good(p), "--key", "nan"], "--key: nan is not from -36 to 36"),
        (lambda p: [*one_good(p), "--seed", str(10**30)], "is not from 0 to 2147483647"),
        (lambda p: [*one_good(p), "--verse", "3"], "verse 3"),
        (lambda p: [*one_good(p), "--stream", "--save", "f0"], "without --save"),
        (lambda p: [*one_good(p), "--out", "song.wav"], "song.wav must be a folder"),
        (lambda p: [*one_good(p), "--out", "-"], "--out - goes with --stream"),
        (lambda p: [*one_good(p), "--out", "-", "--stream", "--takes", "2"], "one take"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(arguments, said, capsys, tmp_path):
    arguments = arguments(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error
    assert len([line for line in error.splitlines() if "error: " in line]) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_ds_is_not_replaced_by_its_own_outcome(score, capsys, tmp_path):
    assert run("--score", score, "--save", "ds") == 0
    text = (tmp_path / "out" / "frog.ds").read_text()
    assert run("--score", "out/frog.ds", "--save", "ds") == 2
    assert "would be replaced" in capsys.readouterr().err
    assert (tmp_path / "out" / "frog.ds").read_text() == text


def test_two_scores_of_one_name_get_two_files(score, tmp_path):
    assert run("--score", score, "--save", "ds") == 0
    assert run("--score", score, "out/frog.ds", "--out", "both") == 0
    assert sorted(os.listdir(tmp_path / "both")) == ["frog_ds.wav", "frog_musicxml.wav"]


def test_help_answers_with_examples(capsys):
    assert run("--help") == 0
    assert "examples:" in capsys.readouterr().out


def test_a_streamed_file_is_the_one_written_at_the_end(score, capsysbinary, tmp_path, monkeypatch):
    monkeypatch.setattr("diffsinger_jax.synthesis.rendering.Renderer.stream", buzz)
    assert run("--score", score) == 0
    whole, _ = read_wav(tmp_path / "out" / "frog.wav")
    assert run("--score", score, "--out", "live", "--stream") == 0
    assert b"first sound after" in capsysbinary.readouterr().out
    streamed, _ = read_wav(tmp_path / "live" / "frog.wav")
    np.testing.assert_allclose(streamed, whole, atol=1e-4)
    assert "synthetic" in read_tags(tmp_path / "live" / "frog.wav")["comment"]

    monkeypatch.setattr(sys, "__stdout__", sys.stdout)
    assert run("--score", score, "--out", "-", "--stream") == 0
    captured = capsysbinary.readouterr()
    assert captured.out == (tmp_path / "live" / "frog.wav").read_bytes()
    assert b"standard output" in captured.err


def test_a_warm_up_writes_nothing_and_calls_every_shape(capsys, tmp_path, monkeypatch):
    voice = FakeVoice()
    monkeypatch.setattr(
        "diffsinger_jax.synthesis.synthesizer.load_singer", lambda path, quality: voice
    )
    monkeypatch.setattr("diffsinger_jax.synthesis.rendering.Renderer.stream", buzz)
    monkeypatch.setattr("diffsinger_jax.synthesis.synthesizer.LONGEST_SEC", 4.0)
    assert run("--warmup") == 0
    assert {rows for rows, _, _ in voice.shapes} == {1} and len(voice.shapes) == 2
    assert list(tmp_path.iterdir()) == []


def buzz(renderer, mel, f0, frames, key):
    """A vocoder that takes no time, in two blocks."""
    wav = np.sin(0.1 * np.arange(frames * renderer.spec.hop)).astype(np.float32)
    yield from np.array_split(wav, 2)


def test_every_part_and_their_mix(tmp_path, capsys):
    one = musicxml()
    second = one[one.index('<measure number="1">') : one.index("</part>")]
    path = tmp_path / "duet.musicxml"
    path.write_text(one.replace("</part>", f'</part><part id="P2">{second}</part>'), "utf-8")
    assert run("--score", path, "--part", "all", "--fermata", 1.5) == 0
    assert sorted(os.listdir(tmp_path / "out")) == [
        "duet_Voice.wav", "duet_mix.wav", "duet_part_2.wav",
    ]  # fmt: skip
    parts = [read_wav(tmp_path / "out" / f"duet_{name}.wav")[0] for name in ("Voice", "part_2")]
    mix, _ = read_wav(tmp_path / "out" / "duet_mix.wav")
    assert len({len(wav) for wav in (*parts, mix)}) == 1
    gain = np.abs(mix).max() / np.abs(parts[0] + parts[1]).max()
    np.testing.assert_allclose(mix, gain * (parts[0] + parts[1]), atol=1e-3)
    assert "wrote out/duet_mix.wav" in capsys.readouterr().out


def test_what_was_assumed_is_printed_and_languages_are_named(tmp_path, capsys):
    path = tmp_path / "song.musicxml"
    path.write_text(musicxml(lyrics=["Mut", "ter", "und", "ich"]), encoding="utf-8")
    assert run("--score", path) == 2
    said = capsys.readouterr().err
    assert "the score looks like German" in said and "--phoneme_map de" in said
    assert not (tmp_path / "out").exists()
    assert run("--score", path, "--lyric", "か") == 0
