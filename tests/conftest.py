"""Settings every test runs under."""

import gc
import os
import tempfile

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Tests compile much and compute little, and so do the programs they start.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
# Tracing makes many small objects, and nearly all of them stay: looking for garbage less often
# saves an eighth of the time.
gc.set_threshold(200_000, 20, 100)
# Tests, the processes they are spread over and the programs they start share what they compile,
# and leave nothing with the user.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _cache = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    os.environ["XDG_CACHE_HOME"] = _cache.name

import jax  # noqa: E402

if jax.__version_info__ < (0, 11):  # compiles in half of the time; later ones do not know it
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false"
    os.environ["XLA_FLAGS"] = flags.strip()

jax.config.update("jax_default_matmul_precision", "highest")
jax.config.update("jax_numpy_rank_promotion", "raise")
# Many tests compile the same program.
jax.config.update("jax_compilation_cache_dir", os.environ["XDG_CACHE_HOME"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)

import subprocess  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
from random_batches import write_made_up_corpus  # noqa: E402

from diffsinger_jax.audio.mel import compile_librosa  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
# dio is several times faster than harvest, and processes take longer to start than to do this.
MINI_FLAGS = ("--mel", "24k_hop256", "--f0", "dio", "--jobs", "1")


def pytest_configure(config):
    if getattr(config.option, "numprocesses", None):  # before they start
        compile_librosa()


def pytest_collection_modifyitems(items):
    """Files with slow tests come first, so that no process is left alone with them at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_runtest_setup(item):
    """Keys that are used twice are looked for in quick tests: the slow ones trace the same code."""
    jax.config.update("jax_debug_key_reuse", item.get_closest_marker("slow") is None)


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


@pytest.fixture(scope="session")
def made_up_corpus(tmp_path_factory):
    """Ten songs of some 20 frames, for trainings of which only the road matters."""
    return write_made_up_corpus(tmp_path_factory.mktemp("made_up"))


@pytest.fixture(scope="module")
def optimized():
    """For a file that computes for longer than compiling well takes."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)
