"""Checkpoints of the reference: in, out, and every way in which they can be wrong."""

import copy
import dataclasses
import json
import pickle
import sys
from pathlib import Path

import flax.traverse_util
import numpy as np
import pytest
import yaml
from random_batches import INFO, MODEL, SCHEDULE

from diffsinger_jax.cli import export, import_, runtime
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.errors import InputError
from diffsinger_jax.interop import torch_checkpoint
from diffsinger_jax.interop.torch_checkpoint import (
    TOKENS,
    TOKENS_AGAIN,
    export_checkpoint,
    import_checkpoint,
)
from diffsinger_jax.models.acoustic import acoustic_model
from diffsinger_jax.pipeline.mix import extend
from diffsinger_jax.tasks.acoustic.start import join_voice
from diffsinger_jax.types import Vocabulary
from diffsinger_jax.voices.voice import Voice, voice_shapes

BINS = 6
CONFIG = dict(
    K_step=3,
    audio_num_mel_bins=BINS,
    audio_sample_rate=24000,
    dec_ffn_kernel_size=5,
    dec_layers=1,
    dilation_cycle_length=2,
    dur_predictor_kernel=3,
    dur_predictor_layers=1,
    enc_ffn_kernel_size=3,
    enc_layers=2,
    fft_size=512,
    fmax=12000,
    fmin=30,
    hidden_size=8,
    hop_size=128,
    keep_bins=BINS,
    max_beta=0.06,
    num_heads=2,
    predictor_grad=0.1,
    predictor_hidden=-1,
    predictor_kernel=5,
    predictor_layers=2,
    residual_channels=4,
    residual_layers=3,
    schedule_type="linear",
    spec_max=[0.5] * BINS,
    spec_min=[-6.0] * BINS,
    timesteps=10,
    win_size=512,
)
KINDS = {
    "popcs": dict(use_gt_f0=True, use_gt_dur=True, pitch_type="frame"),
    "cascade": dict(use_midi=True, rel_pos=True, pitch_type="frame", schedule_type="cosine"),
    "e2e": dict(use_midi=True, rel_pos=True, use_pitch_embed=False, gaussian_start=True),
    "diffspeech": dict(pitch_type="cwt", cwt_hidden_size=4, use_uv=False, pndm_speedup=2),
}
PHONES = ["AP", "SP", "a", "b", "i"]


