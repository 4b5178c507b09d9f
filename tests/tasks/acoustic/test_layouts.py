"""The same numbers on any layout of devices and processes, and checkpoints across layouts."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
TOY = ROOT / "tests" / "toy_stage.py"


def start(out, *arguments, devices):
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    environment["PYTHONPATH"] = f"{ROOT}:{ROOT / 'tests'}"
    # Without the tests' emitters: the bits are about those that users have.
    environment["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
    command = [sys.executable, str(TOY), str(out), *arguments]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def finish(*processes):
    for process in processes:
        _, err = process.communicate(timeout=600)
        assert process.returncode == 0, err[-3000:]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def layouts(tmp_path_factory):
    """Params by layout: 2 processes x 4 devices, then 1 x 1, 1 x 8, and 1 x 2 that goes on."""
    folder = tmp_path_factory.mktemp("layouts")
    address, saved = f"127.0.0.1:{free_port()}", ["--checkpoints", str(folder / "checkpoints")]
    pair = [
        start(
            folder / "pair",
            *("--devices", "8", "--save_at", "15", "--distributed", f"{address},2,{index}"),
            *saved,
            devices=4,
        )
        for index in range(2)
    ]
    finish(*pair)
    alone = start(folder / "alone", "--devices", "1", "8", "8/2", devices=8)
    resumed = start(folder / "resumed", "--devices", "2", *saved, devices=2)
    finish(alone, resumed)
    return {file.stem: dict(np.load(file)) for file in folder.glob("*.npz")}


@pytest.mark.slow
def test_all_layouts_end_with_the_same_bits(layouts):
    assert layouts.keys() == {"pair_8", "alone_1", "alone_8", "alone_8_2", "resumed_2"}
    expected = layouts["alone_1"]
    assert np.abs(expected["one"]).max() > 0.3  # it has moved
    for layout in ("pair_8", "alone_8", "resumed_2"):
        for name, values in layouts[layout].items():
            np.testing.assert_array_equal(values, expected[name], err_msg=f"{layout}: {name}")


@pytest.mark.slow
def test_a_state_in_two_parts_is_the_whole_one(layouts):
    for name, values in layouts["alone_8_2"].items():
        # The parts' norms add up in another order, and Adam enlarges what is lost.
        np.testing.assert_allclose(values, layouts["alone_1"][name], rtol=1e-4, atol=1e-5)
