"""Any value, turned into one that JSON has words for, by a table of kinds and within bounds.

The table is in `values/payload.py`. This is the walk: through parts, no deeper and no larger than may travel, around no
circle, and with the path at hand for the error that refuses a value.
"""

from __future__ import annotations

import enum
import json
import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runagent_grpc.values.limits import (
    MAX_DEPTH,
    Step,
    holds_itself,
    integer_too_long,
    is_too_long,
    lone_surrogate,
    too_deep,
    too_large,
)
from runagent_grpc.values.models import HoldsItselfError
from runagent_grpc.values.text import Surrogates, has_lone_surrogate, without_lone_surrogates

__all__ = ["Conversion", "Kind", "Kinds"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the table."""

    takes: Callable[[type], bool]
    """Whether values of this class are of this kind. Asked once for each class."""
    becomes: Callable[[Any], Any]
    """Makes something plainer of a value.

    A string, number, boolean or None is written; the parts of a list or dict are converted in turn; and for anything
    else the table is asked again.
    """


class Kinds:
    """The table: its rows in their order, and which of them is a class's."""

    def __init__(self, *rows: Kind) -> None:
        self._rows = rows
        self._found: weakref.WeakKeyDictionary[type, Callable[[Any], Any]] = weakref.WeakKeyDictionary()

    def becoming(self, kind: type) -> Callable[[Any], Any]:
        """Returns what makes something plainer of this class's values: that of the first row that takes it."""
        becomes = self._found.get(kind)
        if becomes is None:
            becomes = self._found[kind] = next(row.becomes for row in self._rows if row.takes(kind))
        return becomes


@dataclass(frozen=True, slots=True)
class _Known:
    """What a container became, kept for the next place that refers to it."""

    container: Any
    """Held, for an id is one object's only as long as that lives."""
    plain: Any
    weight: int
    depth: int


class Conversion:
    """One value's conversion. Weighs it on the way: no JSON text of the outcome is shorter than its weight.

    What is referred to from several places is converted once and weighed every time, so that a value that would
    multiply without end is refused at once.
    """

    def __init__(self, kinds: Kinds, *, surrogates: Surrogates, limit: int) -> None:
        self._kinds = kinds
        self._surrogates = surrogates
        self._limit = limit
        self._weight = 0
        self._depth = 0
        self._path: list[Step] = []
        self._inside: dict[int, Any] = {}
        self._known: dict[int, _Known] = {}
        self._becoming: dict[type, Callable[[Any], Any]] = {}

    def plain(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            return self._text(value)
        if kind is int:
            if is_too_long(value):
                raise integer_too_long(self._path)
            self._add(1)
            return value
        if value is None or kind is bool or (kind is float and math.isfinite(value)):
            self._add(1)
            return value
        return self._converted(value, kind)

    def _converted(self, value: Any, kind: type) -> Any:
        key = id(value)
        known = self._known.get(key)
        if known is not None and self._depth <= known.depth:
            self._add(known.weight)
            return known.plain
        if key in self._inside:
            raise holds_itself(self._path)
        if len(self._inside) > 2 * MAX_DEPTH:
            # Made of ever new objects that become each other.
            raise too_deep(self._path)
        self._inside[key] = value
        weight = self._weight
        parts = value if kind is list or kind is dict else self._become(value, kind)
        if type(parts) is list:
            plain: Any = self._array(parts)
        elif type(parts) is dict:
            plain = self._object(parts)
        else:
            plain = self.plain(parts)
        del self._inside[key]
        self._known[key] = _Known(value, plain, self._weight - weight, self._depth)
        return plain

    def _become(self, value: Any, kind: type) -> Any:
        becomes = self._becoming.get(kind)
        if becomes is None:
            becomes = self._becoming[kind] = self._kinds.becoming(kind)
        try:
            return becomes(value)
        except HoldsItselfError:
            raise holds_itself(self._path) from None

    def _array(self, items: list[Any]) -> list[Any]:
        self._enter(len(items))
        plain = []
        for index, item in enumerate(items):
            self._path.append(index)
            plain.append(self.plain(item))
            self._path.pop()
        self._depth -= 1
        return plain

    def _object(self, members: dict[Any, Any]) -> dict[str, Any]:
        self._enter(len(members))
        plain = {}
        # A copy, for what a value does when it is asked may change another.
        for key, item in list(members.items()):
            name = key if type(key) is str else self._name(key)
            self._path.append(name)
            name = self._text(name)
            plain[name] = self.plain(item)
            self._path.pop()
        self._depth -= 1
        return plain

    def _enter(self, count: int) -> None:
        if self._depth == MAX_DEPTH:
            raise too_deep(self._path)
        self._depth += 1
        self._add(1 + count)

    def _text(self, text: str) -> str:
        self._add(len(text) + 2)
        if not has_lone_surrogate(text):
            return text
        if self._surrogates == "refuse":
            raise lone_surrogate(self._path)
        return without_lone_surrogates(text)

    def _name(self, key: Any) -> str:
        """Returns a mapping's key as `json.dumps` writes it, where it does."""
        if isinstance(key, enum.Enum):
            key = key.value
        if isinstance(key, str):
            return str.__str__(key)
        if isinstance(key, int) and is_too_long(key):
            raise integer_too_long(self._path)
        if key is None or isinstance(key, bool | int | float):
            return json.dumps(key)
        return str(key)

    def _add(self, weight: int) -> None:
        self._weight += weight
        if self._weight > self._limit:
            raise too_large(self._limit, self._path)
