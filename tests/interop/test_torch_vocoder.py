"""Vocoders of other programs: the same numbers, and every way in which their files can be wrong."""

import copy
import json
from pathlib import Path

import flax.traverse_util
import jax
import numpy as np
import pytest
import yaml
from golden_vocoder import SOURCE_BOUND, vocoder_differences

from diffsinger_jax.cli import export, import_, runtime
from diffsinger_jax.errors import InputError
from diffsinger_jax.interop import torch_vocoder
from diffsinger_jax.interop.torch_vocoder import import_vocoder
from diffsinger_jax.modules.sine_source import HarmonicSource, sine_source
from diffsinger_jax.types import MEL_SPECS
from diffsinger_jax.voices.vocoder import load_vocoder

HERE = Path(__file__).parent


def slices():
    with np.load(HERE / "vocoder_slices.npz") as arrays:
        return flax.traverse_util.unflatten_dict(
            {tuple(name.split("/")): value for name, value in arrays.items()}
        )


SLICES = slices()
KINDS = [name for name, one in SLICES.items() if "tensors" in one]


class Files:
    """A checkpoint in memory and its config on disk."""

    def __init__(self, folder, kind):
        self.config = json.loads(str(SLICES[kind]["config"]))
        self.tensors = dict(SLICES[kind]["tensors"])
        self.paths = (folder / "model.ckpt", folder / "config.json")

    def load(self):
        self.paths[1].write_text(json.dumps(self.config))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch_vocoder, "_generator_tensors", lambda path: self.tensors)
            return import_vocoder(*self.paths)


@pytest.fixture
def files(tmp_path):
    return lambda kind="harmonics_1": copy.deepcopy(Files(tmp_path, kind))


@pytest.mark.parametrize("kind", KINDS)
def test_it_sounds_as_in_pytorch(files, kind):
    source, wav = vocoder_differences(files(kind).load(), SLICES[kind])
    assert source < 1e-6 and wav < 2e-6


def test_the_references_own_sources():
    full, inner = SLICES["nsf_hifigan_44k"], SLICES["pc_nsf_hifigan_44k"]
    params = {
        "kernel": full["m_source.l_linear.weight"].T,
        "bias": full["m_source.l_linear.bias"],
    }
    source = HarmonicSource(44_100, 512)
    ours = jax.jit(lambda f0: source.apply({"params": params}, f0, None))(full["in_f0_hz"])
    np.testing.assert_allclose(ours[..., 0], full["out_source"][:, 0], atol=SOURCE_BOUND)
    sines = jax.jit(lambda f0: sine_source(f0, sample_rate=44_100 / 8, samples_per_frame=64))
    ours = sines(inner["in_f0_hz"])
    np.testing.assert_allclose(ours[..., 0], inner["out_source"][:, 0], atol=SOURCE_BOUND)


def test_the_mel_and_the_f0_are_what_the_config_says(files):
    vocoder = files("sine_1").load()
    assert vocoder.mel.hop == 24 and vocoder.mel.log_base == "e" and vocoder.unvoiced == "filled"
    assert vocoder.mel.framing == MEL_SPECS["44k_hop512"].framing


