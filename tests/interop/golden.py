"""Our numbers beside those that other programs computed, for every kind of golden folder.

    python tests/interop/golden.py FOLDER [FOLDER ...]

prints the largest difference of each recorded number beside its bound, and ends with 1 where one is
exceeded or a folder is of no kind. A folder may be of several kinds: an experiment has cases.npz,
and perhaps cases_ds.npz and onnx/.

A new kind is a module with `matches(folder) -> bool` and `differences(folder) -> Found` (see
golden_measure.py), and a row of `KINDS`: this program and test_golden_folders.py read no more.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import golden_acoustic
import golden_ds
import golden_features
import golden_muon
import golden_onnx
import golden_onnx_graphs
import golden_reference
import golden_variance
import golden_variance_ds
import golden_vocoder
import jax
from golden_measure import Found


class Kind(NamedTuple):
    """A kind of golden folder.

    Attributes:
      matches: whether a folder is of it.
      differences: what is compared there.
      needs: modules that this takes beside those of the default install.
    """

    matches: Callable[[Path], bool]
    differences: Callable[[Path], Found]
    needs: tuple[str, ...] = ()

    @property
    def lacks(self) -> list[str]:
        """The modules that are not installed."""
        return [name for name in self.needs if importlib.util.find_spec(name) is None]


KINDS = {
    "reference": Kind(golden_reference.matches, golden_reference.differences, ("torch",)),
    "acoustic": Kind(golden_acoustic.matches, golden_acoustic.differences, ("torch",)),
    "acoustic .ds": Kind(golden_ds.matches, golden_ds.differences, ("torch",)),
    "acoustic ONNX": Kind(golden_onnx.matches, golden_onnx.differences, ("torch",)),
    "ONNX graphs": Kind(
        golden_onnx_graphs.matches, golden_onnx_graphs.differences, ("onnxruntime", "jax2onnx")
    ),
    "features": Kind(golden_features.matches, golden_features.differences),
    "mel": Kind(golden_features.has_mels, golden_features.mel_differences),
    "Muon": Kind(golden_muon.matches, golden_muon.differences),
    "variance": Kind(golden_variance.matches, golden_variance.differences, ("torch",)),
    "variance .ds": Kind(golden_variance_ds.matches, golden_variance_ds.differences, ("torch",)),
    "vocoder": Kind(golden_vocoder.matches, golden_vocoder.differences, ("torch",)),
}


def kinds_of(folder: Path) -> list[str]:
    """Names of the kinds that a folder is of."""
    return [name for name, kind in KINDS.items() if kind.matches(folder)]


def too_far(found: Found) -> list[str]:
    """What exceeds its bound, or is not a number."""
    return [name for name, (difference, bound) in found.items() if not difference <= bound]


def main(folders: list[str]) -> int:
    """Prints all differences; 1 where a bound is exceeded, or a folder is of no kind."""
    jax.config.update("jax_default_matmul_precision", "highest")
    failed = not folders
    for folder in map(Path, folders):
        kinds = kinds_of(folder)
        if not kinds:
            print(f"{folder.name}: of no kind that is compared here")
            failed = True
        for name in kinds:
            if lacks := KINDS[name].lacks:
                print(f"{folder.name}: {name}: skipped, {', '.join(lacks)} is not installed")
                continue
            print(f"{folder.name}: {name}")
            found = KINDS[name].differences(folder)
            far = too_far(found)
            for number, (difference, bound) in found.items():
                said = "  TOO FAR" if number in far else ""
                print(f"  {number:32} {difference:.1e}  bound {bound:.0e}{said}")
            failed |= bool(far) or not found
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
