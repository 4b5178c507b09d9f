"""Pieces that are added to a corpus: what they are, and that they change nothing else."""

import dataclasses

import numpy as np
import pytest
from sung import make_song, sing, write_pjs_song

from diffsinger_jax.audio.augmentation import augmented_frames
from diffsinger_jax.audio.mel import log_mel
from diffsinger_jax.cli import prepare
from diffsinger_jax.corpus.augmentation import Augmentation, added_examples
from diffsinger_jax.errors import InputError
from diffsinger_jax.pipeline.prepared import open_corpus
from diffsinger_jax.types import MEL_SPECS

SPEC = MEL_SPECS["24k_hop256"]
BOTH = Augmentation(key_shift=(-5.0, 5.0), speed=(0.5, 2.0))


def tone(hz, spec, seconds=1.0):
    time = np.arange(int(seconds * spec.sample_rate)) / spec.sample_rate
    return (0.3 * np.sin(2 * np.pi * hz * time)).astype(np.float32)


@pytest.mark.parametrize("name", ["24k_hop256", "44k_hop512"])
def test_a_stretch_that_is_not_changed_is_a_stretch_of_the_mel(name):
    spec = MEL_SPECS[name]
    wav = np.random.default_rng(0).normal(0, 0.1, 20_000).astype(np.float32)
    whole, inside = log_mel(wav, spec), slice(8, 20)
    np.testing.assert_allclose(augmented_frames(wav, spec, 8, 12), whole[inside], atol=1e-4)
    beyond = augmented_frames(wav, spec, len(whole) + 9, 3)
    np.testing.assert_allclose(beyond, spec.log(spec.log_floor), rtol=1e-6)


@pytest.mark.parametrize("name", ["24k_hop256", "44k_hop512"])
def test_a_shifted_tone_is_the_higher_tone_and_a_fast_click_comes_early(name):
    spec = MEL_SPECS[name]
    up, higher = 4.0, 600.0 * 2 ** (4 / 12)
    shifted = augmented_frames(tone(600.0, spec), spec, 20, 10, key_shift=up)
    peak = np.argmax(log_mel(tone(higher, spec), spec)[20:30].mean(axis=0))
    assert np.argmax(shifted.mean(axis=0)) == peak
    click = np.zeros(80 * spec.hop, np.float32)
    click[40 * spec.hop] = 1.0
    at = np.argmax(log_mel(click, spec).mean(axis=1))
    fast = augmented_frames(click, spec, 10, 40, speed=2.0)
    assert abs(np.argmax(fast.mean(axis=1)) - (at - 10) / 2) <= 0.5


def piece(frames=40):
    return {
        "name": "song#1", "speaker": np.int32(0), "tokens": np.array([1, 2, 3], "i4"),
        "note_midi": np.array([0, 60, 62], "f4"), "note_sec": np.array([0.1, 0.2, 0.1], "f4"),
        "ph_frames": np.array([10, 20, 10], "i4"), "f0": np.full(frames, 220.0, "f4"),
        "mel": np.zeros((frames, SPEC.n_mels), "f4"), "energy": np.linspace(-40, -20, frames),
    }  # fmt: skip


def test_an_added_piece_says_what_was_done_to_it():
    wav, found = tone(220.0, SPEC), []
    always = dataclasses.replace(BOTH, key_shift_share=1.0, speed_share=1.0)
    for name in (f"a#{n}" for n in range(1, 9)):
        found += added_examples({**piece(), "name": name}, wav, 3, SPEC, always)
    assert [e["name"] for e in found[:2]] == ["a#1+1", "a#1+2"]
    assert any(e["key_shift"][0] and e["speed"][0] != 1 for e in found)
    for example in found:
        frames, shift, speed = len(example["f0"]), example["key_shift"][0], example["speed"][0]
        assert example["ph_frames"].sum() == frames == len(example["mel"]) == len(example["speed"])
        assert abs(frames - 40 / speed) <= 0.5 and -5 <= shift <= 5 and 0.5 <= speed <= 2.0
        np.testing.assert_allclose(example["f0"], 220.0 * 2 ** (shift / 12), rtol=1e-6)
        np.testing.assert_allclose(example["note_midi"], [0, 60 + shift, 62 + shift], rtol=1e-6)
        np.testing.assert_allclose(example["note_sec"] * speed, [0.1, 0.2, 0.1], rtol=1e-6)
        places = np.minimum(np.arange(frames) * speed, 39)
        np.testing.assert_allclose(example["energy"], -40 + 20 * places / 39, rtol=1e-4)


