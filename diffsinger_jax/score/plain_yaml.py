"""YAML from strangers: mappings, lists and strings, and nothing that builds objects."""

from __future__ import annotations

import yaml

from diffsinger_jax.errors import InputError, first_line

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST, _MOST_NODES = 32, 3_000_000

Plain = dict[str, "Plain"] | list["Plain"] | str


def parse_yaml(text: str, source: str) -> Plain:
    """The one document of a text; every scalar stays a string.

    An alias gives the very object that its anchor stands at, not a copy: whoever walks through
    it counts what is visited.

    Raises:
      InputError: if it is not YAML, or has tags, aliases inside what they stand for, several
        documents, keys that are no strings, more than 32 levels or more nodes than any song has.
    """
    builder = _Builder(source)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            builder.take(event)
    except InputError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{source}: not YAML ({first_line(error)}); save it again") from error
    return builder.document()


class _Builder:
    """Events to nested containers, without recursion."""

    def __init__(self, source: str):
        self._source = source
        self._stack: list[dict | list] = []
        self._keys: list[str | None] = []  # of each open mapping, the key that waits for a value
        self._root: list[Plain] = []
        self._nodes = 0
        self._anchors: dict[str, Plain] = {}

    def document(self) -> Plain:
        if len(self._root) != 1:
            raise InputError(f"{self._source}: it is empty; save the project again")
        return self._root[0]

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._add(self._of_alias(event.anchor))
            return
        if (tag := getattr(event, "tag", None)) and not tag.startswith("tag:yaml.org,2002:str"):
            self._refuse(f"the tag {tag!r}")
        if isinstance(event, yaml.ScalarEvent):
            self._add(event.value, event.anchor)
        elif isinstance(event, yaml.MappingStartEvent):
            self._open({}, event.anchor)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._open([], event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._stack.pop()
            self._keys.pop()

    def _of_alias(self, name: str) -> Plain:
        if name not in self._anchors:
            self._refuse(f"an alias *{name} of nothing")
        node = self._anchors[name]
        if any(node is container for container in self._stack):
            self._refuse(f"an alias *{name} inside what it stands for")
        return node

    def _open(self, container: dict | list, anchor: str | None) -> None:
        self._add(container, anchor)
        self._stack.append(container)
        self._keys.append(None)
        if len(self._stack) > _DEEPEST:
            self._refuse(f"more than {_DEEPEST} levels")

    def _add(self, node: Plain, anchor: str | None = None) -> None:
        self._nodes += 1
        if anchor is not None:
            self._anchors[anchor] = node
        if self._nodes > _MOST_NODES:
            self._refuse(f"more than {_MOST_NODES} entries")
        if not self._stack:
            self._root.append(node)
            if len(self._root) > 1:
                self._refuse("several documents")
        elif isinstance(self._stack[-1], list):
            self._stack[-1].append(node)
        elif self._keys[-1] is not None:
            self._stack[-1][self._keys[-1]] = node
            self._keys[-1] = None
        elif isinstance(node, str):
            self._keys[-1] = node
        else:
            self._refuse("keys that are not words")

    def _refuse(self, what: str) -> None:
        raise InputError(f"{self._source}: it has {what}, which no project needs; save it again")
