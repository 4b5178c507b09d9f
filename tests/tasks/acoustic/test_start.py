"""Training that starts from a voice, and params that stay as they are."""

import dataclasses
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from diffsinger_jax.configs import tiny
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict
from random_batches import (
    INFO,
    MODEL,
    SCHEDULE,
    SPEC,
    random_batch,
    random_example,
    random_params,
    small_acoustic_model,
)

from diffsinger_jax.corpus.info import write_corpus_info
from diffsinger_jax.corpus.shards import write_shards
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.engine.state import join_params, split_params
from diffsinger_jax.engine.typed_config import as_dict
from diffsinger_jax.errors import InputError
from diffsinger_jax.models.acoustic import acoustic_model
from diffsinger_jax.models.diffsinger import AUXILIARY_PARAMS
from diffsinger_jax.tasks.acoustic.config import acoustic_config
from diffsinger_jax.tasks.acoustic.start import (
    frozen_paths,
    join_voice,
    new_curves,
    open_training_corpus,
    require_paths,
    start_params,
    start_voice,
    with_voice,
)
from diffsinger_jax.tasks.acoustic.task import train_voice
from diffsinger_jax.types import Vocabulary
from diffsinger_jax.voices.voice import Voice, load_voice, save_voice, voice_shapes

# In another order than the voice's, which has a to h and the speakers one and two.
NEW = Vocabulary(("SP", "h", "c", "a"), speakers=("three", "two"), languages=("ja", "zh"))


@pytest.fixture(scope="module")
def voice_path(tmp_path_factory):
    params = jax.tree.map(np.array, random_params(small_acoustic_model()))
    for weights in jax.tree.leaves(params):
        weights.flat[0] = -0.0  # a sum with 0 would lose the sign
    params["prior_scale"] = np.full_like(params["prior_scale"], 0.1)
    voice = Voice(
        name="old",
        info=dataclasses.replace(INFO, licence="CC0-1.0"),
        model=MODEL,
        schedule=SCHEDULE,
        process="residual",
        sampling=Sampling(8, 4),
        dictionary="ja",
        params=params,
        requires=("f0",),
    )
    path = tmp_path_factory.mktemp("voice")
    save_voice(path, voice)
    return path


@pytest.fixture(scope="module")
def corpus_path(tmp_path_factory):
    def examples():
        for index in range(6):
            example = random_example(np.random.default_rng(index), phonemes=6)
            tokens = np.asarray([1, 2, 3, 4, 2, 1], np.int32)
            yield {**example, "name": f"song{index}#1", "tokens": tokens, "speaker": index % 2}

    path = write_shards(tmp_path_factory.mktemp("corpus"), SPEC.n_mels, {"train": examples})
    fields = dict(name="new", vocabulary=NEW, mel_max=INFO.mel_max + 0.5, licence="CC-BY-4.0")
    write_corpus_info(path, dataclasses.replace(INFO, **fields))
    return path


@pytest.fixture
def config(voice_path, corpus_path):
    """tiny.py, whose model is of another size than the voice's."""
    config = tiny.get_config()
    config.corpus, config.start_from = str(corpus_path), str(voice_path)
    config.buckets = 1
    for stage in (config.auxiliary, config.boundary, config.denoiser):
        stage.steps = 2
        stage.frames_per_batch = 128
    config.denoiser.t_below = 8
    return config.copy_and_resolve_references()


def typed(config):
    return acoustic_config(with_voice(as_dict(config)))


def test_what_is_new_gets_rows_behind_and_old_rows_stay(config, voice_path):
    voice, corpus = load_voice(voice_path), open_training_corpus(typed(config))
    words = corpus.info.vocabulary
    assert words.phonemes == (*"abcdefgh", "SP")
    assert words.speakers == ("one", "two", "three") and words.languages == ("ja", "zh")
    larger = acoustic_model(MODEL, SCHEDULE, "residual", corpus.info)
    fresh = random_params(larger, seed=1)
    joined = flatten_dict(join_voice(fresh, voice.params), sep="/")
    old, fresh = flatten_dict(dict(voice.params), sep="/"), flatten_dict(fresh, sep="/")
    assert {k: v.shape for k, v in joined.items()} == {k: v.shape for k, v in fresh.items()}
    for path, value in old.items():
        np.testing.assert_array_equal(joined[path][: len(value)], value, err_msg=path)
    table = "encoder/phoneme/embedding"
    np.testing.assert_array_equal(joined[table][9:], fresh[table][9:])
    for table in ("encoder/speaker/embedding", "encoder/language/embedding"):
        np.testing.assert_allclose(joined[table][-1], old[table].mean(axis=0), rtol=1e-6)


