"""YAML as configurations are written in it, read strictly: no objects of Python's, no bombs, no surprises.

PyYAML finds the syntax, and composes one tree of nodes, from which values and lines are taken. The values are made
here: its own would turn the version `0.10` into a number, a date into an object, and `on` into true, before anybody
knows what the field takes. So all that is written without quotes stays text, but for null, until a field asks for a
number or a boolean.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import yaml

from runagent_grpc.worker.config.source_values import Unquoted, UnreadableTextError, WrittenObject
from runagent_grpc.worker.wording import join_path

__all__ = ["compose", "lines_of", "read_yaml", "value_of"]

_MAX_DEPTH = 100
_MAX_VALUES = 10_000
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_MERGE = "<<"

_STANDARD = "tag:yaml.org,2002:"
_TEXT_TAGS = frozenset({"!", f"{_STANDARD}str", f"{_STANDARD}timestamp"})
_TYPED_TAGS = frozenset(f"{_STANDARD}{name}" for name in ("bool", "float", "int", "null"))
_COLLECTION_TAGS = frozenset({"!", f"{_STANDARD}map", f"{_STANDARD}seq"})

# What scalars are, in the place of YAML's own tags: written without quotes, or as text.
_PLAIN = "plain"
_TEXT = "text"

_SECOND_DOCUMENT = "but found another document"
_HINTS = {
    "'\\t' that cannot start any token": " Indent with spaces.",
    "but got '<stream end>'": " A bracket before this place is still open.",
    "found unexpected end of stream": " A quote before this place is still open.",
    "mapping values are not allowed here": " Look at the indentation, and quote text that holds `: `.",
    "'@' that cannot start any token": " Quote the text.",
    "'`' that cannot start any token": " Quote the text.",
    "'%' that cannot start any token": " Quote the text.",
}


def read_yaml(text: str) -> Any:
    """Returns the value of the one document in a text. Raises as `compose` does."""
    return value_of(compose(text))


def compose(text: str) -> yaml.Node | None:
    """Returns the root of the one document in a text, or None where there is no document.

    An alias stands for the very node that it names, which then has several places.

    Raises UnreadableTextError: for what is no YAML, and for tags, aliases and nesting that no configuration needs.
    """
    try:
        return yaml.compose(text, Loader=_StrictLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
        raise UnreadableTextError("a character that YAML does not allow.", line=line, column=column) from None
    except yaml.MarkedYAMLError as error:
        trouble = str(error.problem)
        mark = error.problem_mark or error.context_mark
        if trouble == _SECOND_DOCUMENT:
            raise _error("a second document begins here. Keep one of them.", mark) from None
        hint = next((hint for part, hint in _HINTS.items() if part in trouble), "")
        raise _error(f"{trouble}.{hint}", mark) from None


def value_of(node: yaml.Node | None) -> Any:
    """Returns the value of a node; null where there is none. Raises UnreadableTextError for a `<<` of no mapping."""
    match node:
        case None:
            return None
        case yaml.SequenceNode():
            return [value_of(item) for item in node.value]
        case yaml.MappingNode():
            return _mapping(node)
        case _ if node.tag == _PLAIN:
            return None if node.value in _NULLS else Unquoted(node.value)
        case _:
            return str(node.value)


def lines_of(root: yaml.Node | None) -> dict[str, int]:
    """Returns the line of each field by its path, such as `agent_architecture.entrypoints[0].file`."""
    lines: dict[str, int] = {}
    # An alias makes one node stand in many places; what is below it is looked at in the first.
    seen: set[int] = set()
    waiting: deque[tuple[str, yaml.Node]] = deque([("", root)] if root else [])
    while waiting:
        path, node = waiting.popleft()
        if id(node) in seen:
            continue
        seen.add(id(node))
        for step, marked, value in _members(node):
            place = join_path(path, [step])
            # Of a key that stands twice, the last counts.
            lines[place] = marked.start_mark.line + 1
            waiting.append((place, value))
    return lines


def _members(node: yaml.Node) -> Iterator[tuple[str | int, Any, yaml.Node]]:
    """Yields the steps to what is in a node, each with the node whose line is its own."""
    if isinstance(node, yaml.MappingNode):
        yield from ((str(key.value), key, value) for key, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        yield from ((index, value, value) for index, value in enumerate(node.value))


def _mapping(node: yaml.MappingNode) -> WrittenObject:
    written: list[tuple[str, Any]] = []
    merged: dict[str, Any] = {}
    for key, member in node.value:
        value = value_of(member)
        if key.value == _MERGE and key.tag == _PLAIN:
            merged = _merged(value, key) | merged
        else:
            written.append((key.value, value))
    mapping = WrittenObject.of(written)
    for name, value in merged.items():
        # What the mapping says itself goes before what it takes from another.
        mapping.setdefault(name, value)
    return mapping


def _merged(value: Any, key: yaml.Node) -> dict[str, Any]:
    """Returns the members that `<<` takes over; of several mappings the first that has one counts."""
    merged: dict[str, Any] = {}
    for mapping in value if isinstance(value, list) else [value]:
        if not isinstance(mapping, dict):
            raise _error("`<<` takes a mapping, or a list of them.", key.start_mark)
        merged = mapping | merged
    return merged


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's composer, within bounds, and with the tags that a configuration may have."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._count = 0
        """How many values there are so far, what aliases stand for among them."""
        self._complete: dict[str, tuple[yaml.Node, int]] = {}
        """The node of each anchor that is complete, and how many values that is."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        # Any, for the types know no tags and no anchors of events.
        event: Any = self.peek_event()  # type: ignore[no-untyped-call] # PyYAML's types lack it
        if isinstance(parent, yaml.MappingNode) and index is None:
            if not isinstance(event, yaml.ScalarEvent):
                raise _error("a key is to be plain text.", event.start_mark)
            return self._composed(event, parent, index)
        if self._depth > _MAX_DEPTH:
            raise _error(f"it nests deeper than {_MAX_DEPTH} levels. Simplify it.", event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        self._take(1, event)
        _check_tag(event)
        before = self._count
        self._depth += 1
        node = self._composed(event, parent, index)
        self._depth -= 1
        if event.anchor is not None and node is not None:
            self._complete[event.anchor] = node, self._count - before + 1
        return node

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        event: Any = self.get_event()  # type: ignore[no-untyped-call] # PyYAML's types lack it
        tag = _PLAIN if _is_plain(event) else _TEXT
        return yaml.ScalarNode(tag, event.value, event.start_mark, event.end_mark, style=event.style)

    def _composed(self, event: Any, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        # PyYAML refuses an anchor that takes the place of another of its name.
        self.anchors.pop(event.anchor, None)
        return super().compose_node(parent, index)

    def _alias(self, event: Any) -> yaml.Node:
        if event.anchor not in self._complete:
            raise _error(f"`*{event.anchor}` names nothing that was written before it.", event.start_mark)
        self.get_event()  # type: ignore[no-untyped-call] # PyYAML's types lack it
        node, count = self._complete[event.anchor]
        self._take(count, event)
        return node

    def _take(self, count: int, event: Any) -> None:
        self._count += count
        if self._count > _MAX_VALUES:
            # Aliases of aliases: a few lines can stand for billions of values.
            raise _error(f"it holds more than {_MAX_VALUES:,} values. Simplify it.", event.start_mark)


def _is_plain(event: Any) -> bool:
    return bool(event.implicit[0] if event.tag is None else event.tag in _TYPED_TAGS)


def _check_tag(event: Any) -> None:
    known = _TEXT_TAGS | _TYPED_TAGS if isinstance(event, yaml.ScalarEvent) else _COLLECTION_TAGS
    if event.tag is not None and event.tag not in known:
        tag = str(event.tag).replace(_STANDARD, "!!")[:60]
        raise _error(f"the tag `{tag}` is not read here. Write the value without it.", event.start_mark)


def _error(trouble: str, mark: Any) -> UnreadableTextError:
    return UnreadableTextError(trouble, line=mark.line + 1, column=mark.column + 1)
