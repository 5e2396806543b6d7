"""Extractors: what callers get of a result or a chunk, instead of the whole of it (docs/wire.md, extractors).

The language of the paths is jsonpath-ng's, which published configurations are written in. They are compiled when the
agent is loaded. What they look into is a value in JSON's own words; making it one is the caller's.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from jsonpath_ng import Child, DatumInContext, Descendants, JSONPath
from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.ext.parser import parse

from runagent_grpc.errors import ExecutionFailedError
from runagent_grpc.worker.wording import printable

__all__ = ["MAX_VALUES", "Extractor", "JsonPath", "UnusablePathError"]

MAX_VALUES = 100_000
"""How many values the `..` of a path look at before they give up: that takes about a second."""

_ADVICE = "Write it like `$.messages[-1].content`, and a name with other characters in it like `$['a name']`."
# Where in the text its errors say that they are, counted from nought.
_PLACE = re.compile(r"\b(?:at \d+:|col )(?P<column>\d+)")


class UnusablePathError(Exception):
    """A text is no path. Its message says where it goes wrong, and what to do."""


class Extractor:
    """Paths by name, ready to be looked up in values."""

    def __init__(self, paths: Mapping[str, JsonPath]) -> None:
        self.paths = {name: path.text for name, path in paths.items()}
        """As they are written."""
        self._compiled = tuple(paths.items())

    def apply(self, value: Any) -> dict[str, Any]:
        """Returns what each path finds first in the value, or null, under its name.

        Raises ExecutionFailedError where a path cannot be looked up in it.
        """
        extracted = {}
        for name, path in self._compiled:
            try:
                extracted[name] = path.first(value)
            except _TooManyValuesError:
                raise ExecutionFailedError(
                    f"The extractor `{name}` looked at {MAX_VALUES:,} values without a match. Write a narrower path."
                ) from None
            except Exception as error:  # such as a division by zero in a path that calculates
                raise ExecutionFailedError(
                    f"The extractor `{name}` failed on what the entrypoint returned ({type(error).__name__})."
                ) from error
        return extracted


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonPath:
    """One path into a value."""

    text: str
    _compiled: JSONPath

    @classmethod
    def of(cls, text: str) -> JsonPath:
        """Compiles a path, or raises UnusablePathError."""
        try:
            # What a later version will no longer read, it tells by warnings. An author cannot act on them.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                compiled = parse(text)
        except JSONPathError as error:
            raise UnusablePathError(_trouble(text, str(error))) from None
        except Exception:  # noqa: BLE001 - Python's own, of numbers and slices that cannot be
            raise UnusablePathError(f"`{printable(text)}` holds something that no path can. {_ADVICE}") from None
        path = cls(text=text, _compiled=compiled)
        try:
            path.first({})
        except Exception:  # noqa: BLE001 - whatever fails on nothing fails on everything
            raise UnusablePathError(
                f"`{printable(text)}` cannot be looked up: it leads out of the value, or is too long. {_ADVICE}"
            ) from None
        return path

    def first(self, value: Any) -> Any:
        """Returns what the path finds first, and None where it finds nothing."""
        match = next(_matches(self._compiled, DatumInContext(value), count(1)), None)
        return None if match is None else match.value


class _TooManyValuesError(Exception):
    """A search has gone on for long enough."""


def _matches(path: JSONPath, start: DatumInContext, looks: Iterator[int]) -> Iterator[DatumInContext]:
    """Yields what `path.find` would return, but no more of it than is asked for.

    `find` makes a list of all matches, which for `$..name` in a large value takes seconds. `looks` counts the values
    that every `..` of the path looks at, together: one behind another looks at each of them again and again.
    """
    if isinstance(path, Child):
        for outer in _matches(path.left, start, looks):
            yield from _matches(path.right, outer, looks)
    elif isinstance(path, Descendants):
        for outer in _matches(path.left, start, looks):
            for inner in _descendants(outer):
                if next(looks) > MAX_VALUES:
                    raise _TooManyValuesError
                yield from _matches(path.right, inner, looks)
    elif type(path).__name__ == "Union":
        # `a | b`. By its name, for jsonpath-ng warns of whoever imports what it will not keep.
        either: Any = path
        yield from _matches(either.left, start, looks)
        yield from _matches(either.right, start, looks)
    else:
        found: Any = path.find(start)
        # A sorted array comes without a list around it.
        yield from found if isinstance(found, list) else [found]


def _descendants(start: DatumInContext) -> Iterator[DatumInContext]:
    """Yields a value and all within it, each before what it holds."""
    yield start
    value = start.value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _descendants(DatumInContext(part, context=start))


def _trouble(text: str, error: str) -> str:
    if not text.strip():
        return f"the path is empty. {_ADVICE}"
    place = _PLACE.search(error)
    column = int(place["column"]) if place else len(text)
    if column >= len(text):
        return f"`{printable(text)}` ends too early, at column {len(text) + 1}. {_ADVICE}"
    return f"`{printable(text)}` is no path from column {column + 1} on, `{printable(text[column:][:16])}`. {_ADVICE}"