def test_the_longer_model_reads_a_score_as_the_voice_does(config, voice_path):
    voice, corpus = load_voice(voice_path), open_training_corpus(typed(config))
    larger = acoustic_model(MODEL, SCHEDULE, "residual", corpus.info)
    params = join_voice(random_params(larger, seed=1), voice.params)
    batch = random_batch()
    ours, theirs = (
        jax.jit(lambda p, m=acoustic.model: m.apply({"params": p}, batch, method=m.encode))(p)
        for acoustic, p in ((larger, params), (voice.acoustic, voice.params))
    )
    np.testing.assert_array_equal(ours, theirs)


def test_curves_that_a_config_names_come_to_those_of_the_voice(config, voice_path):
    config.model.curves = ("energy", "speed")
    ours, old = typed(config), load_voice(voice_path)
    assert ours.model == {**old.model, "dtype": "float32", "curves": ("energy", "speed")}
    larger = acoustic_model(ours.model, ours.schedule, ours.process, old.info)
    fresh = random_params(larger, seed=1)
    with pytest.raises(KeyError):
        join_voice(fresh, {name: p for name, p in old.params.items() if name != "encoder"})
    joined = flatten_dict(join_voice(fresh, old.params), sep="/")
    known, fresh = (flatten_dict(dict(p), sep="/") for p in (old.params, fresh))
    for path, value in joined.items():
        begins = fresh if path.startswith("curve_embedding/") else known
        np.testing.assert_array_equal(value, begins[path], err_msg=path)
    voice = dataclasses.replace(old, model=ours.model)
    assert new_curves(voice, ("speed", "tension")) == ["tension"]


def test_speakers_of_the_condition_get_rows_behind_too():
    old = {"speaker_embedding": {"embedding": np.arange(6.0).reshape(2, 3)}}
    fresh = {"speaker_embedding": {"embedding": np.zeros((3, 3))}}
    joined = join_voice(fresh, old)["speaker_embedding"]["embedding"]
    np.testing.assert_array_equal(joined, [[0, 1, 2], [3, 4, 5], [1.5, 2.5, 3.5]])


def test_a_voice_brings_its_model_but_not_how_it_is_computed(config, voice_path):
    config.model.dtype = "bfloat16"
    ours = typed(config)
    assert ours.model == {**MODEL, "dtype": "bfloat16"}
    assert ours.schedule == SCHEDULE and ours.process == "residual"
    assert config.model.hidden == 32  # the given one is left alone
    config.start_from = ""
    assert typed(config).model["hidden"] == 32 and start_voice("") is None


def flow_denoiser(config):
    """A denoiser of another process and trunk for the voice."""
    config.new_denoiser = True
    config.model.trunk, config.model.denoiser_channels = "lynxnet2", 8
    config.process, config.schedule = "velocity", ConfigDict({"name": "straight"})
    config.sampling.method = "euler"
    with config.ignore_type():
        config.sampling.k_step, config.denoiser.t_below = 0.6, 0.6
    config.denoiser.crop_frames, config.denoiser.prior_error = 16, 0.5


def test_a_new_denoiser_comes_to_the_voice(config, voice_path):
    flow_denoiser(config)
    ours, old = typed(config), load_voice(voice_path)
    assert ours.process == "velocity" and ours.schedule == {"name": "straight"}
    assert ours.model["hidden"] == MODEL["hidden"] and ours.model["trunk"] == "lynxnet2"
    larger = acoustic_model(ours.model, ours.schedule, ours.process, old.info)
    fresh = random_params(larger, seed=1)
    joined = flatten_dict(start_params(ours, fresh), sep="/")
    known, fresh = (flatten_dict(dict(p), sep="/") for p in (old.params, fresh))
    for path, value in joined.items():
        begins = fresh if path.split("/")[0] in ("denoiser", "prior_scale") else known
        np.testing.assert_array_equal(value, begins[path], err_msg=path)
    config.denoiser.steps = 0
    with pytest.raises(InputError, match="config.denoiser.steps is 0"):
        typed(config)
    config.start_from, config.denoiser.steps = "", 2
    with pytest.raises(InputError, match="start_from names no voice"):
        typed(config)


@pytest.mark.slow
def test_a_new_denoiser_is_trained_and_the_rest_stays(config, voice_path, tmp_path):
    flow_denoiser(config)
    config.auxiliary.steps = 0
    old, voice = load_voice(voice_path), train_voice(config, tmp_path / "work")
    assert voice.process == "velocity" and voice.sampling.method == "euler"
    assert load_voice(tmp_path / "work" / "voice").model["trunk"] == "lynxnet2"
    for path, value in flatten_dict(dict(old.params["auxiliary_decoder"]), sep="/").items():
        np.testing.assert_array_equal(
            flatten_dict(dict(voice.params["auxiliary_decoder"]), sep="/")[path],
            value,
            err_msg=path,
        )


