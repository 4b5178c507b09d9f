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
    environment = dict(os.environ, JAX_PLATFORMS="cpu", JAX_DISABLE_MOST_OPTIMIZATIONS="1")
    environment["PYTHONPATH"] = f"{ROOT}:{ROOT / 'tests'}"
    environment["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
    out = tmp_path / "states.npz"
    command = [sys.executable, str(Path(__file__).with_name("toy_vocoder.py")), str(out)]
    subprocess.run(command, env=environment, check=True, timeout=600)
    found = dict(np.load(out))
    names = [name.removeprefix("1/") for name in found if name.startswith("1/")]
    assert len(found) == 2 * len(names)
    for name in names:
        np.testing.assert_array_equal(found[f"8/{name}"], found[f"1/{name}"], err_msg=name)
    of_discriminators = [name for name in names if name.startswith("0['discriminators']")]
    for name in of_discriminators:
        first, second = found[f"1/{name}"], found[f"1/1{name[1:]}"]
        if name.endswith("['kernel']"):  # they rest in step 0 and have moved in step 1
            assert np.abs(first - second).max() > 1e-4
