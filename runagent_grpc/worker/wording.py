"""Says in one sentence what is wrong with a value, in the words of JSON: arrays, objects, null.

Owns what pydantic's error types are called here. It knows neither what the values are arguments of nor where they go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from runagent_grpc.errors import Violation

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["PRIVATE", "describe", "join_path", "mid_sentence", "printable", "violations_of", "wants_structure"]

PRIVATE = "private"
"""The type of a validator's own error, where the value may be a secret: its text is told, and nothing of the value."""

_LONGEST_VALUE = 40
_LONGEST_SENTENCE = 200
_LONGEST_PATH = 160
# pydantic builds the details of all errors or of none, at 4 us each: of a long array of wrong values that would be
# seconds on the caller's account.
_MOST_ERRORS_IN_DETAIL = 256

_ARRAY_TYPES = frozenset(
    {"deque_type", "frozen_set_type", "iterable_type", "list_type", "sequence_str", "set_type", "tuple_type"}
)
_OBJECT_TYPES = frozenset(
    {
        "arguments_type",
        "dataclass_exact_type",
        "dataclass_type",
        "dict_type",
        "mapping_type",
        "model_attributes_type",
        "model_type",
        "named_tuple_type",
        "ordered_dict_type",
    }
)
_STRUCTURES = _ARRAY_TYPES | _OBJECT_TYPES

# By the whole error type, or else by its first word.
_EXPECTED = {
    "bool": "a boolean",
    "bytes": "bytes",
    "callable": "a function",
    "complex": "a complex number",
    "date": "an ISO 8601 date",
    "datetime": "an ISO 8601 date with time",
    "decimal": "a decimal number",
    "finite": "a finite number",
    "float": "a number",
    "int": "an integer",
    "int_parsing_size": "an integer of fewer digits",
    "none_required": "null",
    "string": "a string",
    "string_unicode": "text without lone surrogates",
    "time": "an ISO 8601 time or duration",
    "url": "a URL",
    "uuid": "a UUID",
}
_TROUBLES_WITH_THE_TYPE = ("type", "parsing", "number", "from", "sub", "object")


def describe(value: Any) -> str:
    """Names a value's type and, where it is short, the value: "the string 'abc'"."""
    match value:
        case None:
            return "null"
        case bool():
            return f"the boolean {'true' if value else 'false'}"
        case int():
            # A longer one may have no decimal form at all: Python refuses to print more than 4,300 digits.
            return f"the integer {value}" if value.bit_length() <= 128 else "a very large integer"
        case float():
            return f"the number {value!r}"
        case str() if len(value) > _LONGEST_VALUE:
            return f"the string {value[: _LONGEST_VALUE - 3] + '...'!r}"
        case str():
            return f"the string {value!r}"
        case bytes() | bytearray():
            return f"bytes of length {len(value)}"
        case Mapping():
            return f"an object of {len(value)} {'member' if len(value) == 1 else 'members'}"
        case list() | tuple() | set() | frozenset():
            return f"an array of {len(value)} {'item' if len(value) == 1 else 'items'}"
        case _:
            return f"a value of type {type(value).__name__}"


def mid_sentence(text: str) -> str:
    return text[:1].lower() + text[1:]


def printable(name: str) -> str:
    """Returns a caller's name for something, short and fit for a terminal, a log and UTF-8."""
    return repr(str(name)[:64])[1:-1]


def join_path(start: str, steps: Iterable[str | int]) -> str:
    """Writes a path into a JSON value, such as `items[0].name`."""
    path = start
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        elif re.fullmatch(r"[^\W\d][\w-]{0,63}", step):
            path += f".{step}" if path else step
        else:
            path += f"['{printable(step)}']"
        if len(path) > _LONGEST_PATH:
            return path + "..."
    return path


def wants_structure(error: Exception) -> bool:
    """Whether it was an array or an object that a validation missed."""
    return isinstance(error, ValidationError) and any(
        detail["type"] in _STRUCTURES for detail in error.errors(include_url=False, include_context=False)
    )


def violations_of(error: ValidationError, value: Any, field: str) -> list[Violation]:
    """Returns one violation for each place in `value`, which came as `field`, that does not fit."""
    count = error.error_count()
    if count > _MOST_ERRORS_IN_DETAIL:
        return [Violation(field=field, description=f"Does not fit in {count:,} places.")]
    by_path: dict[str, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        by_path.setdefault(join_path(field, _steps(detail, value)), []).append(detail)
    return [Violation(field=path, description=_sentence(details)) for path, details in by_path.items()]


def _steps(detail: ErrorDetails, value: Any) -> Iterable[str | int]:
    """Yields the part of an error's location that leads through the value.

    pydantic puts names of its own in between: the member of a union, a validator, "[key]".
    """
    last = len(detail["loc"]) - 1
    for index, step in enumerate(detail["loc"]):
        is_key = isinstance(value, Mapping) and step in value
        is_index = isinstance(value, list | tuple) and isinstance(step, int) and step < len(value)
        if is_key or is_index:
            value = value[step]
            yield step
        elif index == last and detail["type"].startswith("missing"):
            yield step


def _sentence(details: list[ErrorDetails]) -> str:
    """Words one violation. Several details in one place are the members of a union, each of which might have fitted."""
    if details[0]["type"].startswith("missing"):
        return "Required, but missing."
    if details[0]["type"] == PRIVATE:
        return details[0]["msg"]
    got = describe(details[0]["input"])
    expected = list(dict.fromkeys(filter(None, map(_expected, details))))
    if expected:
        return f"Expected {' or '.join(expected)[:_LONGEST_SENTENCE]}, got {got}."
    text = details[0]["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    text = _one_line(text.removeprefix("Input should be "))
    if details[0]["msg"].startswith("Input should be "):
        return f"Expected {'a value ' if text.startswith(('greater', 'less')) else ''}{text}, got {got}."
    return f"{text[:1].upper()}{text[1:]}, got {got}."


def _one_line(text: str) -> str:
    short = text if len(text) <= _LONGEST_SENTENCE else text[: _LONGEST_SENTENCE - 3] + "..."
    return "".join(letter if letter.isprintable() else " " for letter in short).strip().rstrip(".")


def _expected(detail: ErrorDetails) -> str | None:
    error_type = detail["type"]
    if error_type in _ARRAY_TYPES:
        return "an array"
    if error_type in _OBJECT_TYPES:
        return "an object"
    if error_type in {"enum", "literal_error"}:
        return f"one of {detail['ctx']['expected']}"
    if error_type == "string_too_short" and detail["ctx"]["min_length"] == 1:
        return "a string that is not empty"
    if error_type in _EXPECTED:
        return _EXPECTED[error_type]
    kind, _, trouble = error_type.partition("_")
    if trouble.startswith(_TROUBLES_WITH_THE_TYPE):
        return _EXPECTED.get(kind)
    return None
