"""Settings every test runs under."""

import os
import tempfile

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Tests, the processes they are spread over and the programs they start share what they compile,
# and leave nothing with the user.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _cache = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    os.environ["XDG_CACHE_HOME"] = _cache.name

import jax  # noqa: E402

jax.config.update("jax_default_matmul_precision", "highest")
jax.config.update("jax_debug_key_reuse", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
# Tests compile much and compute little.
jax.config.update("jax_disable_most_optimizations", True)
# Many tests compile the same program.
jax.config.update("jax_compilation_cache_dir", os.environ["XDG_CACHE_HOME"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)

import subprocess  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
MINI_FLAGS = ("--mel", "24k_hop256", "--f0", "dio")  # dio is several times faster than harvest


@pytest.fixture(scope="session")
def prepared_mini(tmp_path_factory):
    """The songs that ship, prepared as the README says: a folder to open with `open_corpus`."""
    out = tmp_path_factory.mktemp("prepared") / "pjs_mini"
    subprocess.run(
        [sys.executable, "data/prepare.py", "pjs_mini", "--out", str(out), *MINI_FLAGS],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return out
