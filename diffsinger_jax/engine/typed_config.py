"""From the plain sections of a config to frozen dataclasses that have checked themselves.

A field's annotation says all that one field can say of itself: its type and its range (see
`diffsinger_jax.ranges`). What contradicts another field is the dataclass's `__post_init__`.
Dataclasses have no defaults: those stand once, in the config files.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Annotated, Any, NoReturn, TypeVar, cast

from diffsinger_jax.errors import InputError
from diffsinger_jax.ranges import Calls, OneOf, Range

Config = TypeVar("Config")
Hints = Mapping[str, Any]
TYPE_NAMES = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "True or False",
    tuple: "a tuple",
    Mapping: "a section",
    types.NoneType: "None",
}


def build(cls: type[Config], given: Mapping[str, Any], *, path: str, defaults: str) -> Config:
    """A dataclass of the fields that are given, all of them and no others.

    Args:
      cls: a frozen dataclass whose annotations say what is asked of its fields.
      given: plain values by the names of the fields; sections are mappings.
      path: of the section, as "config.sampling", for the messages.
      defaults: the file that has every field, as "configs/base.py".

    Raises:
      InputError: naming the full path of the first field that is unknown, missing, of another
        type or out of range; or what `__post_init__` finds.
    """
    hints = type_hints(cast(Hashable, cls))
    names = [field.name for field in dataclasses.fields(cast(Any, cls))]
    for name in given:
        if name not in names:
            refuse_unknown(f"{path}.{name}", [f"{path}.{known}" for known in names])
    for name in names:
        if name not in given:
            raise InputError(
                f"the config lacks the field {path}.{name}; begin with {defaults}'s get_config() "
                "and change what differs"
            )
    fields: dict[str, Any] = {}
    for name in names:
        where, hint = f"{path}.{name}", hints[name]
        if dataclasses.is_dataclass(hint):
            if not isinstance(given[name], Mapping):
                _refuse_type(where, given[name], Mapping)
            section = cast(type, hint)
            fields[name] = build(section, given[name], path=where, defaults=defaults)
        else:
            fields[name] = checked(given[name], hint, where)
    return cls(**fields)


def as_dict(given: Any) -> dict[str, Any]:
    """Nested dicts of a config file's sections, or of what is a mapping already."""
    return given.to_dict() if hasattr(given, "to_dict") else dict(given)


def plain(config: Any) -> dict[str, Any]:
    """The inverse of `build`: nested dicts, as they are kept beside what was trained."""
    return dataclasses.asdict(config)


def checked(value: Any, hint: Any, where: str) -> Any:
    """The value as its type has it (lists become tuples, whole numbers floats), if it fits.

    Raises:
      InputError: if it is of another type, not finite, or out of range.
    """
    ranges: list[Any] = []
    if typing.get_origin(hint) is Annotated:
        hint, *ranges = typing.get_args(hint)
    value = _of_type(value, hint, where)
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, float) and not math.isfinite(number):
            raise InputError(f"{where} is {value}, expected a finite number; correct it")
    for one in ranges:
        if isinstance(one, OneOf):
            require_one_of(value, one.names, where)
        elif isinstance(one, Calls):
            check_named_call(one.table, value, where)
        elif isinstance(one, Range):
            numbers = value if isinstance(value, tuple) else (value,)
            if not all(one.holds(number) for number in numbers):
                raise InputError(f"{where} is {value}, expected {one.expected}; correct it")
    return value


def require_one_of(given: Any, names: Collection[str], where: str) -> None:
    """Raises InputError for a name that is not one of those known."""
    if not isinstance(given, str) or given not in names:
        raise InputError(f"{where} is one of {', '.join(names)}, got {given!r}")


def check_named_call(
    table: Mapping[str, Callable[..., Any]], section: Mapping[str, Any], where: str
) -> None:
    """Calls what the section's `name` names with its other fields.

    Raises:
      InputError: if it has no such name or arguments, or takes them not.
    """
    arguments = dict(section)
    name = arguments.pop("name", None)
    require_one_of(name, table, f"{where}.name")
    check_arguments(table[name], arguments, where, title=f"the {name} one")
    try:
        table[name](**arguments)
    except ValueError as error:
        given = ", ".join(f"{key} = {value}" for key, value in arguments.items())
        raise InputError(f"{where} cannot be {name} with {given}: {error}") from error


