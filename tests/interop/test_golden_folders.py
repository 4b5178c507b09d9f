"""Whole golden folders, where they lie: DIFFSINGER_GOLDEN names the folder that holds them."""

import os
from pathlib import Path

import pytest
from golden import KINDS, kinds_of, main, too_far

SHARED = Path(os.environ.get("DIFFSINGER_GOLDEN", Path(__file__).parents[3] / "shared" / "golden"))
CASES = [
    pytest.param(kind, folder, id=f"{folder.name}-{kind}")
    for folder in (sorted(SHARED.iterdir()) if SHARED.is_dir() else ())
    for kind in kinds_of(folder)
]


@pytest.mark.slow
@pytest.mark.parametrize("kind, folder", CASES)
def test_whole_folders_agree(kind, folder):
    for module in KINDS[kind].needs:
        pytest.importorskip(module)
    found = KINDS[kind].differences(folder)
    assert found and not too_far(found), {name: found[name] for name in too_far(found)}


def test_a_folder_of_no_kind_is_named(tmp_path, capsys):
    assert main([str(tmp_path)]) == 1
    assert f"{tmp_path.name}: of no kind" in capsys.readouterr().out
