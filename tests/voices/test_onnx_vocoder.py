"""OpenUtau's vocoders, as a folder and as a package."""

import json
import sys
import zipfile

import numpy as np
import pytest

from diffsinger_jax.errors import InputError
from diffsinger_jax.synthesis.rendering import open_renderer
from diffsinger_jax.types import MelSpec
from diffsinger_jax.voices.onnx_vocoder import OnnxVocoder

HOP, BINS = 4, 3
SPEC = MelSpec(
    sample_rate=8000, hop=HOP, n_fft=16, win=16, n_mels=BINS, fmin=40.0, fmax=4000.0,
    log_base="e", framing="reflect",
)  # fmt: skip
CONFIG = {
    "name": "tiny", "model": "tiny.onnx", "sample_rate": 8000, "hop_size": HOP, "win_size": 16,
    "fft_size": 16, "num_mel_bins": BINS, "mel_fmin": 40, "mel_fmax": 4000, "mel_base": "e",
    "mel_scale": "slaney",
}  # fmt: skip


def graph(first="mel"):
    """mel's first bin + f0 / 1000, held over a frame."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    constants = {"zero": [0], "kilo": 1000.0, "hold": [1, 1, HOP], "flat": [1, -1], "last": [2]}
    constants |= {"axis": 2}
    initializers = [
        numpy_helper.from_array(np.asarray(v, np.float32 if name == "kilo" else np.int64), name)
        for name, v in constants.items()
    ]
    nodes = [
        helper.make_node("Gather", [first, "zero"], ["bin"], axis=2),
        helper.make_node("Div", ["f0", "kilo"], ["scaled"]),
        helper.make_node("Unsqueeze", ["scaled", "last"], ["pitch"]),
        helper.make_node("Add", ["bin", "pitch"], ["sum"]),
        helper.make_node("Tile", ["sum", "hold"], ["held"]),
        helper.make_node("Reshape", ["held", "flat"], ["waveform"]),
    ]
    inputs = [
        helper.make_tensor_value_info(first, TensorProto.FLOAT, [1, "frames", BINS]),
        helper.make_tensor_value_info("f0", TensorProto.FLOAT, [1, "frames"]),
    ]
    outputs = [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, [1, "samples"])]
    made = helper.make_graph(nodes, "tiny", inputs, outputs, initializers)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture
def folder(tmp_path):
    pytest.importorskip("onnxruntime")
    path = tmp_path / "vocoder"
    path.mkdir()
    (path / "tiny.onnx").write_bytes(graph())
    (path / "vocoder.yaml").write_text(json.dumps(CONFIG), encoding="utf-8")
    return path


def packed(folder, inside=""):
    package = folder.parent / "tiny.oudep"
    with zipfile.ZipFile(package, "w") as file:
        file.writestr(inside + "oudep.yaml", "id: tiny")
        for one in folder.iterdir():
            file.write(one, inside + one.name)
    return package


@pytest.mark.parametrize("kind", ["folder", "package", "package with a folder"])
def test_it_sounds(folder, kind):
    path = {
        "folder": lambda: folder,
        "package": lambda: packed(folder),
        "package with a folder": lambda: packed(folder, "nsf/"),
    }[kind]()
    mel = np.linspace(-1, 0, 2 * 5 * BINS, dtype="f4").reshape(2, 5, BINS)
    f0 = np.array([[100, 0, 400, 0, 0], [0, 0, 0, 0, 0]], "f4")
    mask = np.arange(5) < np.array([[4], [5]])
    wav = open_renderer(path, SPEC)(np.where(mask[..., None], mel, np.nan), f0, mask, None)
    filled = np.array([[100, 200, 400, 400, 0], [0, 0, 0, 0, 0]], "f4")
    expected = np.where(mask, mel[..., 0] + filled / 1000, 0).repeat(HOP, axis=1)
    np.testing.assert_allclose(wav, expected, atol=1e-6)


def edit(folder, **changes):
    config = {k: v for k, v in (CONFIG | changes).items() if v is not None}
    (folder / "vocoder.yaml").write_text(json.dumps(config), encoding="utf-8")


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda f: edit(f, hop_size=8), ["hop: 4 here, 8 there"]),
        (lambda f: edit(f, hop_size=None), ["has no hop_size"]),
        (lambda f: edit(f, model="other.onnx"), ["cannot read", "other.onnx"]),
        (lambda f: (f / "tiny.onnx").write_bytes(b"hello"), ["no ONNX graph"]),
        (lambda f: (f / "tiny.onnx").write_bytes(graph("tokens")), ["takes f0, tokens"]),
        (lambda f: (f / "vocoder.yaml").write_text("- a"), ["holds no settings"]),
    ],
)
def test_what_is_wrong_is_one_sentence(folder, spoil, words):
    spoil(folder)
    with pytest.raises(InputError) as caught:
        open_renderer(folder, SPEC)
    message = str(caught.value)
    assert all(word in message for word in words) and "\n" not in message, message


def test_packages_that_are_none(folder):
    package = packed(folder)
    package.write_bytes(package.read_bytes()[:100])
    with pytest.raises(InputError, match="is no readable package"):
        OnnxVocoder.open(package)
    with zipfile.ZipFile(package, "w") as file:
        file.writestr("oudep.yaml", "id: tiny")
    with pytest.raises(InputError, match="0 files vocoder.yaml"):
        OnnxVocoder.open(package)


def test_a_graph_of_another_hop_is_found_out(folder):
    edit(folder, hop_size=8)
    vocoder = OnnxVocoder.open(folder)
    with pytest.raises(InputError, match="12 samples of 3 frames, expected 24"):
        vocoder(np.zeros((1, 3, BINS)), np.zeros((1, 3)))


def test_a_missing_base_means_the_common_logarithm(folder):
    edit(folder, mel_base=None)
    assert OnnxVocoder.open(folder).mel.log_base == "10"


def test_without_onnxruntime_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"diffsinger_jax\[onnx\]"):
        OnnxVocoder.open(folder)
