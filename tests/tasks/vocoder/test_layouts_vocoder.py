"""The adversarial step on one device and on eight."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_one_device_is_eight_devices(tmp_path):
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    environment["PYTHONPATH"] = f"{ROOT}:{ROOT / 'tests'}"
    # Without the tests' emitters: the bits are about those that users have.
    environment["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
    out = tmp_path / "states.npz"
    command = [sys.executable, str(Path(__file__).with_name("toy_vocoder.py")), str(out)]
    subprocess.run(command, env=environment, check=True, timeout=600)
    found = dict(np.load(out))
    names = [name.removeprefix("1/") for name in found if name.startswith("1/")]
    assert len(found) == 2 * len(names)
    for name in names:
        np.testing.assert_array_equal(found[f"8/{name}"], found[f"1/{name}"], err_msg=name)
    assert {name.split("/")[0] for name in names} == {"vocoder", "singer"}
    for name in names:
        toy, _, path = name.partition("/")
        if path.startswith("0['discriminators']") and path.endswith("['kernel']"):
            first, second = found[f"1/{name}"], found[f"1/{toy}/1{path[1:]}"]
            assert np.abs(first - second).max() > 1e-4  # they rest in step 0 and move in step 1
