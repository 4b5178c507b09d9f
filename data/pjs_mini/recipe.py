"""Four short songs of PJS that ship with the project, to try preparing and training at once.

CC BY-SA 4.0, see LICENSE and ATTRIBUTION.txt beside this file.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from diffsinger_jax.data.pjs.recipe import RECIPE as PJS

RECIPE = dataclasses.replace(
    PJS, test=("pjs075",), validation=("pjs100",), raw=Path(__file__).resolve().parent
)
