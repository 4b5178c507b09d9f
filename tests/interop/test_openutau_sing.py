"""Voicebanks of OpenUtau: what each graph is given and what comes of it, on a toy that shows it."""

import dataclasses
import sys
import zipfile

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import toy_voicebank as toy

from diffsinger_jax.cli import sing
from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.openutau.curves import FrameGrid, TimedCurve, on_other_frames
from diffsinger_jax.interop.openutau.melody import filled, fitted
from diffsinger_jax.interop.openutau.models import Steps, acoustic_steps
from diffsinger_jax.interop.openutau.synthesizer import VoicebankSynthesizer
from diffsinger_jax.interop.openutau.timing import frames_of, padded_frames, words_by_vowel
from diffsinger_jax.interop.openutau.voicebank import open_voicebank
from diffsinger_jax.pitch import midi_to_hz
from diffsinger_jax.score.ds import read_ds, write_ds
from diffsinger_jax.synthesis.controls import Controls
from diffsinger_jax.synthesis.expression import Expression
from diffsinger_jax.synthesis.retakes import parse_retake
from diffsinger_jax.types import Curve, Note, Phoneme, Piece, Score

BIN = {name: i + 1 for i, name in enumerate(toy.SHOWN)} | {"pitch": 0, "speaker": 7, "depth": 8}


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    return toy.write_voicebank(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def singer(bank):
    return VoicebankSynthesizer.from_checkpoint(bank)


def score(*notes, curves=None, phonemes=None):
    return Score("toy", "ja", (Piece(0.0, notes, phonemes, curves or {}),))


REST = Note(1.0, None)


def phones(song):
    return [(p.label, round(p.start_sec, 6), round(p.end_sec, 6)) for p in song.phonemes]


def test_vowels_begin_with_their_notes_and_groups_are_stretched_to_them(singer):
    song = singer(
        score(REST, Note(0.5, 60.0, "ka"), Note(0.5, 64.0, "sa"), Note(0.25, 72.0, "kwa"))
    )
    # 3 frames of 10 ms for the first consonant; then a+s, a+k and the glide with its vowel.
    assert phones(song) == [
        ("k", 0.97, 1.0), ("a", 1.0, 1.25), ("s", 1.25, 1.5), ("a", 1.5, 1.75), ("k", 1.75, 2.0),
        ("w", 2.0, 2.125), ("a", 2.125, 2.25),
    ]  # fmt: skip


def test_vocoders_of_this_program_are_given_gaps_in_silence_and_voiceless_consonants(singer):
    prepared = singer.prepare(score(REST, Note(0.5, 60.0, "ka"), Note(0.5, 64.0, "wa")))
    (mel,) = singer._mels(prepared, 0, None, None, Expression(), lambda count: None)
    symbols = ("SP", *(phone.symbol for phone in mel.phones), "SP")
    assert symbols == ("SP", "k", "a", "w", "a", "SP")
    voiced = np.repeat([symbol in "aw" for symbol in symbols], mel.grid.ph_dur)
    np.testing.assert_array_equal(mel.voiced_f0, np.where(voiced, mel.f0, 0))
    assert np.all(mel.f0 > 0)


def test_a_word_of_two_vowels_goes_on_at_its_slur(singer):
    song = singer(score(REST, Note(0.5, 60.0, "kasa"), Note(0.5, 62.0, slur=True)))
    assert [p[:2] for p in phones(song)] == [("k", 0.97), ("a", 1.0), ("s", 1.25), ("a", 1.5)]


def test_without_room_the_first_consonant_takes_from_its_note(singer):
    song = singer(score(Note(0.5, 60.0, "ka")))
    assert phones(song) == [("k", 0.0, 0.03), ("a", 0.03, 0.5)]


def test_each_model_sees_what_the_ones_before_it_predicted(singer):
    song = singer(score(REST, Note(0.5, 60.0, "ka"), Note(0.5, 72.0, "i")))
    for frame, midi, speaker in ((120, 60.0, 1.0), (170, 72.0, -3.0)):
        shown = song.mel[frame]
        assert shown[BIN["pitch"]] == pytest.approx(midi_to_hz(midi) / 100, rel=1e-6)
        np.testing.assert_allclose(shown[1:5], midi + np.arange(4), rtol=1e-6)
        np.testing.assert_allclose(shown[5:], [0.0, 1.0, speaker, 0.6, 20.0], rtol=1e-6)
    assert song.f0[120] == pytest.approx(midi_to_hz(60.0))


def test_given_curves_and_pitch_come_first(singer):
    def ramp(first, last):
        return Curve(np.linspace(first, last, 301, dtype="f4"), 0.005)

    names = ("energy", "breathiness", "voicing", "tension")
    given = {name: ramp(20.0 + i, 60.0) for i, name in enumerate(names)}
    given |= {"f0": ramp(200.0, 300.0), "gender": ramp(-1.0, 1.0), "velocity": ramp(0.5, 2.0)}
    given |= {"spk_mix/alpha": ramp(1.0, 0.0), "spk_mix/beta": ramp(0.0, 1.0)}
    prepared = singer.prepare(score(REST, Note(0.5, 60.0, "ka"), curves=given))
    assert singer.ignored_curves(prepared) == []
    song = singer.sing(prepared)
    times = 0.97 - 0.08 + np.arange(69) * toy.FRAME_SEC
    begin = round(0.89 / toy.FRAME_SEC)
    shown = song.mel[begin : begin + 61]
    share = np.minimum(times / 1.5, 1.0)[:61]
    for name in (*names, "gender", "velocity"):
        first, last = given[name].values[[0, -1]]
        np.testing.assert_allclose(
            shown[:, BIN[name]], first + share * (last - first), atol=2e-5, err_msg=name
        )
    np.testing.assert_allclose(shown[:, BIN["speaker"]], 1.0 - 4.0 * share, atol=2e-5)
    np.testing.assert_allclose(shown[:, 0] * 100, 200.0 + 100.0 * share, rtol=1e-4)


def test_controls_and_a_speaker_are_for_the_whole_score(singer):
    notes = (REST, Note(0.5, 60.0, "ka"))
    song = singer(Controls(gender=0.5, velocity=2.0).applied(score(*notes)), speaker="beta")
    np.testing.assert_allclose(song.mel[120, 5:8], [0.5, 2.0, -3.0])
    with pytest.raises(InputError, match="no speaker 'gamma'"):
        singer(score(*notes), speaker="gamma")


def test_what_was_sung_is_sung_again_from_its_ds(singer, tmp_path):
    notes = (REST, Note(0.333, 60.0, "ka"), Note(0.2, 62.3, slur=True), Note(0.5, 64.0, "n"), REST)
    song = singer(score(*notes, Note(0.41, 59.0, "i")), seed=3)
    write_ds(tmp_path / "song.ds", song.score)
    again = singer(read_ds(tmp_path / "song.ds"), seed=3)
    assert phones(again) == phones(song)
    length = len(again.mel)
    np.testing.assert_allclose(again.mel, song.mel[:length], atol=1e-5)


def test_a_stream_is_the_song(singer):
    prepared = singer.prepare(score(REST, Note(0.5, 60.0, "ka"), REST, REST, Note(0.5, 64.0, "sa")))
    song = singer.sing(prepared)
    streamed = np.concatenate(list(singer.stream(prepared)))
    assert len(streamed) == singer.song_samples(prepared)
    np.testing.assert_array_equal(streamed, song.wav)


def test_given_durations_are_kept(singer):
    symbols = (("SP", 0, 0.2), ("k", 1, 0.07), ("a", 1, 0.4), ("SP", 2, 0.1), ("i", 3, 0.2))
    given = tuple(Phoneme(symbol, note, True, sec) for symbol, note, sec in symbols)
    notes = (Note(0.27, None), Note(0.4, 60.0), Note(0.1, None), Note(0.2, 62.0))
    song = singer(score(*notes, phonemes=given))
    assert phones(song) == [("k", 0.2, 0.27), ("a", 0.27, 0.67), ("i", 0.77, 0.97)]


def test_frames_are_rounded_as_openutau_rounds_them():
    assert frames_of([10, 10, 10, 10], 10).tolist() == [2, 0, 2, 0]  # 1.5, 2.5, ... half to even
    assert padded_frames([0.1, 0.25], 0.01).tolist() == [8, 10, 26, 8]
    rng = np.random.default_rng(0)
    sec = rng.uniform(0, 0.5, 50)
    frames = padded_frames(sec, 512 / 44100)
    ends = np.cumsum(frames)[:-1] - 8
    np.testing.assert_allclose(ends[1:], np.cumsum(sec) * 44100 / 512 + 0.5, atol=0.5001)


@pytest.mark.parametrize(
    "symbols, div, dur",
    [
        ("k a s a", [2, 2, 2], [8 + 1, 2 + 3, 4 + 8]),
        ("a", [1, 2], [8, 1 + 8]),
        ("k s", [2, 2], [8 + 1, 2 + 8]),
    ],
)
def test_words_of_the_encoders_begin_at_vowels(symbols, div, dur):
    symbols = symbols.split()
    ph_dur = np.array([8, *range(1, len(symbols) + 1), 8])
    word_div, word_dur = words_by_vowel(symbols, ph_dur, lambda s: s in "ai")
    assert (word_div.tolist(), word_dur.tolist()) == (div, dur)


def test_rests_take_the_pitch_of_the_nearest_note():
    midi = np.array([1.0, 60, 2, 3, 4, 72, 5])
    rest = np.array([True, False, True, True, True, False, True])
    assert filled(midi, rest).tolist() == [60, 60, 60, 60, 72, 72, 72]
    assert filled(midi, np.ones(7, bool)).tolist() == [60.0] * 7


def test_lengths_are_fitted_from_the_end():
    assert fitted(np.array([8, 5, 3]), 18).tolist() == [8, 5, 5]
    assert fitted(np.array([8, 5, 3]), 10).tolist() == [8, 2, 0]


def test_a_curve_on_other_frames_keeps_its_ends_apart():
    source = FrameGrid(np.array([8, 10, 8]), 0.0, 0.01)
    target = FrameGrid(np.array([8, 20, 8]), 0.0, 0.005)
    values = np.concatenate([np.full(8, -1.0), np.arange(10.0), np.full(8, 99.0)])
    other = on_other_frames(values, source, target)
    assert other[:8].tolist() == [-1.0] * 8 and other[-8:].tolist() == [99.0] * 8
    np.testing.assert_allclose(other[8:28], np.minimum(np.arange(20) / 2, 9.0))
    assert TimedCurve(1.0, 0.5, np.array([0.0, 1.0])).at(np.array([0.0, 1.25, 9.0])).tolist() == [
        0.0, 0.5, 1.0,
    ]  # fmt: skip


OLD = toy.ACOUSTIC.replace("use_continuous_acceleration: true", "").replace("0.6", "600")


@pytest.mark.parametrize(
    "depth, steps, expected",
    [(0.6, 20, (600, 30)), (0.55, 20, (540, 27)), (0.3, 1000, (300, 1)), (1.0, 7, (595, 85))],
)
def test_the_older_contract_counts_in_thousandths(tmp_path, depth, steps, expected):
    graph = toy.acoustic(steps=None, depth=("i", []), speedup=("i", []))
    files = {"dsconfig.yaml": OLD, "acoustic.onnx": graph}
    part = open_voicebank(toy.write_voicebank(tmp_path, files)).acoustic
    assert part.settings.max_depth == 0.6
    feed = acoustic_steps(part, Steps(depth, steps))
    assert (int(feed["depth"]), int(feed["speedup"])) == expected


def test_the_older_contract_without_depth_divides_a_thousand(tmp_path):
    config = OLD.replace("use_variable_depth: true", "")
    graph = toy.acoustic(steps=None, depth=None, speedup=("i", [1]))
    part = open_voicebank(
        toy.write_voicebank(tmp_path, {"dsconfig.yaml": config, "acoustic.onnx": graph})
    ).acoustic
    for steps, speedup in ((20, 50), (7, 125), (1000, 1), (3, 250)):
        assert acoustic_steps(part, Steps(0.0, steps))["speedup"].tolist() == [speedup]


def test_a_package_is_sung_by_one_command(bank, tmp_path, capsys):
    package = tmp_path / "toy.zip"
    with zipfile.ZipFile(package, "w") as file:
        for one in bank.rglob("*"):
            file.write(one, f"Toy/{one.relative_to(bank)}")
    song = tmp_path / "song.ustx"
    song.write_text(
        "voice_parts:\n- track_no: 0\n  notes:\n  - {position: 480, duration: 480, tone: 60, "
        "lyric: ka}\n",
        encoding="utf-8",
    )
    out = tmp_path / "out"
    flags = ["--score", str(song), "--out", str(out), "--takes", "2", "--save", "ds", "picture"]
    assert sing.main(["--voice", str(package), *flags, "--k_step", "0.3", "--steps", "5"]) == 0
    written = {f"song_take{i}.{kind}" for i in (1, 2) for kind in ("wav", "ds", "png")}
    assert {file.name for file in out.iterdir()} == written
    assert "voice: Toy (terms of Nobody)" in capsys.readouterr().out


def test_what_a_voicebank_lacks_is_said(tmp_path):
    lacking = {"dsdur/dsconfig.yaml": None, "dsvariance/dsconfig.yaml": None}
    singer = VoicebankSynthesizer.from_checkpoint(toy.write_voicebank(tmp_path, lacking))
    with pytest.raises(InputError, match="predicts no durations.*give ph_dur"):
        singer(score(REST, Note(0.5, 60.0, "ka")))
    given = (Phoneme("a", 0, True, 0.5),)
    with pytest.raises(InputError, match="shown energy, which the voicebank does not predict"):
        singer(score(Note(0.5, 60.0), phonemes=given))
    with pytest.raises(InputError, match="its graph, so it cannot be euler"):
        singer.resolve_sampling(method="euler")
    with pytest.raises(InputError, match="depth of at most 0.6"):
        singer.resolve_sampling(k_step=900)
    assert singer.resolve_sampling(k_step=300, steps=4) == Steps(0.3, 4)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """Of a pitch model that draws noise."""
    files = {"dspitch/pitch.onnx": toy.pitch(noisy=True)}
    bank = toy.write_voicebank(tmp_path_factory.mktemp("noisy"), files)
    return VoicebankSynthesizer.from_checkpoint(bank)


THREE = score(REST, *(Note(0.5, midi, "i") for midi in (60.0, 62.0, 64.0)))


def test_a_retake_draws_the_pitch_of_its_notes_anew_and_no_other(noisy):
    prepared = noisy.prepare(THREE)
    first = noisy.sing(prepared, seed=3).f0
    again, other = (
        noisy.sing(prepared, seed=3, expression=Expression(retake=parse_retake("note 2", seed))).f0
        for seed in (None, 9)
    )
    inside = np.zeros(len(first), bool)
    inside[151:200] = True  # the first frame of note 2 is joined to the one before
    for retake in (again, other):
        np.testing.assert_array_equal(retake[~inside][:-50], first[~inside][:-50])
        assert (retake[inside] != first[inside]).mean() > 0.9
    assert (again[inside] != other[inside]).mean() > 0.9
    # What is kept, 62 + 0.6 + 3, is shown to the model, which is given 60 where it draws all.
    cents = 1200 * np.log2(again[165:185] / first[165:185])
    assert cents.mean() == pytest.approx(65.6 - 60.0, abs=2.0)


def test_pitch_has_a_seed_and_expressiveness_of_its_own(noisy):
    prepared = noisy.prepare(THREE)
    first, same, half = (
        noisy.sing(prepared, seed=seed, expression=how).f0[100:240]
        for seed, how in ((3, Expression()), (4, Expression(seed=3)), (3, Expression(0.5)))
    )
    np.testing.assert_array_equal(first, same)
    np.testing.assert_allclose(1200 * np.log2(first / half), 150.0, atol=0.1)


def test_what_a_pitch_graph_has_no_input_for_is_said(noisy, tmp_path):
    prepared = noisy.prepare(THREE)
    with pytest.raises(InputError, match="cannot be steered by --vibrato_depth; leave that out"):
        noisy.sing(prepared, expression=Expression(vibrato_depth=2.0))
    with pytest.raises(InputError, match="expected 0 to 1 for a voicebank"):
        noisy.sing(prepared, expression=Expression(2.0))
    with pytest.raises(InputError, match="there is no note 9 to take again; it has note 1 to 3"):
        noisy.sing(prepared, expression=Expression(retake=parse_retake("note 9")))
    lacking = toy.write_voicebank(tmp_path, {"dspitch/dsconfig.yaml": None})
    singer = VoicebankSynthesizer.from_checkpoint(lacking)
    with pytest.raises(InputError, match="has no dspitch, so that a retake would be the same"):
        singer.sing(prepared, expression=Expression(retake=parse_retake("note 2")))


def test_the_noise_of_a_vocoder_has_the_seed_of_the_take(tmp_path):
    files = {"dsvocoder/vocoder.onnx": toy.vocoder(noisy=True)}
    noisy = VoicebankSynthesizer.from_checkpoint(toy.write_voicebank(tmp_path, files))
    first, again, other = (noisy(THREE, seed=seed).wav for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.3


def test_curves_that_a_voicebank_has_no_input_for_are_named(tmp_path):
    config = toy.ACOUSTIC.replace("use_key_shift_embed: true\n", "")
    config = config.replace("use_tension_embed: true\n", "")
    files = {"dsconfig.yaml": config, "acoustic.onnx": toy.acoustic(gender=None, tension=None)}
    files |= {"dspitch/dsconfig.yaml": None}
    singer = VoicebankSynthesizer.from_checkpoint(toy.write_voicebank(tmp_path, files))
    names = ("genc", "velc", "tenc", "ene", "dyn", "cl01", "pexp", "shfc", "other")
    given = dataclasses.replace(THREE, expressions=dict.fromkeys(names, np.zeros_like))
    assert singer.ignored_curves(given) == ["genc", "other", "pexp", "tenc"]


def test_without_a_pitch_model_notes_are_joined_by_lines(tmp_path):
    lacking = {"dspitch/dsconfig.yaml": None}
    singer = VoicebankSynthesizer.from_checkpoint(toy.write_voicebank(tmp_path, lacking))
    song = singer(score(REST, Note(0.5, 60.0, "i"), Note(0.5, 62.0, "i")))
    cents = 1200 * np.log2(song.f0[100:195] / midi_to_hz(60.0))
    np.testing.assert_allclose(cents[[10, 50, 90]], [0.0, 100.0, 200.0], atol=0.1)


def test_a_duration_model_may_lie_beside_the_acoustic_one(tmp_path):
    config = f"{toy.ACOUSTIC}linguistic: dsdur\\linguistic.onnx\ndur: dsdur\\dur.onnx\n"
    table = toy.write_voicebank(tmp_path / "other") / "dsdur/dsdict.yaml"
    files = {"dsconfig.yaml": config, "dsdict.yaml": table.read_text()}
    bank = toy.write_voicebank(tmp_path / "bank", files | {"dsdur/dsconfig.yaml": None})
    song = VoicebankSynthesizer.from_checkpoint(bank)(score(REST, Note(0.5, 60.0, "ka")))
    assert [p[:2] for p in phones(song)] == [("k", 0.97), ("a", 1.0)]


def test_lyrics_that_the_voicebank_does_not_spell_are_named(singer):
    with pytest.raises(InputError, match="'xyz'"):
        singer.prepare(score(REST, Note(0.5, 60.0, "xyz")))


def test_without_onnx_the_extra_is_named(bank, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"diffsinger_jax\[onnx\]"):
        open_voicebank(bank)
