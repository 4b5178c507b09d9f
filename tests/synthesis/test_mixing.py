"""Samples given out one block after the other are those of the whole, and never too loud."""

import numpy as np
import pytest
from fake_voice import SPEC

from diffsinger_jax.synthesis.mixing import PEAK, Mixer

SAMPLES = 50_001


def sounds(seed=0):
    """(start, wav), each beginning where the next cannot reach; some far too loud."""
    rng = np.random.default_rng(seed)
    starts = [-700, 8_000, 21_000, 21_500, 47_000]
    levels = [0.3, 1.5, 0.8, 0.6, 0.2]
    return [
        (start, level * rng.uniform(-1, 1, 9_000).astype(np.float32))
        for start, level in zip(starts, levels, strict=True)
    ]


def whole(parts):
    mixer = Mixer(SAMPLES, SPEC)
    for start, wav in parts:
        mixer.add(wav, start)
    return mixer.settled()


def test_blocks_in_a_row_are_the_whole():
    expected = whole(sounds())
    mixer, blocks = Mixer(SAMPLES, SPEC), []
    for start, wav in sounds():
        blocks.append(mixer.settled(start))
        for first in range(0, len(wav), 1_000):
            mixer.add(wav[first : first + 1_000], start + first)
    blocks.append(mixer.settled())
    assert sum(len(block) > 0 for block in blocks) > 3
    assert len(expected) == SAMPLES
    np.testing.assert_array_equal(np.concatenate(blocks), expected)
    assert mixer.settled().size == 0


def test_it_is_never_too_loud_and_elsewhere_what_was_added():
    wav = whole(sounds())
    assert 0.9 < np.abs(wav).max() <= PEAK + 1e-6
    _, first = sounds()[0]
    np.testing.assert_array_equal(wav[300:3_000], first[1_000:3_700])
    assert wav[0] == wav[-1] == 0


def test_the_gain_is_smooth():
    mixer = Mixer(SAMPLES, SPEC)
    mixer.add(np.full(SAMPLES, 0.5, np.float32), 0)
    mixer.add(np.full(100, 1.5, np.float32), 25_000)
    wav = mixer.settled()
    assert np.abs(np.diff(wav[500:24_000])).max() < 2e-4
    assert wav[25_050] == pytest.approx(PEAK)


def test_what_was_given_out_cannot_change():
    mixer = Mixer(SAMPLES, SPEC)
    given = mixer.settled(20_000)
    assert 10_000 < len(given) <= 20_000
    with pytest.raises(ValueError, match="given out"):
        mixer.add(np.ones(10, np.float32), 5_000)


def test_a_short_song_and_an_empty_one():
    mixer = Mixer(3, SPEC)
    mixer.add(np.ones(3, np.float32), 0)
    assert len(mixer.settled()) == 3
    assert Mixer(0, SPEC).settled().size == 0
