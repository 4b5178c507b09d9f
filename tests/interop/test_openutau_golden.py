"""Voicebanks of what openvpi/DiffSinger exported, beside the numbers that were recorded of them.

Their vocoder is a small one of ours, exported by us.
"""

import dataclasses
import os
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

pytest.importorskip("jax2onnx")
pytest.importorskip("onnxruntime")

from diffsinger_jax.cli import sing
from diffsinger_jax.interop.openutau.export_models import vocoder_files
from diffsinger_jax.interop.openutau.model_folder import ModelFolder
from diffsinger_jax.interop.openutau.onnx_parts import noise_as_inputs
from diffsinger_jax.interop.openutau.package import VoicebankFiles
from diffsinger_jax.interop.openutau.voicebank import open_voicebank
from diffsinger_jax.types import MelSpec
from diffsinger_jax.voices.onnx_graph import OnnxGraph
from diffsinger_jax.voices.vocoder import NeuralVocoder, generator_shapes

ROOT = Path(os.environ.get("DIFFSINGER_GOLDEN", Path(__file__).parents[3] / "shared/golden"))
ACOUSTIC = ("openvpi_acoustic_reflow_lynxnet", "openvpi_acoustic_reflow_lynxnet2")
VARIANCE = "openvpi_variance_reflow"
MEL = MelSpec(
    sample_rate=44_100, hop=512, n_fft=2048, win=2048, n_mels=128, fmin=40.0, fmax=16_000.0,
    log_base="e", framing="reflect",
)  # fmt: skip
VOCODER = {
    "channels": 8, "upsample_rates": [16, 32], "upsample_kernels": [16, 32], "resblock": "2",
    "resblock_kernels": [3], "resblock_dilations": [[1, 3]], "source": "harmonics",
}  # fmt: skip

pytestmark = pytest.mark.skipif(
    not (ROOT / VARIANCE).is_dir(), reason="needs openvpi's golden folders in DIFFSINGER_GOLDEN"
)


def copied(experiment, folder):
    """An exported folder; the speakers of both experiments under one name, as OpenUtau wants it."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in (ROOT / experiment / "onnx").iterdir():
        if file.suffix in (".onnx", ".json", ".emb", ".yaml") and file.name != "io.json":
            shutil.copyfile(file, folder / file.name.replace(f"{experiment}.", "bank."))
    config = (folder / "dsconfig.yaml").read_text().replace(f"{experiment}.", "bank.")
    if experiment.endswith("lynxnet2"):  # its exporter says what its graph has not
        config = config.replace("shift_embed: true", "shift_embed: false")
        config = config.replace("speed_embed: true", "speed_embed: false")
    (folder / "dsconfig.yaml").write_text(config)
    return folder


def symbols(folder):
    names = ModelFolder(VoicebankFiles(folder)).phonemes
    rows = [(s, "vowel" if s.rpartition("/")[2] in ("a", "e", "i", "N") else "stop") for s in names]
    text = "".join(f"- {{symbol: {s}, type: {t}}}\n" for s, t in rows if s not in ("SP", "AP"))
    return f"symbols:\n{text}"


@pytest.fixture(scope="module")
def vocoder():
    """The folder dsvocoder of random weights."""
    empty = NeuralVocoder("small", MEL, VOCODER, "filled", {}, "CC0-1.0; nobody")
    rng = np.random.default_rng(0)
    shapes = generator_shapes(empty.generator)
    params = jax.tree.map(lambda s: rng.normal(0, 0.3, s.shape).astype("f4"), shapes)
    return vocoder_files(dataclasses.replace(empty, params=jax.device_put(params)))


@pytest.fixture(params=ACOUSTIC)
def bank(request, vocoder, tmp_path):
    folder = copied(request.param, tmp_path / "bank")
    if request.param == ACOUSTIC[0]:
        for part in ("dsdur", "dspitch", "dsvariance"):
            copied(VARIANCE, folder / part)
            (folder / part / "dsdict.yaml").write_text(symbols(folder))
    (folder / "character.txt").write_text("name=Golden\n")
    (folder / "dsvocoder").mkdir()
    for name, content in vocoder.items():
        (folder / name).write_bytes(content)
    return folder


def test_it_is_sung_by_one_command(bank, tmp_path):
    song = tmp_path / "song.ds"
    if (bank / "dsdur").is_dir():
        song = tmp_path / "song.ustx"
        song.write_text(
            "voice_parts:\n- track_no: 0\n  notes:\n"
            "  - {position: 480, duration: 480, tone: 60, lyric: '[ja/k ja/a]'}\n"
            "  - {position: 960, duration: 480, tone: 62, lyric: '[sh i]'}\n"
        )
    else:
        song.write_text(
            '[{"offset": 0.5, "ph_seq": "sh a", "ph_dur": "0.1 0.5", "note_seq": "C4", '
            '"note_dur": "0.6", "f0_seq": "262 262", "f0_timestep": "0.3"}]'
        )
    flags = ["--score", str(song), "--out", str(tmp_path / "out"), "--steps", "2"]
    assert sing.main(["--voice", str(bank), *flags]) == 0
    assert (tmp_path / "out/song.wav").stat().st_size > 50_000


def near(found, expected, bound=1e-4):
    """Of its range."""
    bound *= np.ptp(expected.astype(float))
    np.testing.assert_allclose(found.astype(float), expected, rtol=0, atol=bound)


def given_noise(part, role, noise):
    """A graph, its own inputs, and the noise f32[1, F, R, T] that it is to draw."""
    own = part.graph(role)
    graph = OnnxGraph.read(noise_as_inputs(own._bytes, axes=4), own.where)
    (drawn,) = set(graph.inputs) - set(own.inputs)
    return graph, own.inputs, {drawn: noise}


def test_recorded_inputs_and_noise_give_recorded_outputs(bank):
    voicebank = open_voicebank(bank)
    experiment = ACOUSTIC[not voicebank.dur]
    cases = np.load(ROOT / experiment / "onnx/cases_onnx.npz")
    for case in ("depth0", "depth03", "depth06", "depth1"):
        graph, names, noise = given_noise(voicebank.acoustic, "acoustic", cases[f"{case}_noise"])
        feed = {n: cases[f"in_{n}"] for n in names if n not in ("depth", "steps")}
        feed |= {n: cases[f"in_{case}_{n}"] for n in ("depth", "steps")}
        near(graph.run(feed | noise)["mel"], cases[f"out_{case}_mel"])
        if case == "depth0":  # whatever is drawn: but for float32's rounding on another machine
            near(voicebank.acoustic.run("acoustic", feed)["mel"], cases["out_depth0_mel"], 1e-6)
    if voicebank.dur is None:
        return
    cases = np.load(ROOT / VARIANCE / "onnx/cases_onnx.npz")
    for role in ("linguistic", "dur"):
        feed = {name: cases[f"in_{role}_{name}"] for name in voicebank.dur.graph(role).inputs}
        for name, found in voicebank.dur.run(role, feed).items():
            near(found, cases[f"out_{name}"])
    for role in ("pitch", "variance"):
        part = getattr(voicebank, role)
        graph, names, noise = given_noise(part, role, cases[f"{role}_noise"])
        feed = {name: cases[f"in_{role}_{name}"] for name in names}
        for name, found in graph.run(feed | noise).items():
            near(found, cases[f"out_{name}"])
