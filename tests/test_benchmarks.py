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

import accelerator  # noqa: E402
import flow_speed  # noqa: E402
import measure  # noqa: E402
import reading  # noqa: E402
import sampling  # noqa: E402
import training  # noqa: E402

from diffsinger_jax.errors import InputError  # noqa: E402
from diffsinger_jax.modules import dilated  # noqa: E402
from diffsinger_jax.modules.trunks.wavenet import WaveNet  # noqa: E402
from diffsinger_jax.pipeline.packed import write_packed  # noqa: E402
from diffsinger_jax.pipeline.prepared import open_corpus  # noqa: E402
from diffsinger_jax.tasks.acoustic.config import acoustic_config  # noqa: E402
from diffsinger_jax.tasks.acoustic.task import train_voice  # noqa: E402
from diffsinger_jax.voices.voice import load_voice  # noqa: E402

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
    flags = ["--seconds", "0.3", "--steps", "3", "--frames", "30", "--kernel_size", "5"]
    flow_speed.main([*SMALL, *flags, "--out", str(out)])
    rows = json.loads(out.read_text())["numbers"]
    assert len(rows) == 2 and all(row["difference"] < 1e-4 for row in rows)


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


def lines_of(out):
    return accelerator.read_lines(out / accelerator.MEASURED_FILE)


def test_an_accelerator_is_measured_part_by_part_and_a_cut_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "PEAK_SIZE", {"cpu": 64})
    given = ["--layers=1", "--channels=8", "--seconds=0.1", "--frames=8", "--k_step=2"]
    given += ["--repeats=1", "--batch", "1", "--no_peer", f"--out={tmp_path}"]
    flags = accelerator.parse(given)
    parts = accelerator.plan_parts(flags)
    file = tmp_path / accelerator.MEASURED_FILE
    for part in parts[3:]:  # measured before; the last line was cut off
        accelerator.append_line(file, {"part": part, "before": True})
    with file.open("a") as out:
        out.write('{"part": {"what"')
    accelerator.measure_parts(flags)
    lines = lines_of(tmp_path)
    assert [line["part"] for line in lines] == [*parts[3:], *parts[:3]]
    assert not any("failed" in line for line in lines)
    assert lines[-1]["p50 s"] > 0 and lines[-3]["TFLOP/s"] > 0


def test_a_part_that_fails_or_takes_too_long_leaves_the_others(tmp_path, monkeypatch):
    def measure_part(part, flags, peak):
        if part["what"] == "matmul":
            raise MemoryError("none left")
        while True:
            pass

    monkeypatch.setattr(measure, "matmul_peak", lambda dtype: None)
    monkeypatch.setattr(accelerator, "measure_part", measure_part)
    monkeypatch.setattr(accelerator, "PART_SEC", 0.01)
    flags = accelerator.parse(["--batch", "1", "--no_peer", f"--out={tmp_path}"])
    accelerator.measure_parts(flags)
    failed = [line["failed"] for line in lines_of(tmp_path)]
    assert len(failed) == len(accelerator.plan_parts(flags))
    assert failed[0] == "MemoryError: none left" and "took more than 0.01 s" in failed[-1]


def test_files_that_come_back_are_small_and_give_the_same_arrays(tmp_path, monkeypatch):
    import accelerator_training as bundle

    monkeypatch.setattr(bundle, "FILE_BYTES", 200)
    rng = np.random.default_rng(0)
    tree = {"a": rng.normal(size=(5, 9)).astype("f4"), "b": {"c": np.int32(7)}}
    arrays = bundle.named("x/params", tree) | bundle.halved(bundle.named("x/ema", tree))
    before = {f"old{number}": np.zeros(40, "f4") for number in range(6)}
    bundle.write_split(tmp_path, "weights", before)
    assert len(list(tmp_path.iterdir())) == 6
    bundle.write_split(tmp_path, "weights", arrays)
    assert len(list(tmp_path.iterdir())) == 2
    again = bundle.read_split(tmp_path)
    like = jax.tree.map(jnp.zeros_like, tree)
    jax.tree.map(np.testing.assert_array_equal, bundle.filled("x/params", like, again), tree)
    ema = bundle.filled("x/ema", like, again)
    np.testing.assert_allclose(ema["a"], tree["a"], rtol=2**-8)
    assert ema["b"]["c"] == 7


@pytest.mark.slow
def test_what_an_accelerator_trained_goes_on_elsewhere_and_sings(tmp_path, made_up_corpus):
    import accelerator_training as bundle

    packed, out = tmp_path / "mini.npz", tmp_path / "out"
    given = measure.load_config(Path("configs/tiny.py"), made_up_corpus).to_dict()
    given["songs_shown"] = 0
    for stage in ("auxiliary", "denoiser"):
        given[stage] |= {"steps": 2, "frames_per_batch": 1}
    write_packed(packed, open_corpus(made_up_corpus), given)
    given["corpus"] = str(packed)

    first = [f"--corpus={packed}", f"--out={out}", f"--workdir={tmp_path / 'first'}"]
    bundle.train(accelerator.parse(first))
    assert {path.name for path in out.iterdir()} == {"weights_0.npz", "resume_0.npz"}
    home = [f"--corpus={packed}", f"--resume={out}", f"--workdir={tmp_path / 'home'}"]
    bundle.make_voice_of(accelerator.parse(home))
    ours, theirs = (load_voice(tmp_path / one / "voice") for one in ("home", "first"))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2**-7, atol=1e-30),
        ours.params,
        theirs.params,
    )

    longer = given | {"denoiser": given["denoiser"] | {"steps": 3}}
    bundle.pack(acoustic_config(longer), tmp_path / "first", out)  # as if it was cut off
    bundle.unpack(acoustic_config(longer), tmp_path / "second", out)
    train_voice(longer, tmp_path / "second")
    checkpoints = tmp_path / "second" / "checkpoints"
    steps = {name: {x.name for x in (checkpoints / name).iterdir()} for name in bundle.STAGES}
    assert steps == {"auxiliary": {"2"}, "denoiser": {"2", "3"}}
