"""Exported ONNX graphs, run here, beside what they gave where they were made.

Only what no noise enters can be compared: the acoustic model's `depth0`, encoders and durations.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from golden_measure import Found, relative

GRAPH_BOUND = 2e-5
FREE_OF_NOISE = {
    # what a graph's name ends with -> (before the names of its inputs, its outputs as recorded)
    ".linguistic": ("linguistic_", ("encoder_out", "x_masks")),
    ".dur": ("dur_", ("ph_dur_pred",)),
    "": ("", ("depth0_mel",)),
}


def matches(folder: Path) -> bool:
    """Whether it has exported graphs with their numbers."""
    return (folder / "onnx" / "cases_onnx.npz").is_file() and bool(graphs(folder))


def graphs(folder: Path) -> list[tuple[Path, str]]:
    """Those that draw no noise for what is compared, and the key of each in `FREE_OF_NOISE`."""
    found = [(path, Path(path.stem).suffix) for path in sorted((folder / "onnx").glob("*.onnx"))]
    return [(path, kind) for path, kind in found if kind in FREE_OF_NOISE]


def differences(folder: Path) -> Found:
    """Of each output that is free of noise."""
    found: Found = {}
    with np.load(folder / "onnx" / "cases_onnx.npz") as cases:
        for path, kind in graphs(folder):
            prefix, outputs = FREE_OF_NOISE[kind]
            got = run_graph(path, cases, prefix)
            for name, value in zip(outputs, got, strict=True):
                found[name] = relative(value, cases[f"out_{name}"]), GRAPH_BOUND
    return found


def run_graph(path: Path, cases: Mapping[str, np.ndarray], prefix: str) -> list[np.ndarray]:
    """Its outputs for the recorded inputs, at depth 0."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = {}
    for one in session.get_inputs():
        name = one.name if one.name not in ("depth", "steps") else f"depth0_{one.name}"
        value = cases[f"in_{prefix}{name}"]
        inputs[one.name] = value.reshape(()) if not one.shape else value
    return session.run(None, inputs)
