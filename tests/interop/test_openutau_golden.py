"""Voicebanks of what openvpi/DiffSinger exported, beside the numbers that were recorded of them."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import toy_voicebank as toy

from diffsinger_jax.cli import sing
from diffsinger_jax.interop.openutau.model_folder import ModelFolder
from diffsinger_jax.interop.openutau.package import VoicebankFiles
from diffsinger_jax.interop.openutau.voicebank import open_voicebank

ROOT = Path(os.environ.get("DIFFSINGER_GOLDEN", Path(__file__).parents[3] / "shared/golden"))
ACOUSTIC = ("openvpi_acoustic_reflow_lynxnet", "openvpi_acoustic_reflow_lynxnet2")
VARIANCE = "openvpi_variance_reflow"
VOCODER = {"sample_rate: 1000": "sample_rate: 44100", "hop_size: 10": "hop_size: 512"}
VOCODER |= {"win_size: 40": "win_size: 2048", "fft_size: 64": "fft_size: 2048"}
VOCODER |= {"num_mel_bins: 10": "num_mel_bins: 128", "mel_fmax: 500": "mel_fmax: 16000"}

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


@pytest.fixture(params=ACOUSTIC)
def bank(request, tmp_path):
    folder = copied(request.param, tmp_path / "bank")
    if request.param == ACOUSTIC[0]:
        for part in ("dsdur", "dspitch", "dsvariance"):
            copied(VARIANCE, folder / part)
            (folder / part / "dsdict.yaml").write_text(symbols(folder))
    (folder / "character.txt").write_text("name=Golden\n")
    (folder / "dsvocoder").mkdir()
    vocoder = toy.VOCODER
    for mine, theirs in VOCODER.items():
        vocoder = vocoder.replace(mine, theirs)
    (folder / "dsvocoder/vocoder.yaml").write_text(vocoder)
    (folder / "dsvocoder/vocoder.onnx").write_bytes(toy.vocoder(bins=128, hop=512))
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


def test_recorded_inputs_give_recorded_outputs(bank):
    voicebank = open_voicebank(bank)
    experiment = ACOUSTIC[not voicebank.dur]
    cases = np.load(ROOT / experiment / "onnx/cases_onnx.npz")
    names = voicebank.acoustic.graph("acoustic").inputs
    feed = {n: cases[f"in_{n}"] for n in names if n not in ("depth", "steps")}
    feed |= {n: cases[f"in_depth0_{n}"] for n in ("depth", "steps")}
    mel = voicebank.acoustic.run("acoustic", feed)["mel"]
    np.testing.assert_allclose(mel, cases["out_depth0_mel"], rtol=0, atol=1e-4 * np.ptp(mel))
    if (part := voicebank.dur) is None:
        return
    cases = np.load(ROOT / VARIANCE / "onnx/cases_onnx.npz")
    for role in ("linguistic", "dur"):
        feed = {name: cases[f"in_{role}_{name}"] for name in part.graph(role).inputs}
        for name, found in part.run(role, feed).items():
            expected = cases[f"out_{name}"]
            bound = 1e-4 * np.ptp(expected.astype(float))
            np.testing.assert_allclose(found.astype(float), expected, rtol=0, atol=bound)