def test_shares_and_ranges_are_those_asked_for_and_the_name_decides():
    drawn = [BOTH.variants(f"song#{n}") for n in range(2000)]
    assert drawn == [BOTH.variants(f"song#{n}") for n in range(2000)]
    flat = [one for of_piece in drawn for one in of_piece]
    kinds = [(shift != 0, speed != 1) for shift, speed in flat]
    shares = [kinds.count(kind) / 2000 for kind in ((True, False), (False, True), (True, True))]
    np.testing.assert_allclose(shares, [0.75, 0.75, 0.75 * 0.75 / 1.75], atol=0.03)
    speeds = np.log([speed for _, speed in flat if speed != 1])
    assert abs(np.median(speeds)) < 0.06 and np.abs(speeds).max() <= np.log(2)
    one_sided = Augmentation(key_shift=(-1.0, 9.0))
    shifts = [v[0] for n in range(500) for v in one_sided.variants(str(n))]
    assert min(shifts) > -1 and max(shifts) > 8 and abs(np.mean(np.array(shifts) > 0) - 0.5) < 0.1


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"key_shift": (1.0, 5.0)}, "range of key_shift is 1 to 5, expected 0 within it"),
        ({"key_shift": (-30.0, 0.0)}, "within -24 to 24"),
        ({"speed": (0.0, 2.0)}, "range of speed is 0 to 2, expected 1 within it"),
        ({"speed": (0.5, 2.0), "speed_share": 1.5}, "speed_share is 1.5"),
    ],
)
def test_ranges_that_are_none_are_one_sentence(settings, said):
    with pytest.raises(InputError, match=said):
        Augmentation(**settings)


def test_a_corpus_gets_pieces_to_train_on_and_no_others(tmp_path):
    labels, notes = make_song([57, 60, 62, 64])
    for name in ("pjs001", "pjs002"):
        write_pjs_song(tmp_path / "raw", name, labels, notes, sing(labels, notes))
    flags = ["--raw", tmp_path / "raw", "--mel", "24k_hop256", "--f0", "dio", "--jobs", 1]
    flags += ["--test", "pjs002", "--validation", "--curves", "energy"]
    out, plain = tmp_path / "out", tmp_path / "plain"
    added = ["--key_shift", -5, 5, "--key_shift_share", 1]
    prepare.main(["pjs", *map(str, [*flags, "--out", out, *added])])
    prepare.main(["pjs", *map(str, [*flags, "--out", plain])])
    corpus = open_corpus(out, ("energy", "key_shift", "speed"))
    assert corpus.info.ranges == {"key_shift": (-5.0, 5.0)}
    train, test = list(corpus.source("train")), list(corpus.source("test"))
    assert len(test) == 1 and len(train) == 2
    shifts = sorted(float(np.abs(e["key_shift"]).max()) for e in train)
    assert shifts[0] == 0.0 < shifts[1] <= 5.0 and not test[0]["key_shift"].any()
    (before,) = open_corpus(plain, ("energy",)).source("train")
    (kept,) = [e for e in train if not e["key_shift"].any()]
    for name in ("mel", "f0", "energy", "ph_frames", "note_midi"):
        np.testing.assert_array_equal(kept[name], before[name])
