"""Checkpoints of openvpi/DiffSinger: in, out, sung, and every way in which they can be wrong."""

import dataclasses
import json
import pickle
from pathlib import Path

import flax.traverse_util
import jax
import numpy as np
import pytest
import yaml

from diffsinger_jax.cli import import_, runtime, sing
from diffsinger_jax.interop.flat_config import read_config
from diffsinger_jax.interop.openvpi import checkpoint
from diffsinger_jax.interop.openvpi.config import (
    PROCESSES,
    mel_range,
    mel_spec,
    model_settings,
    read_names,
    sampling_settings,
)
from diffsinger_jax.types import CorpusInfo, Vocabulary
from diffsinger_jax.voices.voice import Voice, save_voice, voice_shapes

BASE = {
    "hidden_size": 8, "enc_layers": 1, "num_heads": 2, "enc_ffn_kernel_size": 3,
    "audio_sample_rate": 24000, "hop_size": 256, "fft_size": 512, "win_size": 512,
    "audio_num_mel_bins": 6, "fmin": 40, "fmax": 12000, "spec_min": [-12], "spec_max": [0],
    "mel_base": "e", "dictionaries": {"ja": "x"}, "use_spk_id": True,
}  # fmt: skip
FLOW = BASE | {
    "diffusion_type": "reflow", "T_start": 0.4, "use_shallow_diffusion": True, "sampling_steps": 2,
    "shallow_diffusion_args": {
        "aux_decoder_args": {"num_channels": 8, "num_layers": 1, "kernel_size": 3}
    },
    "use_rope": True, "use_stretch_embed": True, "use_energy_embed": True,
    "use_variance_scaling": True, "backbone_type": "lynxnet2",
    "backbone_args": {
        "num_layers": 1, "num_channels": 8, "kernel_size": 3, "use_conditioner_cache": True,
    },
}  # fmt: skip
LEGACY = BASE | {
    "timesteps": 8,
    "residual_layers": 2,
    "residual_channels": 4,
    "dilation_cycle_length": 2,
}
SEGMENT = {
    "ph_seq": "SP a SP", "ph_dur": "0.1 0.4 0.1", "ph_num": "1 1 1", "note_seq": "rest A3 rest",
    "note_dur": "0.1 0.4 0.1", "f0_seq": "220 " * 12, "f0_timestep": 0.05,
    "energy": "-30 " * 12, "energy_timestep": 0.05,
}  # fmt: skip


def random_voice(config, names):
    """A voice as its config says, with random numbers."""
    process = PROCESSES[config.word("diffusion_type", "ddpm", tuple(PROCESSES))]
    spec = mel_spec(config)
    low, high = mel_range(config, spec.n_mels)
    vocabulary = Vocabulary(
        names.phonemes.names, speakers=names.speakers, languages=names.languages
    )
    schedule = {"name": "linear", "steps": 8, "beta_max": 0.01}
    voice = Voice(
        name="tiny",
        info=CorpusInfo("tiny", spec, vocabulary, low, high),
        model=model_settings(config, names),
        schedule={"name": "straight", "time_scale": 1000.0} if process == "velocity" else schedule,
        process=process,
        sampling=sampling_settings(config, process, 8),
        dictionary="none",
        params={},
        requires=("durations", "f0"),
        timing="openvpi",
    )
    rng = np.random.default_rng(0)
    shapes = voice_shapes(voice.acoustic)
    params = jax.tree.map(lambda x: 0.3 * rng.normal(size=x.shape).astype("f4"), shapes)
    return dataclasses.replace(voice, params=params)


class Experiment:
    """A folder as its trainer leaves it; its checkpoint is in memory, so PyTorch is not asked."""

    def __init__(self, folder, values, monkeypatch):
        self.folder, self.monkeypatch = folder, monkeypatch
        (folder / "dictionary-ja.txt").write_text("ka\tk a\n")
        (folder / "lang_map.json").write_text(json.dumps({"ja": 1}))
        (folder / "spk_map.json").write_text(json.dumps({"alpha": 0, "beta": 1}))
        (folder / "config.yaml").write_text(yaml.safe_dump(values))
        self.path = folder / "model_ckpt_steps_2.ckpt"
        self.path.touch()
        config = read_config(folder / "config.yaml")
        self.voice = random_voice(config, read_names(config, folder))
        self.content = self.written(self.voice)
        self.tensors = self.content["state_dict"]
        monkeypatch.setattr(checkpoint, "read_content", lambda path: self.content)
        monkeypatch.setattr(checkpoint, "as_arrays", lambda tensors, path: dict(tensors))

    def written(self, voice):
        """What is exported."""
        written = []
        with self.monkeypatch.context() as patch:
            patch.setattr(checkpoint, "as_tensors", dict)
            patch.setattr(checkpoint, "write_content", lambda path, one: written.append(one))
            checkpoint.export_checkpoint(voice, self.path)
        return written[0]


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    return lambda values=FLOW: Experiment(tmp_path, values, monkeypatch)