def test_another_mel_is_named(config, voice_path, tmp_path):
    voice = load_voice(voice_path)
    mel = dataclasses.replace(SPEC, fmax=8000.0)
    save_voice(tmp_path, dataclasses.replace(voice, info=dataclasses.replace(INFO, mel=mel)))
    config.start_from = str(tmp_path)
    with pytest.raises(InputError, match="fmax: 8000.0 here, 12000.0 there"):
        open_training_corpus(typed(config))
    config.start_from = str(tmp_path / "nowhere")
    with pytest.raises(InputError, match="config.start_from: .*nowhere is not a voice"):
        typed(config)


def test_what_is_frozen_is_split_off_and_comes_back():
    params = random_params(small_acoustic_model())
    freeze = ("encoder/phoneme", "pitch_predictor")
    mine, frozen = split_params(params, AUXILIARY_PARAMS, freeze)
    mine_paths, frozen_paths = (set(flatten_dict(part, sep="/")) for part in (mine, frozen))
    held = {p for p in frozen_paths if p.split("/")[0] in AUXILIARY_PARAMS}
    assert held and all(p.startswith(("encoder/phoneme/", "pitch_predictor/")) for p in held)
    assert not mine_paths & frozen_paths
    joined = join_params(frozen, mine)
    assert jax.tree.structure(joined) == jax.tree.structure(params)
    assert all(a is b for a, b in zip(*map(jax.tree.leaves, (joined, params)), strict=True))
    plain = split_params(params, AUXILIARY_PARAMS)
    assert all(plain[0][name] == params[name] for name in set(AUXILIARY_PARAMS) & set(params))


def test_paths_to_freeze_are_checked_and_read_from_flags(config):
    config.freeze = ("encoder,denoiser/input", "prior_scale")
    paths = frozen_paths(typed(config))
    assert paths == ("encoder", "denoiser/input", "prior_scale")
    shapes = voice_shapes(small_acoustic_model())
    require_paths(shapes, paths)
    with pytest.raises(InputError, match="'denoiser/blocks'.*there are .*denoiser/input"):
        require_paths(shapes, ("denoiser/blocks",))
    with pytest.raises(InputError, match="'encode', which .* there are .*encoder"):
        require_paths(shapes, ("encode",))


def test_what_does_not_fit_the_data_or_the_workdir_is_said_before_anything_is_made(
    config, tmp_path
):
    def said(stage="all", **fields):
        wrong = config.copy_and_resolve_references()
        wrong.update(fields)
        with pytest.raises(InputError) as caught:
            train_voice(wrong, tmp_path / "work", stage)
        assert not (tmp_path / "work").exists()
        return str(caught.value)

    assert "frames, more than the last bucket edge 16; raise" in said(bucket_edges=(8, 16))
    assert "the stage auxiliary in " in said("denoiser") and "step 0 of 2" in said("denoiser")
    assert "leaves the stage denoiser nothing to train" in said(freeze=("denoiser",))
    assert "'decoder', which is no param" in said(freeze=("decoder",))
    assert "there is no folder" in said(corpus=str(tmp_path / "nowhere"))
    assert "config.start_from: " in said(start_from=str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="--workdir s3://bucket/w is neither a folder nor gs://"):
        train_voice(config, "s3://bucket/w")
    assert "has no corpus.json" in said(corpus=str(Path(__file__).parent))


@pytest.mark.slow
def test_a_voice_is_trained_on(config, voice_path, tmp_path, capsys):
    old = load_voice(voice_path)
    shutil.copytree(config.corpus, tmp_path / "more")
    config.corpus += f",{tmp_path / 'more'}=0.5"
    config.auxiliary.steps = 0  # it stays, and compiling it takes long
    config.freeze = ("denoiser/input", "prior_scale")
    voice = train_voice(config, tmp_path / "work")
    said = capsys.readouterr().out
    assert (
        "starts from the voice old" in said and "new phonemes, with rows of their own: SP" in said
    )
    assert "0.50 beyond the voice's range" in said
    assert voice.model["hidden"] == MODEL["hidden"] and voice.requires == ("f0",)
    assert voice.info.licence == "CC0-1.0\nCC-BY-4.0"
    np.testing.assert_array_equal(voice.info.mel_max, INFO.mel_max)
    before, after = (flatten_dict(dict(v.params), sep="/") for v in (old, voice))
    for path, value in before.items():
        same = np.asarray(value).tobytes() == np.asarray(after[path][: len(value)]).tobytes()
        moves = path.startswith("denoiser/") and not path.startswith("denoiser/input/")
        assert same != moves, path
    load_voice(tmp_path / "work" / "voice")
    assert voice.info.name == "new+new"

    config.freeze = ()
    with pytest.raises(InputError, match="another `freeze`"):
        train_voice(config, tmp_path / "work")
