"""Exported ONNX graphs, run here, beside what they gave where they were made.

Where a graph draws noise it is given what it drew there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from golden_measure import Found, relative

GRAPH_BOUND = 2e-5
ROLES = ("linguistic", "dur", "pitch", "variance")


def matches(folder: Path) -> bool:
    """Whether it has exported graphs with their numbers."""
    return (folder / "onnx" / "cases_onnx.npz").is_file() and bool(graphs(folder))


def graphs(folder: Path) -> list[Path]:
    """Those that were exported."""
    return sorted((folder / "onnx").glob("*.onnx"))


def differences(folder: Path) -> Found:
    """Of each output, the acoustic model's from each depth."""
    found: Found = {}
    with np.load(folder / "onnx" / "cases_onnx.npz") as cases:
        for path in graphs(folder):
            role = Path(path.stem).suffix.removeprefix(".")
            if role in ROLES:
                got = run_graph(path, cases, role, role)
            else:
                depths = [n[3:-6] for n in cases if n.startswith("in_") and n.endswith("_depth")]
                got = {
                    f"{depth}_{name}": value
                    for depth in depths
                    for name, value in run_graph(path, cases, "", depth).items()
                }
            for name, value in got.items():
                found[name] = relative(value, cases[f"out_{name}"]), GRAPH_BOUND
    return found


def run_graph(
    path: Path, cases: Mapping[str, np.ndarray], prefix: str, case: str
) -> dict[str, np.ndarray]:
    """Its outputs by name.

    Args:
      path: of the graph.
      cases: the recorded arrays.
      prefix: of its inputs among them.
      case: before the names of its noise, and of depth and steps.
    """
    from diffsinger_jax.interop.openutau.onnx_parts import noise_as_inputs
    from diffsinger_jax.voices.onnx_graph import OnnxGraph

    own = OnnxGraph.read(path.read_bytes(), path.name)
    graph = OnnxGraph.read(noise_as_inputs(own._bytes, axes=4), path.name)
    feed = {}
    for name, tensor in graph.inputs.items():
        if name not in own.inputs:
            feed[name] = cases[f"{case}_noise"]
            continue
        before = case if name in ("depth", "steps") else prefix
        value = cases["_".join(filter(None, ("in", before, name)))]
        feed[name] = value.reshape(()) if tensor.shape == () else value
    return graph.run(feed)
