"""The training program of a vocoder, whole and resumed, on made-up recordings."""

import json

import jax
import numpy as np
import pytest
from diffsinger_jax.configs import (
    vocoder_24k,
    vocoder_44k,
    vocoder_base,
    vocoder_overfit,
    vocoder_tiny,
)
from ml_collections import ConfigDict

from diffsinger_jax.audio.wav import write_wav
from diffsinger_jax.corpus.recordings import RecordingSettings, find_recordings, prepare_recordings
from diffsinger_jax.engine.typed_config import as_dict
from diffsinger_jax.engine.workdir import Workdir
from diffsinger_jax.errors import InputError
from diffsinger_jax.pipeline.recordings import open_recordings
from diffsinger_jax.tasks.registry import task_of
from diffsinger_jax.tasks.vocoder.config import check_recordings, vocoder_config
from diffsinger_jax.tasks.vocoder.task import (
    open_run,
    start_vocoder,
    train_vocoder,
    vocoder_task,
)
from diffsinger_jax.types import MEL_SPECS
from diffsinger_jax.voices.vocoder import load_vocoder

SPEC = MEL_SPECS["24k_hop256"]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A second of a gliding tone to learn from, and one to hold out."""
    folder = tmp_path_factory.mktemp("recordings")
    t = np.arange(SPEC.sample_rate) / SPEC.sample_rate
    for name, hz in (("a", 220.0), ("b", 300.0)):
        wav = 0.3 * np.sin(2 * np.pi * hz * t * (1 + 0.2 * t))
        write_wav(folder / f"{name}.wav", wav.astype("f4"), SPEC.sample_rate)
    settings = RecordingSettings(mel=SPEC, f0="dio", validation=("b",), licence="CC0; a tone")
    prepare_recordings(find_recordings([folder]), settings, folder / "prepared", 1)
    return folder / "prepared"


def config_of(recordings, **changes):
    config = vocoder_tiny.get_config()
    config.recordings = str(recordings)
    with config.ignore_type():
        config.update_from_flattened_dict(changes)
    return config


def typed(config):
    return vocoder_config(as_dict(config))


@pytest.fixture(scope="module")
def trained(recordings, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("trained")
    return workdir, train_vocoder(config_of(recordings), workdir)


@pytest.mark.slow
def test_training_leaves_a_vocoder_numbers_pictures_and_sounds(trained):
    workdir, vocoder = trained
    written = load_vocoder(workdir / "vocoder")
    assert written.mel == SPEC and written.licence == "CC0; a tone" and written.name == "tiny"
    jax.tree.map(np.testing.assert_array_equal, written.params, vocoder.params)
    lines = [json.loads(x) for x in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [x["step"] for x in lines if "loss" in x] == [1, 2, 3, 4]
    assert all(np.isfinite(x["mel"]) and x["skipped"] == 0 for x in lines if "loss" in x)
    (last,) = [x for x in lines if "validation_mel" in x]
    assert last["validation_stft"] > 0 and last["validation_mcd"] > 0
    assert (workdir / "pictures" / "vocoder_000004_mel_0.png").exists()
    events = b"".join(path.read_bytes() for path in (workdir / "tensorboard").rglob("events*"))
    assert b"truth/0" in events and b"vocoder/0" in events and b"mel/0" in events


@pytest.mark.slow
def test_a_resumed_run_is_the_undisturbed_one(trained, recordings, tmp_path):
    train_vocoder(config_of(recordings, **{"vocoder.steps": 2}), tmp_path)
    again = train_vocoder(config_of(recordings), tmp_path)
    jax.tree.map(np.testing.assert_array_equal, again.params, trained[1].params)
    with pytest.raises(InputError, match="holds a run with another `generator`"):
        train_vocoder(config_of(recordings, **{"generator.channels": 4}), tmp_path)


@pytest.mark.slow
def test_fine_tuning_starts_from_the_weights(trained, recordings, tmp_path):
    workdir, vocoder = trained
    # The config's own sizes do not count.
    config = config_of(recordings, start_from=str(workdir / "vocoder"))
    config.generator.channels = 64
    state = vocoder_task(open_run(typed(config), Workdir(tmp_path))).start()
    jax.tree.map(np.testing.assert_array_equal, state.params["generator"], vocoder.params)
    jax.tree.map(np.testing.assert_array_equal, state.ema, vocoder.params)
    with pytest.raises(InputError, match="config.start_from: .*nowhere is no vocoder"):
        open_run(typed(config_of(recordings, start_from="nowhere")), Workdir(tmp_path))


@pytest.mark.parametrize(
    "module", [vocoder_24k, vocoder_44k, vocoder_base, vocoder_overfit, vocoder_tiny]
)
def test_the_configs_that_ship_are_sound(module):
    typed(module.get_config())


WRONG = {
    # field: value -> what is said
    "f0": ({"unvoiced": "held"}, "config.unvoiced is one of zero, filled, got 'held'"),
    "a rate": ({"vocoder.learning_rate.peak": 0.0}, "peak is 0.0, expected more than 0"),
    "rates": (
        {"vocoder.learning_rate": ConfigDict({"name": "flat"})},
        "by_time, got 'flat'",
    ),
    "an optimizer": ({"vocoder.optimizer": "sgd"}, "optimizer is one of adamw, muon"),
    "no steps": ({"vocoder.steps": 0}, "config.vocoder.steps is 0"),
    "no mel": ({"vocoder.weights.mel": 0.0, "vocoder.adversarial_after": 9}, "in the first 9 st"),
    "nothing": (
        {f"vocoder.weights.{name}": 0.0 for name in ("mel", "features", "adversarial")},
        "all of config.vocoder.weights",
    ),
    "views": ({"vocoder.mel_views": ((1000, 900),)}, "mel_views is .*expected pairs of samples"),
    "no views": ({"vocoder.mel_views": ()}, "mel_views is .*expected pairs of samples"),
    "no discriminators": ({"discriminators.periods": ()}, "discriminators has no periods"),
    "narrow": ({"discriminators.width": 0.01}, "width is 0.01, expected a multiple of 0.03125"),
    "no rows": ({"vocoder.rows": 0}, "config.vocoder.rows is 0, expected 1 or more"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_said(case):
    fields, said = WRONG[case]
    with pytest.raises(InputError, match=said) as caught:
        typed(config_of("nowhere", **fields))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_keys_kinds_and_stages():
    config = vocoder_tiny.get_config()
    config.vocoder.batch = 5
    with pytest.raises(InputError, match="config.vocoder.batch, which nothing reads"):
        typed(config)
    config = vocoder_tiny.get_config()
    del config.generator.source
    with pytest.raises(InputError, match="lacks .*generator.source; begin with configs/vocoder_b"):
        typed(config)
    with pytest.raises(
        InputError, match="config.kind is one of acoustic, .*, vocoder, got 'drums'"
    ):
        task_of("drums")
    with pytest.raises(InputError, match="a vocoder has no stages, got --stage=denoiser"):
        train_vocoder(vocoder_tiny.get_config(), "nowhere", "denoiser")


def test_what_does_not_fit_the_recordings_is_said(recordings):
    info = open_recordings(recordings).info

    def check(mel=SPEC, multiple=1, **changes):
        check_recordings(typed(config_of(recordings, **changes)), mel, info, multiple)

    check()
    with pytest.raises(InputError, match="have hop 256, the vocoder voc 512; prepare them with"):
        check(MEL_SPECS["44k_hop512"].__class__(hop=512), start_from="voc")
    with pytest.raises(InputError, match="rows is 2, expected a multiple of 8"):
        check(multiple=8)
    with pytest.raises(InputError, match="frames is 90, 107 with .* longest recording has 94"):
        check(**{"vocoder.frames": 90})
    with pytest.raises(InputError, match="256 samples, too few for the 1024 in config.vocoder.mel"):
        check(**{"vocoder.frames": 1, "vocoder.mel_views": ((1024, 80),)})
    with pytest.raises(InputError, match="config.generator: .*multiply to 128, the hop is 256; co"):
        wrong = config_of(recordings, **{"generator.upsample_rates": (16, 8)})
        start_vocoder(typed(wrong), open_recordings(recordings))
