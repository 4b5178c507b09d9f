"""A corpus prepared on Apache Beam holds what one prepared without it holds."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from diffsinger_jax.data.pjs.recipe import RECIPE
from sung import make_song, sing, write_pjs_song

from diffsinger_jax.corpus import build
from diffsinger_jax.pipeline.prepared import open_corpus
from diffsinger_jax.types import MEL_SPECS

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = build.CorpusSettings(
    "made_up", mel=MEL_SPECS["24k_hop256"], f0="dio", validation=("pjs002",)
)


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    pytest.importorskip("apache_beam")
    root = tmp_path_factory.mktemp("raw")
    for n in range(1, 4):
        labels, notes = make_song([57 + (n * i) % 7 for i in range(12)], note_sec=0.3 + 0.02 * n)
        write_pjs_song(root, f"pjs{n:03}", labels, notes, sing(labels, notes))
    return RECIPE.read([root], None)


def assert_same_corpus(ours: Path, theirs: Path) -> int:
    """Compares two prepared corpora field by field, and counts their examples."""
    for file in ("corpus.json", "checks.csv", "build.json", "features.json"):
        assert (ours / file).read_text() == (theirs / file).read_text(), file
    one, two = open_corpus(ours), open_corpus(theirs)
    assert one.splits == two.splits
    count = 0
    for split in one.splits:
        for a, b in zip(one.source(split), two.source(split), strict=True):
            assert a.keys() == b.keys()
            for field in a:
                np.testing.assert_array_equal(a[field], b[field], err_msg=f"{a['name']} {field}")
                assert np.asarray(a[field]).dtype == np.asarray(b[field]).dtype
            count += 1
    return count


# What Beam and what it imports deprecate is theirs to mend.
@pytest.mark.filterwarnings("ignore")
def test_on_beam_and_off_it_are_the_same(songs, tmp_path):
    build.prepare(songs, SETTINGS, tmp_path / "plain", 1)
    build.prepare(songs, SETTINGS, tmp_path / "beam", 1, beam=["--runner=DirectRunner"])
    assert assert_same_corpus(tmp_path / "beam", tmp_path / "plain") >= 3
    assert not list(tmp_path.glob("*.partial"))
    # It knows what it has made, however that was made.
    assert build.prepare(songs, SETTINGS, tmp_path / "beam", 1) == []


def test_without_beam_the_flag_says_what_to_install(tmp_path):
    if find_spec("apache_beam") is not None:
        pytest.skip("Apache Beam is installed")
    command = [
        sys.executable,
        "data/prepare.py",
        "pjs_mini",
        "--out",
        str(tmp_path / "x"),
        "--beam",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "pip install apache-beam" in done.stderr
    assert not list(tmp_path.iterdir())
