"""Qualities become arguments of `sample_mel`; the flags of `sing` offer what there is."""

import types

import pytest

from diffsinger_jax.cli import sing
from diffsinger_jax.diffusion.samplers import SAMPLERS
from diffsinger_jax.errors import InputError
from diffsinger_jax.voices.sampling import QUALITIES, sampling_arguments


def voice(k_step):
    return types.SimpleNamespace(k_step=k_step)


def test_without_a_quality_all_is_as_given():
    assert sampling_arguments(voice(9), k_step=3) == dict(k_step=3, steps=None, method=None)


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("k_step", [0, 1, 2, 51])
def test_a_quality_takes_no_more_steps_than_there_are(quality, k_step):
    for how in (dict(k_step=k_step), {}):
        found = sampling_arguments(voice(k_step), quality=quality, **how)
        method, steps = QUALITIES[quality]
        assert found["method"] == method in SAMPLERS
        assert found["steps"] == max(min(steps or k_step, k_step), 1)


def test_what_is_given_goes_first():
    found = sampling_arguments(voice(51), quality="draft", steps=20, method="ddim")
    assert (found["steps"], found["method"]) == (20, "ddim")
    with pytest.raises(InputError, match="draft, good, best, there is no 'finest'"):
        sampling_arguments(voice(51), quality="finest")


def test_good_is_at_least_five_times_fewer_calls_than_the_whole_walk():
    calls = [(steps or 51) + SAMPLERS[method].extra_calls for method, steps in QUALITIES.values()]
    assert calls == sorted(calls) and 5 * calls[list(QUALITIES).index("good")] <= 51


def test_the_flags_offer_what_there_is():
    for quality in QUALITIES:
        assert sing.parse_flags(["--quality", quality]).quality == quality
    for method in SAMPLERS:
        assert sing.parse_flags(["--method", method]).method == method
