"""What a voice's file says reaches the sampler, in today's names and in old ones."""

import dataclasses
import json
import resource

import pytest
from random_batches import INFO, MODEL, SCHEDULE, random_params, small_acoustic_model
from small_variance import small_variance_voice

from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.errors import InputError
from diffsinger_jax.voices.sampling import sampling_from_dict, sampling_to_dict
from diffsinger_jax.voices.variance import save_variance
from diffsinger_jax.voices.voice import Voice, load_voice, save_voice, with_variance


def voice_with(**sampling):
    """A voice whose file has this `sampling`."""
    settings = {"k_step": 10, "steps": 10, "temperature": 0.5, **sampling}
    return Voice(
        name="x",
        info=INFO,
        model=MODEL,
        schedule=SCHEDULE,
        process="eps",
        sampling=sampling_from_dict(settings, "voice.json"),
        dictionary="none",
        params={},
    )


def test_old_voices_sample_by_ddpm_from_the_auxiliary_mel():
    assert voice_with().sampling == Sampling(
        k_step=10, steps=10, method="ddpm", temperature=0.5, start="auxiliary"
    )
    assert voice_with(plms_interval=3, steps=4).sampling.method == "plms"
    with pytest.raises(InputError, match="sampling has 'k_stop', it knows k_step"):
        voice_with(k_stop=3)


@pytest.mark.parametrize(
    "further", [{}, {"method": "plms", "plms_interval": 2, "start": "gaussian"}]
)
def test_what_is_written_is_read_again(further):
    settings = {"k_step": 10, "steps": 5, "temperature": 0.0, **further}
    assert sampling_to_dict(sampling_from_dict(settings, "voice.json")) == settings


def test_names_of_earlier_versions_are_read(tmp_path):
    acoustic = small_acoustic_model(process="eps")
    voice = dataclasses.replace(voice_with(start="gaussian"), params=random_params(acoustic))
    save_voice(tmp_path / "voice", voice)
    file = tmp_path / "voice" / "voice.json"
    described = json.loads(file.read_text())
    described["sampling"]["start"] = "blurry"
    described["model"]["sees_padding"] = True
    file.write_text(json.dumps(described))
    read = load_voice(tmp_path / "voice")
    assert read.sampling == dataclasses.replace(voice.sampling, start="auxiliary")
    assert read.acoustic.model.unmasked_convs


def test_one_program_serves_all_temperatures():
    asked = []

    def program(params, batch, keys, temperature, *, sampling):
        asked.append((float(temperature), sampling))

    voice = voice_with()
    voice.__dict__["_programs"] = {"sample_mel": program}
    voice.sample_mel(None, None)
    voice.sample_mel(None, None, dataclasses.replace(voice.sampling, temperature=0.25))
    assert [temperature for temperature, _ in asked] == [0.5, 0.25]
    assert asked[0][1] == asked[1][1] == Sampling(10, 10)


@pytest.mark.parametrize(
    "wrong,match",
    [
        (Sampling(21, 5), "0 to 20"),
        (Sampling(10, 11), "1 to 10"),
        (Sampling(10, 0), "1 to 10"),
        (Sampling(10, 5, "magic"), "unipc, .*there is no 'magic'"),
        (Sampling(10, 5, start="cold"), "auxiliary, gaussian, there is no 'cold'"),
    ],
)
def test_a_sampling_that_is_out_of_range_is_one_sentence(wrong, match):
    with pytest.raises(InputError, match=match):
        voice_with().sample_mel(None, None, wrong)


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


def test_a_voice_sings_by_another_variance_model_or_by_none(tmp_path):
    variance = small_variance_voice(Sampling(1.0, 2, "euler", start="gaussian"))
    variance = dataclasses.replace(variance, correction=0.25)
    save_variance(tmp_path / "own", variance, dtype="bfloat16")
    voice = with_variance(voice_with(), tmp_path / "own")
    assert voice.variance.predicts == {"durations", "f0"} and voice.variance.correction == 0.25
    assert with_variance(voice, None).variance is None
    save_variance(tmp_path / "other", dataclasses.replace(variance, hop=128))
    with pytest.raises(InputError, match="another hop than the voice"):
        with_variance(voice, tmp_path / "other")
    with pytest.raises(InputError, match="no variance model"):
        with_variance(voice, tmp_path / "none")
