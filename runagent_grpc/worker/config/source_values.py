"""Values as they stand in a configuration's text, with what a reader of JSON or YAML would lose of them.

That is which keys an object repeats, and how a number was written: an author who writes `1.10` for a version, or `on`
for a flag, means that text, wherever text is what a field takes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from runagent_grpc.worker.wording import join_path

__all__ = [
    "Unquoted",
    "UnreadableTextError",
    "WrittenFloat",
    "WrittenObject",
    "as_text",
    "as_typed",
    "as_word",
    "repeated_keys",
]

# No leading noughts: what they mean has changed between the versions of YAML.
_INTEGER = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,99})")
_FLOAT = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
# YAML's words for booleans, those of its old version, too: published configurations were read by that.
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class UnreadableTextError(Exception):
    """A text is not of its language, at a place that is counted from 1."""

    def __init__(self, trouble: str, *, line: int, column: int) -> None:
        super().__init__(trouble)
        self.line = line
        self.column = column


class WrittenObject(dict[str, Any]):
    """An object that remembers which keys its text repeats."""

    repeated: tuple[str, ...] = ()

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, Any]]) -> WrittenObject:
        pairs = list(pairs)
        value = cls(pairs)
        if len(value) < len(pairs):
            value.repeated = tuple(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        return value


class WrittenFloat(float):
    """A number of JSON's that remembers its digits."""

    text: str

    @classmethod
    def of(cls, text: str) -> WrittenFloat:
        value = cls(text)
        value.text = text
        return value


class Unquoted(str):
    """What stands in YAML without quotes: text, unless a number or a boolean is what the field takes."""

    __slots__ = ()


def as_typed(value: Any) -> Any:
    """Returns what YAML means by a value where a number or a boolean is expected."""
    if not isinstance(value, Unquoted):
        return value
    if _INTEGER.fullmatch(value):
        return int(value)
    if _FLOAT.fullmatch(value):
        return float(value)
    return _BOOLEANS.get(value.lower(), value)


def as_text(value: Any) -> Any:
    """Returns the text of a number or a boolean of JSON's, as it is written there, and anything else as it is."""
    match value:
        case bool():
            return "true" if value else "false"
        case WrittenFloat():
            return value.text
        case int() | float():
            return str(value)
        case _:
            return value


def as_word(value: Any) -> Any:
    """Returns a text as no more than that: pydantic before 2.10 finds no other among the words that a field takes."""
    return str(value) if isinstance(value, str) else value


def repeated_keys(value: Any, path: str = "") -> list[str]:
    """Returns the path of each key that an object has twice. Of those, readers would silently keep the last."""
    paths: list[str] = []
    if isinstance(value, WrittenObject):
        paths += [join_path(path, [key]) for key in value.repeated]
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, member in members:
        paths += repeated_keys(member, join_path(path, [step]))
    return paths
