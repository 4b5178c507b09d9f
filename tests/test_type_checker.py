"""The type checker is set up to find what it is there for."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WRONG = '''
import jax
import numpy as np

from diffsinger_jax.pipeline.mix import MixedCorpus
from diffsinger_jax.pipeline.prepared import PreparedCorpus
from diffsinger_jax.types import Piece


def takes_one(corpus: PreparedCorpus) -> None:
    """Not several."""


def takes_an_array(x: jax.Array) -> None:
    """Of the device."""


def wrong(corpus: MixedCorpus, piece: Piece) -> int:
    takes_one(corpus)  # arg-type
    takes_an_array(np.zeros(3))  # arg-type
    return len(piece.phonemes)  # arg-type
'''


@pytest.mark.slow
def test_it_finds_unchecked_optionals_wrong_arrays_and_wrong_corpora(tmp_path, monkeypatch):
    api = pytest.importorskip("mypy.api")
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("MYPYPATH", str(ROOT))
    file = tmp_path / "wrong.py"
    file.write_text(WRONG)
    said, _, code = api.run(["--config-file", "pyproject.toml", str(file)])
    found = {int(n) for n in re.findall(r"wrong\.py:(\d+): error", said)}
    expected = {n for n, line in enumerate(WRONG.splitlines(), 1) if line.endswith("# arg-type")}
    assert code == 1 and found == expected, said
