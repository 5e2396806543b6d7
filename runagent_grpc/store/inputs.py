"""What a call was given, as one JSON object: copied at once, written down later, masked, and cut to a size."""

from __future__ import annotations

import json
import marshal
from collections.abc import Mapping, Sequence
from typing import Any

from runagent_grpc.store.masking import MASK, is_secret, masked_json
from runagent_grpc.values.payload import MAX_DEPTH, Json, encode

__all__ = ["InputCopy", "input_text"]

_Arguments = tuple[list[Any], dict[str, Any]]

_LARGE = 64 * 1024
"""From how many bytes on an input is not copied as a whole."""

_MOST_VALUES = 2000
"""How many values are copied of one that is large."""

_LONGEST_TEXT = 64 * 1024
"""How much of a string is copied."""

_PLAIN = frozenset({int, float, bool, type(None)})

_NOTHING = '{"args":[],"kwargs":{},"...":"(left out)"}'

# How long strings and how many items of a container are kept, until all of it fits.
_CUTS = ((8192, 500), (1024, 100), (128, 20))

# How long an argument's JSON may be to be kept where even that does not fit.
_BRIEF = 100


class InputCopy:
    """The arguments of a call as they were when it came, whatever the entrypoint does to its lists and objects."""

    __slots__ = ("_arguments", "_marshalled", "weight")

    def __init__(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self._arguments: _Arguments | None = None
        self._marshalled = b""
        self.weight: int
        """About how many bytes it holds on to."""
        try:
            # In memory only, and a tenth of the price of copying in Python.
            self._marshalled = marshal.dumps((list(args), dict(kwargs)))
        except ValueError:
            # Holds something that comes over no wire.
            self._copy(args, kwargs)
        else:
            self.weight = len(self._marshalled)
            if self.weight > _LARGE:
                self._marshalled = b""
                self._copy(args, kwargs)

    def arguments(self) -> _Arguments:
        """Returns the copies of `args` and `kwargs`."""
        return self._arguments or marshal.loads(self._marshalled)  # noqa: S302 - our own bytes, never from outside

    def _copy(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Copies as much as there is time for, for this happens on the event loop."""
        copier = _Copier()
        self._arguments = (
            [copier.copied(value) for value in args],
            {name: copier.copied(value) for name, value in kwargs.items()},
        )
        self.weight = copier.weight


def input_text(copied: InputCopy, *, names: Sequence[str], limit: int) -> str:
    """Returns the input as the text of a JSON object with `args` and `kwargs`, of `limit` bytes at the most.

    `names` are those of the parameters that `args` are for, so that a secret is known by its name there, too.
    """
    args, kwargs = copied.arguments()
    for index, name in enumerate(names[: len(args)]):
        if is_secret(name):
            args[index] = MASK
    value: Any = {"args": args, "kwargs": kwargs}
    text = masked_json(_json(value))
    if len(text.encode()) <= limit:
        return text
    value = json.loads(text)
    for longest, most in _CUTS:
        text = _json(_cut(value, longest, most))
        if len(text.encode()) <= limit:
            return text
    briefly = {
        "args": list(map(_brief, value["args"])),
        "kwargs": {name: _brief(item) for name, item in value["kwargs"].items()},
    }
    text = _json(briefly)
    return text if len(text.encode()) <= limit else _NOTHING


class _Copier:
    """Copies lists and objects, as many values as there is time for, and the beginnings of long strings."""

    def __init__(self) -> None:
        self._left = _MOST_VALUES
        self.weight = 0

    def copied(self, value: Any, depth: int = 0) -> Any:
        kind = type(value)
        if kind is str or kind is bytes:
            return self._text(value)
        if kind is list:
            return self._list(value, depth)
        # Anything else cannot change, or is nothing that came over a wire.
        return self._dict(value, depth) if kind is dict else value

    def _text(self, text: Any) -> Any:
        length = len(text)
        if length > _LONGEST_TEXT:
            self.weight += _LONGEST_TEXT
            return f"{text[:_LONGEST_TEXT]}... ({length:,} characters)" if type(text) is str else f"({length:,} bytes)"
        self.weight += length
        return text

    def _list(self, items: list[Any], depth: int) -> Any:
        self._left -= len(items)
        if self._left < 0 or depth > MAX_DEPTH:
            return f"({len(items):,} items)"
        return [item if type(item) in _PLAIN else self.copied(item, depth + 1) for item in items]

    def _dict(self, members: dict[Any, Any], depth: int) -> Any:
        self._left -= len(members)
        if self._left < 0 or depth > MAX_DEPTH:
            return f"({len(members):,} members)"
        return {key: item if type(item) in _PLAIN else self.copied(item, depth + 1) for key, item in members.items()}


def _cut(value: Any, longest: int, most: int) -> Any:
    if isinstance(value, str) and len(value) > longest:
        return f"{value[:longest]}... ({len(value):,} characters)"
    if isinstance(value, list):
        cut = [_cut(item, longest, most) for item in value[:most]]
        return cut if len(value) <= most else [*cut, f"... ({len(value):,} items)"]
    if isinstance(value, dict):
        members = {key[:longest]: _cut(item, longest, most) for key, item in list(value.items())[:most]}
        return members if len(value) <= most else {**members, "...": f"({len(value):,} members)"}
    return value


def _brief(value: Any) -> Any:
    text = _json(value)
    return value if len(text) <= _BRIEF else f"({len(text):,} characters of JSON)"


def _json(value: Any) -> Json:
    """Returns the JSON of a value. Arguments that came over a wire always have one; others may be anything."""
    try:
        payload = encode(value)
    except Exception as error:  # noqa: BLE001 - an object's own __str__ may raise anything, and history goes on
        payload = encode({"args": [], "kwargs": {}, "unprintable": type(error).__name__})
    return payload if isinstance(payload, Json) else Json(json.dumps(str(payload)))
