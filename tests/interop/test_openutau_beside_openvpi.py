"""openvpi's random checkpoints, imported and exported by us, beside openvpi's own exports."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("jax2onnx")
pytest.importorskip("onnxruntime")

from diffsinger_jax.interop.openutau.acoustic_graph import acoustic_graph
from diffsinger_jax.interop.openutau.onnx_parts import noise_as_inputs
from diffsinger_jax.interop.openutau.variance_graphs import variance_graphs
from diffsinger_jax.voices.onnx_graph import OnnxGraph

ROOT = Path(os.environ.get("DIFFSINGER_GOLDEN", Path(__file__).parents[3] / "shared/golden"))
ACOUSTIC = tuple(
    f"openvpi_acoustic_{name}" for name in ("ddpm_wavenet", "reflow_lynxnet", "reflow_lynxnet2")
)
VARIANCE = ("openvpi_variance_ddpm", "openvpi_variance_reflow")
BOUND = 1e-5
"""Of an output's range; seen: 1.0e-6."""

pytestmark = pytest.mark.skipif(
    not (ROOT / VARIANCE[0]).is_dir(), reason="needs openvpi's golden folders in DIFFSINGER_GOLDEN"
)


def cases_of(experiment):
    return dict(np.load(ROOT / experiment / "onnx/cases_onnx.npz"))


TYPES = {"FLOAT": "float", "INT64": "int64", "BOOL": "bool"}


def written_by_them(experiment, file):
    """Inputs and outputs in order: name, type, and sizes, None where they are free."""
    said = json.loads((ROOT / experiment / "onnx/io.json").read_text())[file]
    return [
        [
            (
                v["name"],
                TYPES[v["dtype"]],
                tuple(n if isinstance(n, int) else None for n in v["shape"]),
            )
            for v in said[kind]
        ]
        for kind in ("inputs", "outputs")
    ]


def written_by_us(graph):
    """The same of a graph."""
    return [[(n, *tensor) for n, tensor in v.items()] for v in (graph.inputs, graph.outputs)]


def as_given(noise):
    """[1, F, R, T] -> f32[1, T, F R]."""
    return np.moveaxis(noise, -1, 1).reshape(1, noise.shape[-1], -1)


def near(found, expected):
    assert found.shape == expected.shape
    bound = BOUND * max(np.ptp(expected.astype(float)), 1e-3)
    np.testing.assert_allclose(found.astype(float), expected, rtol=0, atol=bound)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ACOUSTIC)
def test_acoustic_graphs_have_the_same_inputs_and_mels(experiment):
    from diffsinger_jax.interop.openvpi.checkpoint import import_experiment

    cases = cases_of(experiment)
    written = acoustic_graph(import_experiment(ROOT / experiment).voice)
    graph = OnnxGraph.read(written, experiment)
    assert written_by_us(graph) == written_by_them(experiment, f"{experiment}.onnx")
    names = list(graph.inputs)
    graph = OnnxGraph.read(noise_as_inputs(written), experiment)
    shown = {n: cases[f"in_{n}"] for n in names if n not in ("depth", "steps")}
    for case in ("depth0", "depth03", "depth06", "depth1"):
        given = {n: cases[f"in_{case}_{n}"].reshape(()) for n in ("depth", "steps")}
        given["noise"] = as_given(cases[f"{case}_noise"])
        near(graph.run(shown | given)["mel"], cases[f"out_{case}_mel"])


@pytest.mark.slow
@pytest.mark.parametrize("experiment", VARIANCE)
def test_variance_graphs_have_the_same_inputs_and_outputs(experiment):
    from diffsinger_jax.interop.openvpi.variance import import_variance

    cases = cases_of(experiment)
    for role, written in variance_graphs(import_variance(ROOT / experiment).voice).items():
        graph = OnnxGraph.read(written, role)
        assert written_by_us(graph) == written_by_them(experiment, f"{experiment}.{role}.onnx")
        names = list(graph.inputs)
        graph = OnnxGraph.read(noise_as_inputs(written), role)
        feed = {n: cases[f"in_{role}_{n}"] for n in names if n != "steps"}
        if "steps" in names:
            feed["steps"] = cases[f"in_{role}_steps"].reshape(())
            feed["noise"] = as_given(cases[f"{role}_noise"])
        for name, found in graph.run(feed).items():
            near(found, cases[f"out_{name}"])