def exit_code(command, *arguments):
    with pytest.raises(SystemExit) as caught:
        runtime.run(lambda: command([str(one) for one in arguments]))
    return caught.value.code


@pytest.mark.parametrize("values", [FLOW, LEGACY], ids=["flow", "legacy"])
def test_there_and_back_is_the_identity(experiment, values):
    one = experiment(values)
    done = checkpoint.import_experiment(one.folder)
    ours, again = (flax.traverse_util.flatten_dict(v.params) for v in (one.voice, done.voice))
    for path, value in ours.items():
        if path != ("prior_scale",):
            np.testing.assert_array_equal(again[path], value)
    assert done.voice.schedule == one.voice.schedule  # of the buffers: the config says nothing
    assert done.used + len(done.left_out) == len(one.tensors)
    back = one.written(done.voice)["state_dict"]
    assert back.keys() == one.tensors.keys()
    for name, tensor in one.tensors.items():
        np.testing.assert_array_equal(back[name], tensor, err_msg=name)


def test_an_imported_voice_sings(experiment, tmp_path):
    one = experiment()
    save_voice(tmp_path / "voice", checkpoint.import_experiment(one.folder).voice)
    (tmp_path / "song.ds").write_text(json.dumps([SEGMENT]))
    flags = ("--voice", tmp_path / "voice", "--score", tmp_path / "song.ds")
    flags += ("--vocoder", "harmonic", "--out", tmp_path / "out", "--speaker", "alpha:0.7|beta:0.3")
    assert exit_code(sing.main, *flags) == 0
    assert (tmp_path / "out" / "song.wav").stat().st_size > 20_000


def rename(one, old, new):
    one.tensors[new] = one.tensors.pop(old)


NORM = "model.diffusion.velocity_fn.norm.weight"


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda one: one.tensors.pop(NORM), [f"has no tensor {NORM} of shape (8,)"]),
        (
            lambda one: rename(one, NORM, NORM.replace("norm", "nrm")),
            [f"no tensor {NORM}", "though it has model.diffusion.velocity_fn.nrm.weight (8,)"],
        ),
        (
            lambda one: one.tensors.update({NORM: np.ones(5, "f4")}),
            [f"{NORM} is (5,)", "says (8,)"],
        ),
        (
            lambda one: one.tensors.update({"model.more": np.ones(3, "f4")}),
            ["model.more (3,) has no place"],
        ),
        (lambda one: one.tensors.update({"more": np.ones(3)}), ["more does not begin with"]),
        (lambda one: one.content.update(category="variance"), ["category 'variance'"]),
        (lambda one: one.content.update(state_dict={}), ["has no state_dict"]),
        (
            lambda one: (one.folder / "dictionary-ja.txt").write_text("sa\ts a o\n"),
            ["txt_embed.weight has 5 rows", "give 5 phonemes"],
        ),
        (lambda one: (one.folder / "config.yaml").unlink(), ["config.yaml"]),
        (lambda one: (one.folder / "dictionary-ja.txt").unlink(), ["dictionary-ja.txt"]),
        (lambda one: one.path.unlink(), ["has no model_ckpt_steps_*.ckpt"]),
    ],
)
def test_what_is_wrong_is_one_sentence(experiment, capsys, tmp_path, spoil, words):
    one = experiment()
    spoil(one)
    assert exit_code(import_.main, "openvpi", one.folder, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1, error
    assert all(word in error for word in words), error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "flags, words",
    [
        (("--speaker", "gamma"), ["no speaker 'gamma'", "alpha, beta"]),
        (("--speaker", "alpha:0.5|gamma:0.5"), ["no speaker 'gamma'", "alpha, beta"]),
        (("--speaker", "alpha:0.5|beta:0.6"), ["sum to 1.1", "expected 1"]),
        (("--offset", "loudness=3"), ["no curve 'loudness'"]),
    ],
)
def test_what_a_voice_is_told_wrongly_is_one_sentence(experiment, capsys, tmp_path, flags, words):
    save_voice(tmp_path / "voice", experiment().voice)
    (tmp_path / "song.ds").write_text(json.dumps([SEGMENT]))
    given = ("--voice", tmp_path / "voice", "--score", tmp_path / "song.ds", "--vocoder")
    assert exit_code(sing.main, *given, "harmonic", "--out", tmp_path / "out", *flags) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1, error
    assert all(word in error for word in words), error


class Evil:
    """What a malicious pickle does: loading it runs a command."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


def test_a_pickle_that_runs_code_is_refused_before_it_does(experiment, capsys, tmp_path):
    pytest.importorskip("torch")
    one, trace = experiment(), tmp_path / "trace"
    one.monkeypatch.undo()
    one.path.write_bytes(pickle.dumps({"state_dict": Evil(trace)}))
    assert exit_code(import_.main, "openvpi", one.folder, "--out", tmp_path / "out") == 2
    assert "holds more than tensors" in capsys.readouterr().err and not trace.exists()
