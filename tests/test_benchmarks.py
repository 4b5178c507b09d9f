"""The benchmark programs run, count right, and time the same model as PyTorch's."""

import argparse
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import measure  # noqa: E402
import reading  # noqa: E402
import sampling  # noqa: E402
import training  # noqa: E402

from diffsinger_jax.errors import InputError  # noqa: E402
from diffsinger_jax.modules import dilated  # noqa: E402
from diffsinger_jax.modules.trunks.wavenet import WaveNet  # noqa: E402

SMALL = ["--layers", "2", "--channels", "16", "--hidden", "8", "--repeats", "1"]


def test_flops_are_those_that_a_compiler_counts(monkeypatch):
    monkeypatch.setattr(dilated, "convolve", dilated.im2col)  # as accelerators have it
    net = WaveNet(data=80, channels=64, layers=3, dilation_cycle=2)
    params = sampling.make_params(net, 32)
    arguments = (
        jnp.zeros((2, 50, 80)),
        jnp.zeros(2),
        jnp.zeros((2, 50, 32)),
        jnp.ones((2, 50), bool),
    )
    counted = jax.jit(net.apply).lower({"params": params}, *arguments).cost_analysis()["flops"]
    formula = sum(measure.denoiser_flops(100, data=80, condition=32, channels=64, layers=3))
    assert 0 <= counted / formula - 1 < 0.05


def test_order_statistics_and_ratios():
    seconds = [5.0, 1.0, 2.0, 4.0, 3.0]
    assert measure.percentile(seconds, 0.5) == 3.0 and measure.percentile(seconds, 0.95) == 5.0
    assert measure.ratio([1.0, 4.0, 9.0], [2.0, 4.0, 3.0]) == 1.0
    order = []
    measure.in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2)
    assert "".join(order) == "abbaab"


def test_a_section_replaces_the_one_of_its_title(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "RESULTS", tmp_path / "RESULTS.md")
    for title, text in (("One", "first"), ("Two", "second"), ("One", "third")):
        flags = argparse.Namespace(out=None, record=title)
        measure.report(flags, "", [{"name": "a"}], text)
    written = (tmp_path / "RESULTS.md").read_text()
    assert written.count("## ") == 2 and "first" not in written
    assert written.index("third") < written.index("second")
    rows = [{"name": "a", "seconds": 0.5}, {"name": "b", "seconds": float("nan")}]
    assert measure.table(rows).splitlines()[-1] == "| b    |       - |"


def test_sampling_prints_a_row_for_each_combination(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "PEAK_SIZE", {"cpu": 64})
    out = tmp_path / "numbers.json"
    flags = ["--seconds", "0.2", "--k_step", "3", "--method", "ddpm", "unipc", "--peer", "none"]
    sampling.main([*SMALL, *flags, "--out", str(out)])
    rows = json.loads(out.read_text())["numbers"]
    assert [row["method"] for row in rows] == ["ddpm", "unipc"]
    assert all(row["p50 s"] <= row["p95 s"] and row["MB"] > 0 for row in rows)
    with pytest.raises(InputError, match="1 to --k_step, 3, got 4"):
        sampling.main([*flags, "--steps", "4"])


@pytest.mark.slow
def test_peers_are_the_same_model(monkeypatch, capsys, tmp_path):
    pytest.importorskip("torch")
    monkeypatch.setattr(measure, "PEAK_SIZE", {"cpu": 64})
    out = tmp_path / "numbers.json"
    sampling.main([*SMALL, "--seconds", "0.2", "--k_step", "4", "--out", str(out)])
    (row,) = json.loads(out.read_text())["numbers"]
    assert row["difference"] < 1e-4 and row["x eager"] > 0 and row["x once"] > 0
    training.main([*SMALL, "--batch", "2", "--frames", "30", "--out", str(out)])
    (row,) = json.loads(out.read_text())["numbers"]
    assert row["difference"] < 1e-4
    assert np.isfinite(row["p50 s"])


def test_reading_counts_the_frames_that_each_host_reads(tmp_path, prepared_mini, capsys):
    out = tmp_path / "reading.json"
    flags = ["--corpus", str(prepared_mini), "--config", "configs/tiny.py", "--hosts", "1", "2"]
    reading.main([*flags, "--batches", "2", "--out", str(out)])
    one, two, *_ = json.loads(out.read_text())["numbers"]
    assert (one["stage"], one["hosts"], two["hosts"]) == ("auxiliary", 1, 2)
    assert one["frames/s"] * one["read s"] == pytest.approx(two["frames/s"] * two["read s"])
    assert one["MB"] / 2 <= two["MB"] < one["MB"]  # padded to rows that divide


@pytest.mark.parametrize("program", [sampling, training])
def test_without_pytorch_it_says_so_at_once(program, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(measure.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install torch, or leave it out with --peer none"):
        program.main([])