class Files:
    """A checkpoint of one kind with random weights, kept in memory, and its two other files."""

    def __init__(self, folder, kind):
        self.config = CONFIG | KINDS[kind]
        self.phones = list(PHONES)
        self.paths = (folder / "x.ckpt", folder / "config.yaml", folder / "phone_set.json")
        self.tensors = self._random_tensors()

    def _random_tensors(self):
        rng = np.random.default_rng(0)
        self.write()
        reference = torch_checkpoint.interpret(
            torch_checkpoint.read_config(self.paths[1]),
            torch_checkpoint.read_phone_set(self.paths[2]),
            name="made up",
            licence="",
            language="zh",
            mel_range=tuple(np.asarray(self.config[k], "f4") for k in ("spec_min", "spec_max")),
        )
        voice = torch_checkpoint._empty_voice(reference)
        shapes = flax.traverse_util.flatten_dict(voice_shapes(voice.acoustic), sep="/")
        flat = {path: rng.normal(size=x.shape).astype("f4") for path, x in shapes.items()}
        flat["prior_scale"] = np.full(BINS, torch_checkpoint.PRIOR_SCALE, "f4")
        params = flax.traverse_util.unflatten_dict(flat, sep="/")
        self.voice = dataclasses.replace(voice, params=params)
        written = {}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch_checkpoint, "write_state_dict", lambda p, t: written.update(t))
            export_checkpoint(self.voice, self.paths[0])
        return written

    def write(self):
        self.paths[1].write_text(yaml.safe_dump(self.config))
        self.paths[2].write_text(json.dumps(self.phones))

    def load(self):
        self.write()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch_checkpoint, "read_state_dict", lambda path: self.tensors)
            return import_checkpoint(*self.paths)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Files of each kind, made once."""
    return {kind: Files(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}


@pytest.fixture
def files(made):
    return lambda kind="cascade": copy.deepcopy(made[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back_is_the_identity(files, kind):
    one = files(kind)
    done = one.load()
    ours = flax.traverse_util.flatten_dict(one.voice.params, sep="/")
    again = flax.traverse_util.flatten_dict(done.voice.params, sep="/")
    assert ours.keys() == again.keys()
    for path, value in ours.items():
        np.testing.assert_array_equal(again[path], value, err_msg=path)
    assert done.used + len(done.left_out) == len(one.tensors)
    assert TOKENS_AGAIN in done.left_out and all(done.left_out.values())


@pytest.mark.parametrize("kind", KINDS)
def test_training_can_start_from_it(files, kind):
    voice = files(kind).load().voice
    words = extend(voice.info.vocabulary, [Vocabulary(("k", "a"), ("me",), ("ja",))])
    info = dataclasses.replace(voice.info, vocabulary=words)
    longer = acoustic_model(voice.model, voice.schedule, voice.process, info)
    shapes = flax.traverse_util.flatten_dict(voice_shapes(longer), sep="/")
    fresh = {path: np.zeros(x.shape, "f4") for path, x in shapes.items()}
    joined = join_voice(flax.traverse_util.unflatten_dict(fresh, sep="/"), voice.params)
    old = flax.traverse_util.flatten_dict(voice.params, sep="/")
    for path, value in flax.traverse_util.flatten_dict(joined, sep="/").items():
        np.testing.assert_array_equal(value[: len(old[path])], old[path], err_msg=path)
        assert value.shape == shapes[path].shape
    assert len(joined["encoder"]["phoneme"]["embedding"]) == len(PHONES) + 2 + 1 + 1


def test_ids_are_pad_eos_unk_and_then_the_phones(files):
    vocabulary = files().load().voice.info.vocabulary
    assert list(vocabulary.phoneme_ids(["<EOS>", "<UNK>", *PHONES])) == [1, 2, 3, 4, 5, 6, 7]


def test_what_is_active_is_said(files):
    said = {kind: "\n".join(files(kind).load().behaviours) for kind in KINDS}
    assert "row 4999 - i" in said["cascade"] and "counted from 1" in said["popcs"]
    assert "clamped to [-1, 1]" in said["cascade"] and "255 bins" in said["popcs"]
    assert "start: gaussian" in said["e2e"] and "f0 in the condition: none" in said["e2e"]
    assert "every 2th step" in said["diffspeech"] and "f0 predicted: wavelet" in said["diffspeech"]
    assert "must give: durations, f0" in said["popcs"] and "must give: f0" in said["e2e"]


def drop(one, name):
    del one.tensors[name]


def rename(one, name):
    one.tensors[name.replace("weight", "wait")] = one.tensors.pop(name)


def misshape(one, name):
    one.tensors[name] = one.tensors[name][:-1]


SKIP = "model.denoise_fn.skip_projection.weight"


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda one: drop(one, SKIP), [SKIP, "(4, 4, 1)", "has no tensor"]),
        (lambda one: rename(one, SKIP), [SKIP, "skip_projection.wait (4, 4, 1)"]),
        (lambda one: misshape(one, SKIP), [SKIP, "(3, 4, 1)", "(4, 4, 1)"]),
        (lambda one: one.tensors.update({"model.more": np.zeros(3)}), ["model.more (3,)"]),
        (lambda one: one.tensors.update({"vocoder.x": np.zeros(3)}), ["vocoder.x"]),
        (lambda one: drop(one, "model.betas"), ["model.betas", "missing", "(10,)"]),
        (lambda one: drop(one, "model.spec_min"), ["model.spec_min", "missing"]),
        (lambda one: drop(one, "model." + TOKENS), [TOKENS, "(8, 8)"]),
        (lambda one: one.tensors.update({"model." + TOKENS_AGAIN: np.ones((8, 8))}), ["differ"]),
        (lambda one: one.phones.pop(), ["(8, 8)", "7 rows", "4 phones"]),
        (lambda one: one.phones.append("a"), ["'a' twice"]),
        (lambda one: one.config.update(hidden_size=6), ["(8, 8)", "(6, 6)"]),
        (lambda one: one.config.update(hidden_size=9), ["hidden_size 9", "num_heads 2"]),
        (lambda one: one.config.update(enc_layers=3), ["encoder.layers.2", "has no tensor"]),
        (lambda one: one.config.update(enc_layers=1), ["encoder.layers.1", "left over"]),
        (lambda one: one.config.update(residual_layers=2), ["residual_layers.2", "left over"]),
        (lambda one: one.config.update(predictor_layers=3), ["pitch_predictor.conv.2"]),
        (lambda one: one.config.update(timesteps=20), ["model.betas", "(10,)", "(20,)"]),
        (lambda one: one.config.update(schedule_type="linear"), ["schedule_type", "model.betas"]),
        (lambda one: one.config.update(K_step=11), ["K_step is 11", "timesteps 10"]),
        (lambda one: one.config.update(spec_min=[-5.0] * BINS), ["spec_min of bin 0", "-6"]),
        (lambda one: one.config.update(audio_num_mel_bins=7, keep_bins=7), ["(1, 1, 7)"]),
        (lambda one: one.config.update(pitch_type="cwt"), ["cwt_predictor", "has no tensor"]),
        (lambda one: one.config.update(use_midi=False), ["rel_pos"]),
        (lambda one: one.config.update(use_spk_id=True), ["use_spk_id", "True"]),
        (lambda one: one.config.update(hop_size="wide"), ["hop_size", "'wide'"]),
        (lambda one: one.config.pop("hidden_size"), ["lacks hidden_size"]),
        (lambda one: one.config.update(hidden_size=None, base_config=["a.yaml"]), ["a.yaml"]),
    ],
)
def test_what_is_wrong_is_named(files, spoil, words):
    one = files()
    spoil(one)
    with pytest.raises(InputError) as caught:
        one.load()
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


@pytest.mark.parametrize("file, text", [(1, "{"), (1, "- a"), (1, None), (2, "{}"), (2, None)])
def test_other_files_that_are_none(files, file, text):
    one = files()
    one.write()
    path = one.paths[file]
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=path.name):
        import_checkpoint(*one.paths)


def test_only_voices_of_its_kind_can_leave(tmp_path):
    voice = Voice(
        name="ours",
        info=INFO,
        model=MODEL,
        schedule=SCHEDULE,
        process="residual",
        sampling=Sampling(1, 1),
        dictionary="none",
        params={},
    )
    with pytest.raises(InputError, match="nothing like the parameter"):
        export_checkpoint(voice, tmp_path / "x.ckpt")


class Evil:
    """What a malicious pickle does: loading it runs a command."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


