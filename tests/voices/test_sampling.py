"""What is asked for is resolved against a voice once; the flags offer what there is."""

import types

import pytest

from diffsinger_jax.cli import sing
from diffsinger_jax.diffusion.path import Path
from diffsinger_jax.diffusion.samplers import ALL_SAMPLERS, SAMPLERS
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.diffusion.schedule import linear_schedule
from diffsinger_jax.errors import InputError
from diffsinger_jax.voices.qualities import METHODS, QUALITIES
from diffsinger_jax.voices.sampling import resolve_sampling


def voice(k_step=51, steps=None, **sampling):
    """What of a voice with 100 steps is needed."""
    own = Sampling(k_step, max(k_step, 1) if steps is None else steps, **sampling)
    return types.SimpleNamespace(sampling=own, path=linear_schedule(100).path)


def test_nothing_asked_is_the_voice_s_own():
    one = voice(9, 4, method="ddim", eta=0.3, temperature=0.5, start="gaussian")
    assert resolve_sampling(one) == one.sampling


def test_another_k_takes_all_its_steps():
    assert resolve_sampling(voice(10, 5), k_step=4) == Sampling(4, 4)
    assert resolve_sampling(voice(10, 5), k_step=10) == Sampling(10, 5)
    assert resolve_sampling(voice(10, 5), k_step=0).k_step == 0
    assert resolve_sampling(voice(10, 5), temperature=0.2) == Sampling(10, 5, temperature=0.2)


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("k_step", [0, 1, 2, 51])
def test_a_quality_takes_no_more_steps_than_there_are(quality, k_step):
    for one, how in ((voice(51), {"k_step": k_step}), (voice(k_step), {})):
        found = resolve_sampling(one, quality=quality, **how)
        method, steps = QUALITIES[quality]
        assert found.method == method in SAMPLERS and found.k_step == k_step
        assert found.steps == max(min(steps or k_step, k_step), 1)


@pytest.mark.parametrize("quality", QUALITIES)
def test_a_voice_made_for_few_steps_keeps_them_at_every_quality(quality):
    one = voice(25, 1, method="consistency")
    assert resolve_sampling(one, quality=quality) == one.sampling
    assert resolve_sampling(one, quality=quality, steps=2).steps == 2
    assert resolve_sampling(voice(25, 13), quality=quality).method == QUALITIES[quality].method


def test_what_is_given_goes_first():
    found = resolve_sampling(voice(), quality="draft", steps=20, method="ddim")
    assert (found.steps, found.method) == (20, "ddim")
    with pytest.raises(InputError, match="draft, good, best, there is no 'finest'"):
        resolve_sampling(voice(), quality="finest")


def test_a_plms_voice_keeps_its_interval_unless_told_how_many_steps():
    one = voice(10, 4, method="plms", start="gaussian", plms_interval=3)

    def interval(**how):
        return resolve_sampling(one, **how).plms_interval

    assert interval() == interval(steps=4) == 3
    assert interval(steps=2) == 5 and interval(k_step=2) == 2
    assert interval(method="unipc") is None
    assert resolve_sampling(one, steps=2).start == "gaussian"


def test_eta_is_of_the_voice_s_own_method():
    one = voice(10, 10, method="ddim", eta=0.3)
    assert resolve_sampling(one, steps=5).eta == 0.3
    assert resolve_sampling(one, method="unipc").eta == 0.0


@pytest.mark.parametrize("asked", [dict(k_step=101), dict(steps=52), dict(k_step=5, steps=6)])
def test_numbers_out_of_range_are_one_sentence(asked):
    with pytest.raises(InputError, match="0 to 100|1 to 51|1 to 5"):
        resolve_sampling(voice(), **asked)


def test_on_a_continuous_path_steps_do_not_depend_on_the_depth():
    line = Path(lambda t: t, lambda t: 1.0 - t, noise_time=0.0, data_time=1.0)
    one = types.SimpleNamespace(sampling=Sampling(0.6, 20, "ddim"), path=line)
    assert resolve_sampling(one, k_step=0.3).steps == 20
    assert resolve_sampling(one, quality="good").steps == QUALITIES["good"].steps
    assert resolve_sampling(one, quality="best").steps == 20
    assert resolve_sampling(one, method="rk4").method == "rk4"
    with pytest.raises(InputError, match="k_step is 0 to 1"):
        resolve_sampling(one, k_step=1.5)
    with pytest.raises(InputError, match="plms cannot start from noise alone"):
        resolve_sampling(one, k_step=1.0, method="plms")
    with pytest.raises(InputError, match="euler, .* follow the velocity .* choose one of ddpm"):
        resolve_sampling(voice(), method="euler")


def test_the_names_are_those_of_the_samplers():
    assert list(METHODS) == list(ALL_SAMPLERS)


def test_good_is_at_least_five_times_fewer_calls_than_every_step():
    calls = [(steps or 51) + SAMPLERS[method].extra_calls for method, steps in QUALITIES.values()]
    assert calls == sorted(calls) and 5 * calls[list(QUALITIES).index("good")] <= 51


def test_the_flags_offer_what_there_is():
    for quality in QUALITIES:
        assert sing.parse_flags(["--quality", quality]).quality == quality
    for method in METHODS:
        assert sing.parse_flags(["--method", method]).method == method
