"""What a score says beside notes, as a voice is told it."""

import json

import numpy as np
import pytest

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.ds import faults_of, read_ds, write_ds
from diffsinger_jax.synthesis.arrays import piece_arrays
from diffsinger_jax.synthesis.controls import (
    Controls,
    control_curve,
    name_phonemes,
    speaker_weights,
)
from diffsinger_jax.types import Curve, Note, Phoneme, Piece, Score, Vocabulary, frames_reached

FPS = 10.0
VOCABULARY = Vocabulary(
    ("AP", "SP", "ja/a", "ja/k", "zh/b"), languages=("ja", "zh"), merged=(("ja/a", "zh/a"),)
)


def piece_with(**curves):
    made = {name.replace("__", "/"): Curve(np.asarray(v, "f4"), 0.1) for name, v in curves.items()}
    return Piece(0.0, (Note(0.4, 60.0),), (Phoneme("a", 0, True, 0.4),), made, "segment 1", "ja")


def test_gender_is_a_share_of_the_range_on_its_side_and_velocity_stays_within():
    piece = piece_with(gender=[-1, -0.5, 0.5, 2], velocity=[0.1, 1, 3, 3])
    ranges = {"key_shift": (-5.0, 6.0), "speed": (0.5, 2.0)}
    np.testing.assert_allclose(
        control_curve("key_shift", piece, 3, FPS, ranges), [-5, -2.5, 3], rtol=1e-6
    )
    np.testing.assert_allclose(control_curve("speed", piece, 3, FPS, ranges), [0.5, 1, 2])
    assert not control_curve("key_shift", piece_with(), 4, FPS).any()
    np.testing.assert_array_equal(control_curve("speed", piece_with(), 4, FPS), 1.0)
    with pytest.raises(InputError, match="segment 1: there is no curve 'energy'"):
        control_curve("energy", piece, 3, FPS)


def test_speakers_are_mixed_by_shares_of_sum_one():
    piece = piece_with(spk_mix__one=[0.2, 0.6, 0.6], spk_mix__two=[0.6])
    found = speaker_weights(piece, ("one", "two"), 0, 3, FPS)
    np.testing.assert_allclose(found, [[0.25, 0.75], [0.5, 0.5], [0.5, 0.5]], rtol=1e-6)
    alone = speaker_weights(piece_with(), ("one", "two"), 1, 2, FPS)
    np.testing.assert_array_equal(alone, [[0, 1], [0, 1]])
    with pytest.raises(InputError, match="segment 1: spk_mix: the voice has no speaker 'one'"):
        speaker_weights(piece, ("two",), 0, 3, FPS)
    with pytest.raises(InputError, match="weights are 0 or more, and not all"):
        speaker_weights(piece_with(spk_mix__one=[0.0]), ("one",), 0, 3, FPS)


def test_controls_change_what_a_score_gives_and_say_what_it_does_not():
    score = Score("x", "ja", (piece_with(energy=[-30, -20], gender=[0.5]),), "x.ds")
    controls = Controls(gender=0.25, velocity=2.0, offsets={"energy": 6.0}, speakers={"two": 1.0})
    (piece,) = controls.applied(score).pieces
    np.testing.assert_allclose(piece.curves["energy"].values, [-24, -14])
    np.testing.assert_allclose(piece.curves["gender"].values, [0.75])
    np.testing.assert_allclose(piece.curves["velocity"].values, [2.0])
    np.testing.assert_allclose(piece.curves["spk_mix/two"].values, [1.0])
    assert Controls().applied(score) == score
    with pytest.raises(InputError, match="x.ds: segment 1: there is no curve 'tension' to add 1"):
        Controls(offsets={"tension": 1.0}).applied(score)


def test_phonemes_get_the_names_and_languages_of_a_voice():
    phonemes = tuple(Phoneme(s, 0, i == 0, 0.1) for i, s in enumerate(("a", "zh/a", "AP", "zh/b")))
    score = Score("x", "zh", (Piece(0.0, (Note(0.4, 60.0),), phonemes, language="ja"),))
    (piece,) = name_phonemes(score, VOCABULARY).pieces
    assert [p.symbol for p in piece.phonemes] == ["ja/a", "zh/a", "AP", "zh/b"]
    example = piece_arrays(piece, VOCABULARY, FPS, language=0).example
    np.testing.assert_array_equal(example["tokens"][1:-1], [3, 3, 1, 5])  # between silences
    np.testing.assert_array_equal(example["language"][1:-1], [0, 1, 0, 1])


def test_frames_are_counted_to_the_one_that_holds_the_end():
    np.testing.assert_array_equal(frames_reached([0.13, 0.13, 0.14], 10.0), [2, 1, 1])
    assert frames_reached([0.31], 10.0)[0] == 4


def segment(**changes):
    return {
        "ph_seq": "SP a SP", "ph_dur": "0.1 0.4 0.1", "ph_num": "1 1 1", "lang": "ja",
        "note_seq": "rest A3 rest", "note_dur": "0.1 0.4 0.1", "note_slur": "0 0 0",
        "f0_seq": "220 " * 12, "f0_timestep": 0.05,
        **changes,
    }  # fmt: skip


def test_a_ds_file_keeps_speakers_and_languages(tmp_path):
    mix = {"alpha": "0.25 0.5", "beta": 0.5}
    (tmp_path / "a.ds").write_text(json.dumps([segment(spk_mix=mix, spk_mix_timestep=0.3)]))
    score = read_ds(tmp_path / "a.ds")
    curves = score.pieces[0].curves
    np.testing.assert_allclose(curves["spk_mix/alpha"].values, [0.25, 0.5])
    np.testing.assert_allclose(curves["spk_mix/beta"].values, [0.5])
    assert score.pieces[0].language == "ja"
    write_ds(tmp_path / "b.ds", score)
    again = read_ds(tmp_path / "b.ds").pieces[0]
    assert again.curves.keys() == curves.keys() and again.language == "ja"
    for name, curve in curves.items():
        np.testing.assert_array_equal(again.curves[name].values, curve.values)


@pytest.mark.parametrize(
    "changes,said",
    [
        ({"spk_mix": "alpha"}, "spk_mix: expected shares by speaker, got str"),
        ({"spk_mix": {"a": "x"}}, "spk_mix: the share of 'a' is no number"),
        ({"spk_mix": {"a": "1 2"}}, "spk_mix_timestep: spk_mix needs its seconds per value"),
        ({"f0_seq": "220 " * 9}, "f0_seq: it lasts 0.450 s"),
    ],
)
def test_faults_of_such_files_are_named(tmp_path, changes, said):
    (tmp_path / "a.ds").write_text(json.dumps([segment(**changes)]))
    assert said in "; ".join(faults_of(tmp_path / "a.ds"))


def test_f0_may_end_a_tenth_of_a_second_early(tmp_path):
    (tmp_path / "a.ds").write_text(json.dumps([segment(f0_seq="220 " * 97, f0_timestep=0.005)]))
    assert faults_of(tmp_path / "a.ds") == []