def exit_code(command, arguments):
    with pytest.raises(SystemExit) as caught:
        runtime.run(lambda: command(arguments))
    return caught.value.code


@pytest.fixture
def written(files):
    """Files with a checkpoint on disk, and the flags that import it."""
    pytest.importorskip("torch")
    one = files()
    one.write()
    torch_checkpoint.write_state_dict(one.paths[0], one.tensors)
    checkpoint, config, phone_set = map(str, one.paths)
    out = one.paths[0].parent / "voice"
    return one, [
        "voice",
        checkpoint,
        "--config",
        config,
        "--phone_set",
        phone_set,
        "--out",
        str(out),
    ]


def test_the_command_line_there_and_back(written, capsys, tmp_path):
    one, flags = written
    assert exit_code(import_.main, flags) == 0
    assert "the phoneme table a second time" in capsys.readouterr().out
    back = tmp_path / "back.ckpt"
    assert exit_code(export.main, ["voice", flags[-1], "--out", str(back)]) == 0
    again = torch_checkpoint.read_state_dict(back)
    assert again.keys() == one.tensors.keys()
    for name, tensor in one.tensors.items():
        np.testing.assert_array_equal(again[name], tensor, err_msg=name)


def spoiled(how, path, trace):
    import torch

    whole = path.read_bytes()
    if how == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("hello")
    elif how == "no state":
        torch.save({"epoch": 1}, path)
    elif how == "evil":
        torch.save({"state_dict": {"model.betas": Evil(trace)}}, path)
    elif how == "evil legacy":
        content = {"state_dict": Evil(trace)}
        torch.save(content, path, _use_new_zipfile_serialization=False)
    elif how == "evil pickle":
        path.write_bytes(pickle.dumps(Evil(trace)))
    elif how == "missing":
        path.unlink()


@pytest.mark.parametrize(
    "how",
    ["truncated", "empty", "text", "no state", "evil", "evil legacy", "evil pickle", "missing"],
)
def test_files_that_are_not_trusted(written, capsys, tmp_path, how):
    one, flags = written
    trace = tmp_path / "it_ran"
    spoiled(how, one.paths[0], trace)
    trace.unlink(missing_ok=True)
    assert exit_code(import_.main, flags) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and "x.ckpt" in error
    assert not trace.exists(), "loading ran what is in the file"
    if how == "evil pickle":  # the trap does spring for who loads it naively
        pickle.loads(one.paths[0].read_bytes())
        assert trace.exists()


def test_without_pytorch_the_extra_is_named(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    one = files()
    one.write()
    with pytest.raises(InputError, match="pip install torch"):
        import_checkpoint(*one.paths)
