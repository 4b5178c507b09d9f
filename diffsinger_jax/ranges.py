"""What a number or a name may be, said beside the field or argument that it is of.

hidden: Annotated[int, at_least(1)]
dropout: Annotated[float, SHARE]
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from typing import Any


@dataclasses.dataclass(frozen=True)
class Range:
    """Of each number of a field.

    Attributes:
      expected: what follows "expected" in a sentence.
      holds: number -> whether it is inside.
    """

    expected: str
    holds: Callable[[Any], bool]


@dataclasses.dataclass(frozen=True)
class OneOf:
    """A name of a table."""

    names: Collection[str]


@dataclasses.dataclass(frozen=True)
class Calls:
    """A section that calls what its `name` names in a table, with its other fields."""

    table: dict[str, Callable[..., Any]]


def at_least(least: float) -> Range:
    """From `least` on."""
    return Range(f"{least} or more", lambda number: number >= least)


def one_of(names: Collection[str]) -> OneOf:
    """One of the names, or of a table's keys."""
    return OneOf(names)


def calls(table: dict[str, Callable[..., Any]]) -> Calls:
    """See `Calls`."""
    return Calls(table)


POSITIVE = Range("more than 0", lambda number: number > 0)
SHARE = Range("a number from 0 to below 1", lambda number: 0 <= number < 1)
ODD = Range(
    "an odd number, so that frames stay where they are",
    lambda number: number is None or (number > 0 and number % 2 == 1),
)
