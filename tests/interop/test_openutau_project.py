"""OpenUtau projects sung with the voicebanks they name: tracks, curves with their units, a mix."""

import dataclasses

import numpy as np
import pytest
import soundfile
import yaml

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import toy_voicebank as toy

from diffsinger_jax.cli import sing
from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.openutau.singers import Singers
from diffsinger_jax.interop.openutau.synthesizer import VoicebankSynthesizer
from diffsinger_jax.pitch import midi_to_hz
from diffsinger_jax.score.reader import read_score

TICKS_PER_SEC = 960  # 480 in a quarter, 120 quarters in a minute
BEGIN_SEC, LENGTH = 0.97, 190
"""Where the phrase's first consonant begins, and frames of it that are looked at."""
RAMP = ([0, 480, 1440, 2880], [-40, 30, 90, -80])
"""Points of a curve that goes through every value, in ticks."""


def project(curves, **more):
    track = {"track_name": "Lead", "singer": "Toy", "phonemizer": "DiffSingerJapanesePhonemizer"}
    notes = [{"position": 960, "duration": 1920, "tone": 60, "lyric": "ka"}]
    return {
        "tempos": [{"position": 0, "bpm": 120}],
        "tracks": [track],
        "voice_parts": [
            {"track_no": 0, "position": 0, "notes": notes, "curves": [
                {"abbr": name, "xs": list(xs), "ys": list(ys)} for name, (xs, ys) in curves.items()
            ]}
        ],
        **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def singers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("singers")
    toy.write_voicebank(folder / "first")
    other = {"character.txt": "name=Other\n", "acoustic.onnx": toy.acoustic()}
    toy.write_voicebank(folder / "group" / "second", other)
    controllable = {"dsvocoder/vocoder.yaml": f"{toy.VOCODER}pitch_controllable: true\n"}
    toy.write_voicebank(folder / "third", controllable | {"character.txt": "name=Third\n"})
    return folder


def inputs(singers, tmp_path, curves, bank="first", role="acoustic"):
    """Times of the frames, what a model was shown at them, and the song."""
    path = tmp_path / "song.ustx"
    path.write_text(yaml.safe_dump(project(curves)), encoding="utf-8")
    score = read_score(path)
    if role == "pitch":  # what a project draws comes before what a model predicts
        pieces = tuple(
            dataclasses.replace(piece, curves={n: c for n, c in piece.curves.items() if n != "f0"})
            for piece in score.pieces
        )
        score = dataclasses.replace(score, pieces=pieces)
    singer = VoicebankSynthesizer.from_checkpoint(singers / bank)
    shown = []
    graph = getattr(singer.voice, role).graph(role)
    run = type(graph).run
    try:
        type(graph).run = lambda self, feed: (
            shown.append(feed) if self is graph else None,
            run(self, feed),
        )[1]
        song = singer(score)
    finally:
        type(graph).run = run
    times = BEGIN_SEC - 8 * toy.FRAME_SEC + np.arange(LENGTH) * toy.FRAME_SEC
    (feed,) = shown
    return times, {name: np.asarray(v, np.float64) for name, v in feed.items()}, song


def ramp(times, neutral=0.0):
    """The curve at whole ticks, straight between its points."""
    return np.interp(np.round(times * TICKS_PER_SEC), *RAMP, left=neutral, right=neutral)


FORMULAS = {
    # curve -> (input of the model, what it is by a value, what it is without one)
    "ene": ("energy", lambda y: 60.0 + 12.0 * y / 100.0),
    "brec": ("breathiness", lambda y: 61.0 + 12.0 * y / 100.0),
    "voic": ("voicing", lambda y: 62.0 + 12.0 * (y - 100.0) / 100.0),
    "tenc": ("tension", lambda y: 63.0 + 5.0 * y / 100.0),
    "genc": ("gender", lambda y: np.where(y < 0, -y * 12.0 / 100.0 / 6.0, -y * 12.0 / 100.0 / 5.0)),
    "velc": ("velocity", lambda y: 2.0 ** ((y - 100.0) / 100.0)),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_a_curve_moves_its_input_by_its_formula(name, singers, tmp_path):
    source, formula = FORMULAS[name]
    flat = {"pitd": ([0, 2880], [0, 0])}
    times, feed, _ = inputs(singers, tmp_path, {name: RAMP} | flat)
    neutral = 100.0 if name in ("voic", "velc") else 0.0
    expected = formula(ramp(times, neutral))
    np.testing.assert_allclose(feed[source][0, :LENGTH], expected, rtol=0, atol=1e-5)


def test_expressiveness_is_shown_to_the_model_of_pitch_alone(singers, tmp_path):
    times, feed, _ = inputs(singers, tmp_path, {"pexp": RAMP}, role="pitch")
    expected = np.clip(ramp(times, 100.0) / 100.0, 0.0, 1.0)
    np.testing.assert_allclose(feed["expr"][0, :LENGTH], expected, rtol=0, atol=1e-5)
    assert expected.min() == 0 and np.ptp(expected) > 0.5
    _, plain, _ = inputs(singers, tmp_path, {}, role="pitch")
    assert (plain["expr"] == 1).all()


def test_pitch_deviation_moves_f0(singers, tmp_path):
    times, feed, _ = inputs(singers, tmp_path, {"pitd": RAMP})
    cents = np.interp(times * TICKS_PER_SEC, *RAMP)  # drawn pitch is read at any time
    expected = midi_to_hz(60.0 + cents / 100.0)
    np.testing.assert_allclose(feed["f0"][0, :LENGTH], expected, rtol=1e-5)


def test_a_tone_shift_is_for_vocoders_that_take_another_f0(singers, tmp_path):
    times, plain, _ = inputs(singers, tmp_path, {"shfc": RAMP})
    _, shifted, song = inputs(singers, tmp_path, {"shfc": RAMP}, "third")
    tone = 60.0 + ramp(times) / 100.0
    np.testing.assert_allclose(plain["f0"][0, :LENGTH], midi_to_hz(60.0), rtol=1e-6)
    np.testing.assert_allclose(shifted["f0"][0, :LENGTH], midi_to_hz(tone), rtol=1e-5)
    np.testing.assert_allclose(shifted["energy"][0, :LENGTH], tone, rtol=0, atol=1e-5)
    np.testing.assert_allclose(song.f0[100:250], midi_to_hz(60.0), rtol=1e-6)


def test_colors_mix_subbanks_and_the_rest_is_the_notes_own(singers, tmp_path):
    points = ([0, 480, 2880], [10, 80, 30])
    times, feed, _ = inputs(singers, tmp_path, {"cl02": points})
    share = np.interp(np.round(times * TICKS_PER_SEC), *points) / 100.0
    expected = (1 - share) * 1.0 + share * -3.0
    np.testing.assert_allclose(feed["spk_embed"][0, :LENGTH, 0], expected, rtol=0, atol=1e-5)
    curves = {"cl02": ([0, 2880], [25, 25]), "cl01": ([0, 2880], [175, 175])}
    _, feed, _ = inputs(singers, tmp_path, curves)
    np.testing.assert_allclose(feed["spk_embed"][0, :LENGTH, 0], (1.75 * 1.0 + 0.25 * -3.0) / 2)


def test_dynamics_are_loudness(singers, tmp_path):
    points = ([0, 2880], [-120, 60])
    _, _, plain = inputs(singers, tmp_path, {})
    _, _, loud = inputs(singers, tmp_path, {"dyn": points})
    _, _, mute = inputs(singers, tmp_path, {"dyn": ([0, 2880], [-240, -240])})
    seconds = np.arange(1100, 2500) / toy.RATE
    factor = 10.0 ** (np.interp(np.round(seconds * TICKS_PER_SEC), *points) / 200.0)
    np.testing.assert_allclose(loud.wav[1100:2500], plain.wav[1100:2500] * factor, rtol=1e-5)
    assert np.abs(plain.wav[1000:2500]).min() > 0 and not mute.wav[1000:2500].any()


def test_two_tracks_two_voicebanks_a_tempo_change_stems_and_a_mix(singers, tmp_path, capsys):
    content = project({"ene": RAMP})
    content["tempos"] = [{"position": 0, "bpm": 120}, {"position": 1440, "bpm": 90}]
    content["tracks"].append({"track_name": "Second", "singer": "Other"})
    notes = [{"position": 1920, "duration": 1920, "tone": 67, "lyric": "sa"}]
    content["voice_parts"].append({"track_no": 1, "position": 0, "notes": notes})
    for stem in ("a", "b"):
        (tmp_path / f"{stem}.ustx").write_text(yaml.safe_dump(content), encoding="utf-8")
    flags = ["--singers", str(singers), "--out", str(tmp_path / "out"), "--takes", "2"]
    scores = ["--score", str(tmp_path / "a.ustx"), str(tmp_path / "b.ustx")]
    assert sing.main([*scores, *flags, "--bit_depth", "24"]) == 0
    names = [
        f"{s}_{p}_take{t}.wav" for s in "ab" for p in ("Lead", "Second", "mix") for t in (1, 2)
    ]
    assert sorted(names) == sorted(file.name for file in (tmp_path / "out").iterdir())
    stems = [soundfile.read(tmp_path / "out" / name)[0] for name in names[:4:2]]
    mix = soundfile.read(tmp_path / "out" / "a_mix_take1.wav")[0]
    # 1440 ticks at 120 are 1.5 s, the 2400 after them at 90 are 10/3 s.
    assert [len(wav) for wav in (*stems, mix)] == [round((1.5 + 10 / 3) * toy.RATE)] * 3
    np.testing.assert_allclose(mix, sum(stems), atol=1e-5)
    said = capsys.readouterr().out
    assert "voice: Toy" in said and "voice: Other" in said


def test_singers_are_found_by_folder_or_name(singers, tmp_path):
    found = Singers(singers)
    assert found.find("other", "here") == singers / "group" / "second"
    assert found.find("first", "here") == singers / "first"
    with pytest.raises(InputError, match=r"no singer 'Nobody' in .*it has .*Other.*Toy"):
        found.find("Nobody", "here")
    with pytest.raises(InputError, match="names no singer"):
        found.find("", "here")
    with pytest.raises(InputError, match="no such folder"):
        Singers(tmp_path / "none")
