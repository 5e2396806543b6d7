"""JSON that goes out, written as fast as the standard library can, and never more of it than is allowed.

Takes what JSON has words for and refuses the rest, which is for `conversion.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from json import encoder
from typing import Any, NamedTuple, NoReturn

from runagent_grpc.values.limits import MAX_DEPTH, too_large

__all__ = ["write_json"]

_SCALARS = frozenset({str, int, float, bool, type(None)})

_CONTAINERS = frozenset({dict, list, tuple})

_FEW = 512
"""How many values are written at one go: one string of theirs may be a long one, and stand in all those places."""

_A_HANDFUL = 16
"""How many values are written first: they may show that all are long."""


def write_json(value: Any, *, limit: int) -> str:
    """Returns a value as compact JSON.

    Raises TypeError, ValueError or RecursionError for anything but dicts, lists, tuples, strings, integers that are
    not too long, floats that are finite, booleans and None, nested at most 100 levels; and ResourceExhaustedError as
    soon as the text is longer than `limit`: what refers to one list a million times would fill the memory.
    """
    kind = type(value)
    if kind in _SCALARS:
        return _text_of(value)
    if kind not in _CONTAINERS:
        if not isinstance(value, dict):
            raise TypeError
        # An OrderedDict, or a framework's own: its items are what it says.
        value, kind = dict(value.items()), dict
    if _is_small(value.values() if kind is dict else value, MAX_DEPTH - 1):
        return _text_of(value)
    document = _Document(limit)
    document.write(value, MAX_DEPTH)
    return document.joined()


class _Written(NamedTuple):
    """Where a large container's text is, for the next place that refers to it."""

    start: int
    end: int
    length: int
    levels: int
    """How many there were left for what is in it."""


class _Document:
    """JSON text that is written piece by piece, up to a length."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._length = 0
        self._pieces: list[str] = []
        self._written: dict[int, _Written] = {}

    def joined(self) -> str:
        return "".join(self._pieces)

    def write(self, value: Any, levels: int) -> None:
        """Writes a list, a tuple or a dict that holds too much to be written at one go."""
        if levels == 0:
            raise RecursionError
        written = self._written.get(id(value))
        if written is not None and written.levels <= levels:
            self._lengthen(written.length)
            self._pieces += self._pieces[written.start : written.end]
            return
        start, length = len(self._pieces), self._length
        if type(value) is dict:
            self._add("{")
            self._write_parts(list(value.values()), levels - 1, keys=list(value))
            self._add("}")
        else:
            self._add("[")
            self._write_parts(value, levels - 1)
            self._add("]")
        self._written[id(value)] = _Written(start, len(self._pieces), self._length - length, levels)

    def _write_parts(self, items: Sequence[Any], levels: int, *, keys: list[Any] | None = None) -> None:
        # Never all at once, for that is known to be too much; and few at first, which may show that all are long.
        start, size = 0, max(1, min(_A_HANDFUL, len(items) // 2))
        while start < len(items):
            batch = items[start : start + size]
            if len(batch) == 1:
                if keys is not None:
                    self._add(_text_of({keys[start]: 0})[1:-2])
                self._write_one(batch[0], levels, is_all=len(items) == 1)
            elif _is_small(batch, levels):
                members = batch if keys is None else dict(zip(keys[start : start + size], batch, strict=True))
                self._add(_text_of(members)[1:-1])
                size = min(_FEW, size * 2 if start < _FEW else size + size // 4 + 1)
            else:
                size = len(batch) // 2
                continue
            start += len(batch)
            if start < len(items):
                self._add(",")

    def _write_one(self, item: Any, levels: int, *, is_all: bool) -> None:
        kind = type(item)
        is_large = kind in _CONTAINERS and (
            is_all or not _is_small(item.values() if kind is dict else item, levels - 1)
        )
        if is_large:
            self.write(item, levels)
        else:
            self._add(_text_of(item))

    def _add(self, piece: str) -> None:
        self._lengthen(len(piece))
        self._pieces.append(piece)

    def _lengthen(self, length: int) -> None:
        self._length += length
        if self._length > self._limit:
            raise too_large(self._limit)


def _is_small(level: Collection[Any], levels: int) -> bool:
    """Whether there are few values at each level, counted as often as they are referred to.

    Raises RecursionError beyond `levels`, and TypeError where a container holds what JSON has no word for.
    """
    for _ in range(levels):
        if len(level) > _FEW:
            return False
        if _SCALARS.issuperset(map(type, level)):
            return True
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind in _SCALARS:
                continue
            if kind not in _CONTAINERS:
                raise TypeError
            if len(below) + len(item) > _FEW:
                return False
            below += item.values() if kind is dict else item
        level = below
    raise RecursionError


def _refuse(value: Any) -> NoReturn:
    raise TypeError


def _encoder() -> Callable[..., Iterable[str]]:
    make = getattr(encoder, "c_make_encoder", None)
    if make is None:
        return json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).iterencode
    # JSONEncoder.encode() makes one of these for each call, which takes as long as writing a small object. Without a
    # dict to remember containers in it looks for no cycles: whoever has counted the levels need not.
    made: Callable[..., Iterable[str]] = make(
        None, _refuse, encoder.encode_basestring, None, ":", ",", False, False, False
    )
    return made


_parts_of = _encoder()


def _text_of(value: Any) -> str:
    return "".join(_parts_of(value, 0))
