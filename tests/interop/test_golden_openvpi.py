"""openvpi/DiffSinger's numbers, where its golden folders lie."""

import os
from pathlib import Path

import pytest
from golden_openvpi import differences, kind_of

HERE = Path(__file__).parent
SHARED = Path(os.environ.get("DIFFSINGER_GOLDEN", HERE.parents[2] / "shared" / "golden"))
FOLDERS = sorted(file.parent for file in SHARED.glob("*/cases.npz") if kind_of(file.parent))


@pytest.mark.slow
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_whole_folders_agree(folder):
    if kind_of(folder) == "acoustic":
        pytest.importorskip("torch")
    found = differences(folder)
    assert found
    assert not {name: d for name, (d, bound) in found.items() if not d <= bound}
