"""A config becomes a dataclass, or one sentence that names the full path of what is wrong."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

import pytest

from diffsinger_jax.engine.typed_config import build, check_arguments, plain
from diffsinger_jax.errors import InputError
from diffsinger_jax.ranges import ODD, POSITIVE, SHARE, at_least, calls, one_of


def flat(peak: Annotated[float, POSITIVE]):
    if peak > 1:
        raise ValueError("too steep")


@dataclasses.dataclass(frozen=True)
class Inner:
    sizes: Annotated[tuple[int, ...], at_least(1)]
    pairs: tuple[tuple[int, float], ...]
    factor: Annotated[float, at_least(0)]  # not more than its own annotation says


@dataclasses.dataclass(frozen=True)
class Outer:
    name: Annotated[str, one_of({"a": 1, "b": 2})]
    steps: int | str
    share: Annotated[float, SHARE]
    is_on: bool
    kernel: Annotated[int | None, ODD]
    rate: Annotated[Mapping[str, Any], calls({"flat": flat})]
    inner: Inner

    def __post_init__(self):
        if self.is_on and self.share == 0:
            raise InputError("config.is_on without a config.share")


GOOD = {
    "name": "a",
    "steps": 3,
    "share": 0,
    "is_on": False,
    "kernel": 3,
    "rate": {"name": "flat", "peak": 0.5},
    "inner": {"sizes": [1, 2], "pairs": [[4, 1], (8, 2.0)], "factor": 0.0},
}


def made(**changes):
    given = {**GOOD, **changes}
    return build(Outer, given, path="config", defaults="configs/base.py")


def test_values_come_as_their_types_have_them():
    config = made(steps="auto", kernel=None)
    assert config.inner.sizes == (1, 2) and config.inner.pairs == ((4, 1.0), (8, 2.0))
    assert isinstance(config.share, float) and isinstance(config.inner.pairs[0][1], float)
    assert config.steps == "auto" and config.kernel is None
    again = build(Outer, plain(config), path="config", defaults="")
    assert again == config


@pytest.mark.parametrize(
    "changes,said",
    [
        ({"nmae": "a"}, "a field config.nmae, which nothing reads; the nearest is config.name"),
        (
            {"inner": {**GOOD["inner"], "size": 1}},
            "config.inner.size, .*nearest is config.inner.si",
        ),
        (
            {"inner": {"sizes": (1,), "factor": 1}},
            "lacks the field config.inner.pairs; begin with c",
        ),
        ({"inner": 3}, "config.inner is 3, expected a section"),
        ({"name": "c"}, "config.name is one of a, b, got 'c'"),
        ({"name": 3}, "config.name is 3, expected a text"),
        ({"steps": 1.5}, "config.steps is 1.5, expected a whole number or a text"),
        ({"share": 1.0}, "config.share is 1.0, expected a number from 0 to below 1"),
        ({"share": True}, "config.share is True, expected a number"),
        ({"share": float("nan")}, "config.share is nan, expected a finite number"),
        ({"is_on": 1}, "config.is_on is 1, expected True or False"),
        ({"is_on": True}, "config.is_on without a config.share"),
        ({"kernel": 4}, "config.kernel is 4, expected an odd number"),
        ({"rate": {"name": "flat"}}, "config.rate lacks peak, which the flat one needs"),
        ({"rate": {"name": "flat", "peak": 0.0}}, "config.rate.peak is 0.0, expected more than 0"),
        ({"rate": {"name": "flat", "peak": 2.0}}, "config.rate cannot be flat with .*too steep"),
        ({"rate": {"name": "flat", "top": 1}}, "config.rate has top, which the flat one does not"),
        (
            {"inner": {**GOOD["inner"], "sizes": (1, 0)}},
            "inner.sizes is .1, 0., expected 1 or more",
        ),
        ({"inner": {**GOOD["inner"], "sizes": 3}}, "inner.sizes is 3, expected a tuple"),
        ({"inner": {**GOOD["inner"], "sizes": (1, "b")}}, "expected each of them a whole number"),
    ],
)
def test_what_is_wrong_is_one_sentence_with_its_path(changes, said):
    with pytest.raises(InputError, match=said) as caught:
        made(**changes)
    assert "\n" not in str(caught.value)


def test_a_field_has_the_range_of_its_annotation_and_not_of_its_name():
    assert made().inner.factor == 0.0  # elsewhere a factor of 0 is refused


def test_arguments_that_come_from_elsewhere_are_not_asked_for():
    def module(hidden: int, width: Annotated[int, at_least(1)] = 3):
        return hidden, width

    check_arguments(module, {"width": 2}, "config.x", title="it", supplied=("hidden",))
    with pytest.raises(InputError, match="config.x has hidden, which it does not know; .* width"):
        check_arguments(module, {"hidden": 2}, "config.x", title="it", supplied=("hidden",))
    with pytest.raises(InputError, match="config.x.width is 0, expected 1 or more"):
        check_arguments(module, {"width": 0}, "config.x", title="it", supplied=("hidden",))
