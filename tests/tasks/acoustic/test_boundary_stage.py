"""The boundary between the stages: trained, found, used, and reported."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from diffsinger_jax.configs import ablations, base, tiny

from diffsinger_jax.cli import boundary as boundary_command
from diffsinger_jax.engine.typed_config import as_dict
from diffsinger_jax.errors import InputError
from diffsinger_jax.tasks.acoustic.config import acoustic_config
from diffsinger_jax.tasks.acoustic.task import train_voice, with_boundary
from diffsinger_jax.voices.voice import load_voice


def short_config(corpus, **sampling):
    """tiny.py, shorter still."""
    config = tiny.get_config()
    config.corpus = str(corpus)
    for stage in (config.auxiliary, config.boundary, config.denoiser):
        stage.steps, stage.frames_per_batch = 2, 128
    config.buckets = 1
    config.songs_shown = 0
    config.sampling.update(sampling)
    return config.copy_and_resolve_references()


@pytest.fixture(scope="module")
def auto_run(made_up_corpus, tmp_path_factory):
    """A run with k_step = "auto" by the closed form, all stages, and a predictor beside it."""
    workdir = tmp_path_factory.mktemp("auto")
    config = short_config(made_up_corpus, k_step="auto")
    config.boundary.method = "closed_form"
    voice = train_voice(config, workdir)
    assert train_voice(config, workdir, "boundary") is None
    return config, workdir, voice


@pytest.mark.slow
def test_auto_finds_k_between_the_stages_and_the_voice_samples_with_it(auto_run):
    config, workdir, voice = auto_run
    known = json.loads((workdir / "boundary_step.json").read_text())
    assert known["method"] == "closed_form" and 1 <= known["k_step"] <= 100
    assert voice.sampling.k_step == known["k_step"]
    assert load_voice(workdir / "voice").sampling == voice.sampling
    assert voice.sampling.steps <= voice.sampling.k_step
    assert "boundary" not in voice.params  # the predictor is no part of the voice
    again = train_voice(config, workdir)  # opened again, the same k
    assert again.sampling.k_step == voice.sampling.k_step

    config = config.copy_and_resolve_references()
    config.boundary.method = "learned"
    with pytest.raises(InputError, match="even at the first step .* raise config.boundary.steps"):
        train_voice(config, workdir)  # two steps teach it nothing, and that is said


@pytest.mark.slow
def test_one_command_reports_all_three_and_writes_the_one_asked_for(auto_run, capsys):
    _, workdir, voice = auto_run
    boundary_command.main(["--workdir", str(workdir), "--k_step", "2", "4", "--write", "grid"])
    report = json.loads((workdir / "boundary.json").read_text())
    found = report["found"]
    assert found.keys() == {"closed_form", "learned", "grid"}
    assert found["closed_form"] == voice.sampling.k_step and found["grid"] in (2, 4)
    assert np.shape(report["learned"]["mean_margin"]) == (100,)
    assert (workdir / "boundary.png").read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert all(f"{way}: k = {k} of 100" in said for way, k in found.items())
    assert "learnt nothing" in said

    written = load_voice(workdir / "voice")
    assert written.sampling.k_step == written.sampling.steps == found["grid"]
    assert written.sampling.temperature == voice.sampling.temperature
    np.testing.assert_array_equal(
        written.params["prior_scale"], np.asarray(voice.params["prior_scale"])
    )


@pytest.mark.slow
def test_single_stages_build_on_each_other(auto_run, made_up_corpus, tmp_path, capsys):
    config = short_config(made_up_corpus)
    with pytest.raises(InputError, match="auxiliary .* step 0 of 2.*--stage=auxiliary"):
        train_voice(config, tmp_path, "denoiser")
    _, trained, _ = auto_run
    stage = Path("checkpoints", "auxiliary")
    shutil.copytree(trained / stage, tmp_path / stage)
    auxiliary = train_voice(config, tmp_path, "auxiliary")
    written = load_voice(tmp_path / "voice_auxiliary")
    assert auxiliary.sampling.k_step == written.sampling.k_step == 0
    assert not (tmp_path / "checkpoints" / "denoiser").exists()
    boundary_command.main(["--workdir", str(tmp_path)])
    said = capsys.readouterr().out
    assert "closed_form: k = " in said
    assert "learned: not measured" in said and "--stage=boundary" in said
    assert "grid: not measured" in said
    with pytest.raises(InputError, match="is not a voice"):
        boundary_command.main(["--workdir", str(tmp_path), "--write", "grid"])


@pytest.mark.parametrize(
    "changes,word",
    [
        ({"stage": "second"}, "--stage"),
        ({"k_step": 101}, "k_step"),
        ({"k_step": "automatic"}, "auto"),
        ({"method": "guess"}, "closed_form"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_done(tmp_path, changes, word):
    config = short_config("nowhere")
    with config.ignore_type():
        config.sampling.k_step = changes.get("k_step", 8)
    config.boundary.method = changes.get("method", "learned")
    with pytest.raises(InputError, match=word):
        train_voice(config, tmp_path / "work", changes.get("stage", "all"))
    assert not (tmp_path / "work").exists()


def test_a_folder_that_is_no_run_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="config.json"):
        boundary_command.main(["--workdir", str(tmp_path)])
    with pytest.raises(InputError, match="gs://bucket/run is in a bucket; copy it"):
        boundary_command.main(["--workdir", "gs://bucket/run"])


def test_a_found_k_bounds_what_is_learnt_and_walked():
    given = base.get_config()
    given.sampling.k_step = "auto"
    config = acoustic_config(as_dict(given))
    found = with_boundary(config, 40)
    assert (found.sampling.k_step, found.sampling.steps, found.denoiser.t_below) == (40, 40, 40)
    assert config.sampling.k_step == "auto" and config.denoiser.t_below == 100
    found = with_boundary(config, 70)
    assert (found.sampling.k_step, found.sampling.steps, found.denoiser.t_below) == (70, 51, 70)


@pytest.mark.parametrize("scale", ablations.SCALES)
def test_ablations_are_the_papers(scale):
    configs = {name: ablations.get_config(f"{scale}/{name}") for name in ablations.ABLATIONS}
    plain = configs["shallow"]
    for name, config in configs.items():
        assert config.sampling.k_step == config.sampling.steps == config.denoiser.t_below
        # The auxiliary stage is shared: nothing but the denoiser's size may differ in the model.
        differ = {k for k in plain.model if plain.model[k] != config.model[k]}
        assert differ <= {"denoiser_channels", "denoiser_layers"}, name
        assert config.auxiliary == plain.auxiliary and config.seed == plain.seed
    assert configs["naive"].sampling.k_step == plain.schedule.steps
    if scale == "full":
        channels = [
            configs[n].model.denoiser_channels for n in ("channels_half", "channels_double")
        ]
        layers = [configs[n].model.denoiser_layers for n in ("layers_half", "layers_more")]
        assert channels == [128, 512] and layers == [10, 30]


def test_an_unknown_ablation_names_those_there_are():
    with pytest.raises(ValueError, match="channels_half"):
        ablations.get_config("small/channels_huge")