def check_arguments(
    function: Callable[..., Any],
    given: Mapping[str, Any],
    where: str,
    *,
    title: str,
    supplied: Collection[str] = (),
) -> None:
    """Does a function or class take these keyword arguments?

    Args:
      function: whose annotations say types and ranges.
      given: the arguments.
      where: path of the section they stand in.
      title: of the function, for the messages.
      supplied: arguments that come from elsewhere.

    Raises:
      InputError: for the first argument that is unknown, missing, or not what is asked for.
    """
    parameters = inspect.signature(function).parameters
    own = {name: one for name, one in parameters.items() if name not in supplied}
    for name in given:
        if name not in own:
            raise InputError(
                f"{where} has {name}, which {title} does not know; it takes "
                f"{', '.join(own) or 'nothing'}"
            )
    for name, parameter in own.items():
        if parameter.default is parameter.empty and name not in given:
            raise InputError(f"{where} lacks {name}, which {title} needs; add it")
    hints = type_hints(function)
    for name, value in given.items():
        checked(value, hints.get(name, Any), f"{where}.{name}")


@functools.lru_cache
def type_hints(function: Hashable) -> Hints:
    """Annotations of a function's arguments or a dataclass's fields, ranges included."""
    if not isinstance(function, type):
        return typing.get_type_hints(function, include_extras=True)
    hints: dict[str, Any] = {}
    for cls in reversed(function.__mro__):
        if dataclasses.is_dataclass(cls) and "__annotations__" in vars(cls):
            names = {field.name for field in dataclasses.fields(cls)}
            own = types.SimpleNamespace(
                __annotations__={
                    k: v for k, v in vars(cls)["__annotations__"].items() if k in names
                }
            )
            module = vars(inspect.getmodule(cls))
            hints |= typing.get_type_hints(own, globalns=module, include_extras=True)
    return hints


def refuse_unknown(path: str, known: Collection[str]) -> NoReturn:
    """Raises InputError for a field that nothing reads, naming the nearest that there is."""
    near = difflib.get_close_matches(path, known, n=1, cutoff=0.0)
    raise InputError(
        f"the config has a field {path}, which nothing reads; the nearest is {near[0]}"
    )


def _of_type(value: Any, hint: Any, where: str) -> Any:
    """The value as a type has it; InputError if it is of another."""
    origin = typing.get_origin(hint) or hint
    if origin is Any:
        return value
    if origin in (types.UnionType, typing.Union):
        return _of_union(value, typing.get_args(hint), where)
    if origin is tuple:
        return _of_tuple(value, typing.get_args(hint), where)
    if origin is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    kind = Mapping if origin in (dict, Mapping) or issubclass(origin, Mapping) else origin
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        _refuse_type(where, value, kind)
    return value


def _of_union(value: Any, kinds: tuple[Any, ...], where: str) -> Any:
    for kind in kinds:
        try:
            return _of_type(value, kind, where)
        except InputError:
            continue
    _refuse_type(where, value, *kinds)


def _of_tuple(value: Any, kinds: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if not isinstance(value, tuple | list):
        _refuse_type(where, value, tuple)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise InputError(f"{where} is {tuple(value)}, expected {len(kinds)} values; correct it")
    try:
        return tuple(_of_type(one, kind, where) for one, kind in zip(value, kinds, strict=True))
    except InputError:
        _refuse_type(where, tuple(value), *dict.fromkeys(kinds), each="of ")


def _refuse_type(where: str, value: Any, *kinds: Any, each: str = "") -> NoReturn:
    names = []
    for kind in kinds:
        origin = typing.get_origin(kind) or kind
        names.append(TYPE_NAMES.get(origin, getattr(origin, "__name__", str(origin))))
    expected = " or ".join(names)
    if each:
        expected = f"each of them {expected}"
    raise InputError(f"{where} is {value!r}, expected {expected}; correct it")
