"""Breaths in rests: found where they were put, none elsewhere, and sung as they were found."""

import types

import numpy as np
import pytest

from diffsinger_jax.corpus.breaths import breaths_of, find_breath, singing_level
from diffsinger_jax.corpus.info import corpus_info_from_dict, corpus_info_to_dict
from diffsinger_jax.synthesis.breaths import breath_spans, breathe
from diffsinger_jax.types import BREATH, SILENCE, Breaths, CorpusInfo, MelSpec, Phoneme, Vocabulary

SPEC = MelSpec(hop=256, n_fft=1024, win=1024)
RATE = SPEC.frames_per_sec
VOCABULARY = Vocabulary((SILENCE, BREATH, "a"))


def recording(rest_frames=60, breath=(25, 45), level=-1.6, voiced=False):
    """A rest, then singing; a swell of noise in the rest."""
    rng = np.random.default_rng(0)
    mel = np.full((rest_frames + 100, 80), -3.6)
    mel[rest_frames:] = -0.5
    if breath:
        first, last = breath
        swell = np.sin(np.pi * (np.arange(last - first) + 0.5) / (last - first))
        mel[first:last, 20:75] = level + np.log10(swell)[:, None]
    f0 = np.zeros(len(mel))
    f0[rest_frames:] = 200.0
    if voiced:
        f0[:rest_frames] = 200.0
    return {
        "mel": (mel + 0.05 * rng.normal(size=mel.shape)).astype("f4"),
        "f0": f0.astype("f4"),
        "tokens": np.array([1, 3], np.int32),
        "ph_frames": np.array([rest_frames, 100], np.int32),
    }


def found(example):
    level = singing_level(example["mel"], example["f0"])
    rest = (0, int(example["ph_frames"][0]))
    return find_breath(example["mel"], example["f0"], rest, level, SPEC)


def test_a_swell_of_noise_in_a_rest_is_a_breath():
    first, last = found(recording())
    assert abs(first - 25) <= 4 and abs(last - 45) <= 4


@pytest.mark.parametrize(
    "other",
    [
        {"breath": None},
        {"level": -3.5},  # too soft
        {"voiced": True},  # a hum
        {"rest_frames": 20, "breath": (5, 15)},  # too short a rest
        {"breath": (0, 60), "rest_frames": 60},  # longer than breaths are
    ],
)
def test_what_is_none_is_not_found(other):
    example = recording(**other)
    if other.get("breath") == (0, 60):
        example["mel"][:60] = -1.6
    assert found(example) is None


def test_how_a_singer_breathes_is_kept_with_the_corpus():
    examples = [recording(), recording(breath=(20, 40)), recording(breath=None)]
    breaths = breaths_of(examples, VOCABULARY, SPEC)
    assert breaths.share == pytest.approx(2 / 3)
    assert breaths.sec == pytest.approx(20 / RATE, abs=0.05)
    assert breaths.gap_sec == pytest.approx(17.5 / RATE, abs=0.05)
    assert np.abs(breaths.mel[20:75] + 1.6).max() < 0.15
    assert breaths_of(examples[2:], VOCABULARY, SPEC) is None
    ends = np.zeros(80, np.float32)
    info = CorpusInfo("c", SPEC, VOCABULARY, ends - 5, ends, breaths=breaths)
    again = corpus_info_from_dict(corpus_info_to_dict(info), "here").breaths
    assert again.share == breaths.share and np.array_equal(again.mel, breaths.mel)


STYLE = Breaths(0.5, 0.2, 0.1, np.full(80, -1.6, np.float32))


def piece(*symbols, rest_sec=0.5):
    phonemes = tuple(Phoneme(symbol, i, True) for i, symbol in enumerate(symbols))
    return types.SimpleNamespace(phonemes=phonemes, rest_sec=rest_sec)


def spans(of, ph_frames, seed=0):
    return breath_spans(STYLE, of, np.array(ph_frames), np.random.default_rng(seed), SPEC)


def test_breaths_come_as_often_and_as_long_before_singing_as_the_singers():
    taken = [spans(piece(SILENCE, "a"), [28, 100], seed) for seed in range(400)]
    assert np.mean([bool(one) for one in taken]) == pytest.approx(STYLE.share, abs=0.08)
    ((first, last),) = {one[0] for one in taken if one}
    assert last == 28 - round(0.1 * RATE) and last - first == min(round(0.2 * RATE), last)
    assert taken[3] == spans(piece(SILENCE, "a"), [28, 100], 3)


def test_no_short_rest_is_breathed_in_and_marks_of_the_score_always_are():
    short = [spans(piece(SILENCE, "a", rest_sec=0.2), [19, 100], seed) for seed in range(40)]
    assert not any(short)
    assert not any(spans(piece("a", SILENCE), [50, 40], seed) for seed in range(40))
    marked = {spans(piece(SILENCE, BREATH, "a"), [20, 15, 50], seed) for seed in range(40)}
    assert marked == {((20, 35),)}


def test_a_breath_that_was_sung_is_found_again_at_the_singers_level():
    example = recording(breath=None)
    mel = example["mel"].copy()
    breathe(mel, example["f0"], ((22, 42),), STYLE, SPEC)
    first, last = found({**example, "mel": mel})
    assert abs(first - 22) <= 4 and abs(last - 42) <= 4
    assert np.abs(mel[30:34].mean() - STYLE.mel.mean()) * 20 < 1.0
    assert np.array_equal(mel[42:], example["mel"][42:])
