"""Four short songs of PJS that ship with the project, to try preparing and training at once.

CC BY-SA 4.0, see LICENSE and ATTRIBUTION.txt beside this file.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pjs.recipe import RECIPE as PJS  # data/ is on the path while a corpus is prepared

RECIPE = dataclasses.replace(
    PJS, test=("pjs075",), validation=("pjs100",), raw=Path(__file__).resolve().parent
)
