"""How a voice's own settings reach the sampler."""

import dataclasses
import resource

import pytest
from random_batches import INFO, MODEL, SCHEDULE

from diffsinger_jax.errors import InputError
from diffsinger_jax.voices.voice import Voice, save_voice


def voice_with(**sampling):
    """A voice whose `sample_mel` only says what it was asked for."""
    voice = Voice(
        name="x",
        info=INFO,
        model=MODEL,
        schedule=SCHEDULE,
        process="eps",
        sampling={"k_step": 10, "steps": 10, "temperature": 0.5, **sampling},
        dictionary="none",
        params={},
    )

    def asked(params, batch, keys, temperature, *, sampling):
        return {**dataclasses.asdict(sampling), "temperature": temperature}

    voice.__dict__["_programs"] = {"sample_mel": asked}
    return voice


def test_old_voices_sample_by_ddpm_from_the_auxiliary_mel():
    asked = voice_with().sample_mel(None, None)
    assert asked == dict(
        k_step=10,
        steps=10,
        temperature=0.5,
        start="auxiliary",
        method="ddpm",
        eta=0.0,
        plms_interval=None,
    )
    assert voice_with().sample_mel(None, None, k_step=4)["steps"] == 4


def test_a_plms_voice_keeps_its_interval_unless_told_how_many_steps():
    voice = voice_with(start="gaussian", steps=4, plms_interval=3)
    assert voice.sample_mel(None, None)["plms_interval"] == 3
    assert voice.sample_mel(None, None, steps=4)["plms_interval"] == 3
    assert voice.sample_mel(None, None, steps=2)["plms_interval"] == 5
    assert voice.sample_mel(None, None, k_step=2)["plms_interval"] == 2
    assert voice.sample_mel(None, None)["start"] == "gaussian"
    assert voice.sample_mel(None, None)["method"] == "plms"
    assert voice.sample_mel(None, None, method="unipc")["plms_interval"] is None


def test_a_voice_names_its_method_and_can_be_told_another():
    voice = voice_with(method="ddim", eta=0.3)
    own, other = voice.sample_mel(None, None), voice.sample_mel(None, None, method="unipc")
    assert (own["method"], own["eta"]) == ("ddim", 0.3)
    assert (other["method"], other["eta"]) == ("unipc", 0.0)
    with pytest.raises(InputError, match="unipc, there is no 'magic'"):
        voice.sample_mel(None, None, method="magic")


@pytest.mark.parametrize("asked", [dict(k_step=21), dict(steps=11)])
def test_sampling_that_are_out_of_range(asked):
    with pytest.raises(InputError, match="0 to 20|1 to 10"):
        voice_with().sample_mel(None, None, **asked)


def test_a_voice_that_the_disk_has_no_room_for_is_said_in_a_sentence(tmp_path):
    voice = voice_with(k_step=2, steps=2)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # no file may be longer
    try:
        with pytest.raises(InputError, match="the voice could not be written to"):
            save_voice(tmp_path / "voice", voice)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not any((tmp_path / "voice").iterdir())