def test_the_references_24_khz_form(files, tmp_path):
    one = files("harmonics_2")
    theirs = {"sampling_rate": "audio_sample_rate", "num_mels": "audio_num_mel_bins"}
    theirs["n_fft"] = "fft_size"
    config = {theirs.get(key, key): value for key, value in one.config.items()}
    one.paths = (one.paths[0], tmp_path / "config.yaml")
    one.paths[1].write_text(yaml.safe_dump(config | {"use_pitch_embed": True}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_vocoder, "_generator_tensors", lambda path: one.tensors)
        vocoder = import_vocoder(*one.paths)
    assert vocoder.unvoiced == "zero" and vocoder.mel.log_base == "10"
    assert vocoder.mel.framing == "centered"
    in_json = files("harmonics_2").load()
    jax.tree.map(np.testing.assert_array_equal, vocoder.params, in_json.params)
    assert vocoder.model == in_json.model
    one.paths[1].write_text(yaml.safe_dump(config))
    with pytest.raises(InputError, match="use_pitch_embed"):
        import_vocoder(*one.paths)


def rename(one, old, new):
    one.tensors[new] = one.tensors.pop(old)


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda one: one.tensors.pop("conv_post.bias"), ["no tensor conv_post.bias (1,)"]),
        (lambda one: one.tensors.pop("ups.0.weight_g"), ["ups.0.weight_v", "no ups.0.weight_g"]),
        (
            lambda one: rename(one, "noise_convs.0.weight", "noise_conv.0.weight"),
            ["no tensor noise_convs.0.weight (8, 1, 8)", "though it has noise_conv.0.weight"],
        ),
        (
            lambda one: one.tensors.update({"ups.0.weight_g": np.ones((3, 1, 1))}),
            ["ups.0.weight_g", "(3, 1, 1)"],
        ),
        (
            lambda one: one.tensors.update({"conv_pre.bias": np.ones(3)}),
            ["conv_pre.bias is (3,)", "(16,)"],
        ),
        (lambda one: one.tensors.update({"more": np.ones(3)}), ["more (3,)", "has no place"]),
        (lambda one: one.config.update(mini_nsf=True), ["no tensor source_conv"]),
        (lambda one: one.config.update(resblock="2"), ["no tensor resblocks.0.convs.0"]),
        (lambda one: one.config.update(resblock="3"), ["resblock is '3'"]),
        (lambda one: one.config.update(hop_size=13), ["multiply to 12", "hop is 13"]),
        (lambda one: one.config.update(upsample_rates=[3, 4]), ["2 upsample rates and 3"]),
        (lambda one: one.config.update(upsample_rates="fast"), ["upsample_rates is 'fast'"]),
        (
            lambda one: one.config.update(upsample_rates=[4, 3, 1]),
            ["one sample more", "config.json"],
        ),
        (lambda one: one.config.update(upsample_initial_channel=7), ["7 channels", "3 times"]),
        (lambda one: one.config.pop("upsample_initial_channel"), ["upsample_initial_channel"]),
        (lambda one: one.config.pop("hop_size"), ["has no hop_size"]),
        (lambda one: one.config.update(mel_base="2"), ["mel_base is '2'"]),
        (
            lambda one: one.config.update(num_mels=7),
            ["conv_pre.weight", "(16, 6, 7)", "(16, 7, 7)"],
        ),
        (lambda one: one.config.update(resblock_kernel_sizes=[3, 4]), ["cannot be centred"]),
        (lambda one: one.config.update(resblock_dilation_sizes=[[1], [1]]), ["3 dilations"]),
        (lambda one: one.config.update(resblock_dilation_sizes=5), ["resblock_dilation_sizes"]),
        (lambda one: one.config.update(mini_nsf="yes"), ["mini_nsf is 'yes'"]),
    ],
)
def test_what_is_wrong_is_named(files, spoil, words):
    one = files()
    spoil(one)
    with pytest.raises(InputError) as caught:
        one.load()
    message = str(caught.value)
    assert all(word in message for word in words) and "\n" not in message, message


def exit_code(command, arguments):
    with pytest.raises(SystemExit) as caught:
        runtime.run(lambda: command([str(one) for one in arguments]))
    return caught.value.code


@pytest.mark.parametrize("place", ["generator", "model_gen", "flat"])
def test_the_command_line_there_and_back(files, place, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    one = files("sine_2_odd")
    expected = one.load()
    inside = {name: torch.tensor(value) for name, value in one.tensors.items()}
    flat = {f"generator.{name}": value for name, value in inside.items()}
    content = {
        "generator": {"generator": inside},
        "model_gen": {"state_dict": {"model_gen": inside, "model_disc": {}}},
        "flat": {"state_dict": flat | {"discriminator.x": torch.zeros(3)}},
    }[place]
    torch.save(content, one.paths[0])
    out, back = tmp_path / "out", tmp_path / "back.ckpt"
    assert (
        exit_code(
            import_.main,
            ["vocoder", one.paths[0], "--config", one.paths[1], "--out", out, "--name", "tiny"],
        )
        == 0
    )
    assert "no tensor is left over" in capsys.readouterr().out
    loaded = load_vocoder(out)
    assert loaded.name == "tiny" and loaded.mel == expected.mel
    jax.tree.map(np.testing.assert_array_equal, loaded.params, expected.params)
    assert exit_code(export.main, ["vocoder", out, "--out", back]) == 0
    again = import_vocoder(back, one.paths[1])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=3e-7), again.params, loaded.params
    )


def test_files_that_are_no_vocoder(files, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    one = files()
    one.load()
    flags = ["vocoder", one.paths[0], "--config", one.paths[1], "--out", tmp_path / "out"]
    contents = [{"state_dict": {"x": torch.zeros(1)}}, {"generator": {"x": "y"}}]
    contents.append({"generator": {"conv_pre.bias": torch.full((16,), torch.nan)}})
    for content in contents:
        torch.save(content, one.paths[0])
        assert exit_code(import_.main, flags) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1 and "model.ckpt" in error
    one.paths[0].unlink()
    assert exit_code(import_.main, flags) == 2 and not (tmp_path / "out").exists()
