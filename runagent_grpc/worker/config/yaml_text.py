"""YAML as configurations are written in it, read strictly: no objects of Python's, no bombs, no surprises.

PyYAML finds the syntax; the values are made here. Its own would turn the version `0.10` into a number, a date into an
object, and `on` into true, before anybody knows what the field takes. So all that is written without quotes stays
text, but for null, until a field asks for a number or a boolean.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from runagent_grpc.worker.config.source_values import Unquoted, UnreadableTextError, WrittenObject

__all__ = ["read_yaml"]

_MAX_DEPTH = 100
_MAX_VALUES = 10_000
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_MERGE = "<<"

_STANDARD = "tag:yaml.org,2002:"
_TEXT_TAGS = frozenset({"!", f"{_STANDARD}str", f"{_STANDARD}timestamp"})
_TYPED_TAGS = frozenset(f"{_STANDARD}{name}" for name in ("bool", "float", "int", "null"))
_COLLECTION_TAGS = frozenset({"!", f"{_STANDARD}map", f"{_STANDARD}seq"})

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
    """Returns the value of the one document in a text; null where there is none.

    Raises UnreadableTextError: for what is no YAML, and for tags, aliases and nesting that no configuration needs.
    """
    try:
        return _Reader(text).document()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
        raise UnreadableTextError("a character that YAML does not allow.", line=line, column=column) from None
    except yaml.MarkedYAMLError as error:
        trouble = str(error.problem)
        hint = next((hint for part, hint in _HINTS.items() if part in trouble), "")
        raise _error(f"{trouble}.{hint}", error.problem_mark or error.context_mark) from None


class _Reader:
    """Makes values of PyYAML's events, one at a time."""

    def __init__(self, text: str) -> None:
        # Any, for the types know no tags and no anchors of events.
        self._events: Iterator[Any] = yaml.parse(text, Loader=yaml.SafeLoader)
        self._anchors: dict[str, tuple[Any, int]] = {}
        """The value behind each anchor, and how many values that is."""
        self._count = 0
        """How many values there are so far, what aliases stand for among them."""

    def document(self) -> Any:
        next(self._events)  # the stream's start
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        value = self._node(next(self._events), depth=0)
        next(self._events)  # the document's end
        if not isinstance(end := next(self._events), yaml.StreamEndEvent):
            raise _error("a second document begins here. Keep one of them.", end.start_mark)
        return value

    def _node(self, event: Any, *, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise _error(f"it nests deeper than {_MAX_DEPTH} levels. Simplify it.", event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        self._take(1, event)
        before = self._count
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(event)
        elif event.tag is not None and event.tag not in _COLLECTION_TAGS:
            raise _unknown_tag(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = [self._node(item, depth=depth + 1) for item in self._until(yaml.SequenceEndEvent)]
        else:
            value = self._mapping(depth + 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._count - before + 1)
        return value

    def _mapping(self, depth: int) -> WrittenObject:
        written: list[tuple[str, Any]] = []
        merged: dict[str, Any] = {}
        for key in self._until(yaml.MappingEndEvent):
            if not isinstance(key, yaml.ScalarEvent):
                raise _error("a key is to be plain text.", key.start_mark)
            value = self._node(next(self._events), depth=depth)
            if key.value == _MERGE and key.implicit[0]:
                merged = self._merged(value, key) | merged
            else:
                written.append((key.value, value))
        value = WrittenObject.of(written)
        for name, member in merged.items():
            # What the mapping says itself goes before what it takes from another.
            value.setdefault(name, member)
        return value

    def _merged(self, value: Any, key: Any) -> dict[str, Any]:
        """Returns the members that `<<` takes over; of several mappings the first that has one counts."""
        merged: dict[str, Any] = {}
        for mapping in value if isinstance(value, list) else [value]:
            if not isinstance(mapping, dict):
                raise _error("`<<` takes a mapping, or a list of them.", key.start_mark)
            merged = mapping | merged
        return merged

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            raise _error(f"`*{event.anchor}` names nothing that was written before it.", event.start_mark)
        value, count = self._anchors[event.anchor]
        self._take(count, event)
        return value

    def _take(self, count: int, event: Any) -> None:
        self._count += count
        if self._count > _MAX_VALUES:
            # Aliases of aliases: a few lines can stand for billions of values.
            raise _error(f"it holds more than {_MAX_VALUES:,} values. Simplify it.", event.start_mark)

    def _until(self, end: type[yaml.Event]) -> Iterator[Any]:
        while not isinstance(event := next(self._events), end):
            yield event


def _scalar(event: Any) -> str | None:
    is_plain = event.implicit[0] if event.tag is None else event.tag in _TYPED_TAGS
    if is_plain:
        return None if event.value in _NULLS else Unquoted(event.value)
    if event.tag is None or event.tag in _TEXT_TAGS:
        return str(event.value)
    raise _unknown_tag(event)


def _unknown_tag(event: Any) -> UnreadableTextError:
    tag = str(event.tag).replace(_STANDARD, "!!")[:60]
    return _error(f"the tag `{tag}` is not read here. Write the value without it.", event.start_mark)


def _error(trouble: str, mark: Any) -> UnreadableTextError:
    return UnreadableTextError(trouble, line=mark.line + 1, column=mark.column + 1)
