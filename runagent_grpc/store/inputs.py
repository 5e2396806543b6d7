"""What a call was given, as one JSON object: copied at once, written down later, masked, and cut to a size."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runagent_grpc.payload import MAX_DEPTH, Json, encode
from runagent_grpc.store.masking import MASK, is_secret, masked_json

__all__ = ["InputCopy", "input_text"]

_MOST_VALUES = 2000
"""How many values are copied of one input. Copying happens on the event loop, which must not wait for long."""

_LEFT_OUT = "(left out)"

_NOTHING = '{"args":[],"kwargs":{},"...":"(left out)"}'

# How long strings and how many items of a container are kept, until all of it fits.
_CUTS = ((8192, 500), (1024, 100), (128, 20))

# How long an argument's JSON may be to be kept where even that does not fit.
_BRIEF = 100


@dataclass(slots=True)
class InputCopy:
    """The arguments of a call as they were when it came, whatever the entrypoint does to its lists and objects."""

    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    weight: int = 0
    """About how many bytes it holds on to."""

    @classmethod
    def of(cls, args: Sequence[Any], kwargs: Mapping[str, Any]) -> InputCopy:
        copier = _Copier()
        copied = cls([copier.copied(value, 0) for value in args])
        for name, value in kwargs.items():
            copied.kwargs[name] = copier.copied(value, 0)
        copied.weight = copier.weight
        return copied


def input_text(copied: InputCopy, *, names: Sequence[str], limit: int) -> str:
    """Returns the input as the text of a JSON object with `args` and `kwargs`, of `limit` bytes at the most.

    `names` are those of the parameters that `args` are for, so that a secret is known by its name there, too.
    """
    args = [MASK if is_secret(name) else value for name, value in zip(names, copied.args, strict=False)]
    value: Any = {"args": args + copied.args[len(args) :], "kwargs": copied.kwargs}
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
    """Copies lists and objects, as many values as there is time for. Everything else cannot change."""

    def __init__(self) -> None:
        self._left = _MOST_VALUES
        self.weight = 0

    def copied(self, value: Any, depth: int) -> Any:
        self._left -= 1
        kind = type(value)
        if kind is str or kind is bytes:
            self.weight += len(value)
            return value
        if kind is not dict and kind is not list:
            return value
        if self._left < 0 or depth > MAX_DEPTH:
            return _LEFT_OUT
        if kind is list:
            copied = [self.copied(item, depth + 1) for item in value[: max(self._left, 0)]]
            return copied if len(copied) == len(value) else [*copied, _LEFT_OUT]
        members: dict[Any, Any] = {}
        for key, item in value.items():
            if self._left < 0:
                members[_LEFT_OUT] = f"{len(value) - len(members):,} more"
                break
            self.weight += len(str(key))
            members[key] = self.copied(item, depth + 1)
        return members


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
