"""Does what its arguments say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

_ended: dict[str, int] = {}


def echo(value: Any = None) -> Any:
    return value


def names(**kwargs: Any) -> list[str]:
    return list(kwargs)


def add(first: int, second: int = 0) -> int:
    return first + second


def fail(text: str) -> None:
    raise ValueError(text)


async def wait(seconds: float, mark: str = "") -> str:
    """Takes its time, and notes that it ended, however it did."""
    try:
        await asyncio.sleep(seconds)
        return "waited"
    finally:
        _note(mark)


def ended(mark: str) -> int:
    """How many calls with this mark have ended."""
    return _ended.get(mark, 0)


def count_stream(to: int) -> Iterator[int]:
    yield from range(1, to + 1)


def tell_stream(text: str) -> Iterator[str]:
    for word in text.split():
        yield word + " "


async def endless_stream(mark: str, seconds: float = 0.01) -> AsyncIterator[int]:
    number = 0
    try:
        while True:
            number += 1
            yield number
            await asyncio.sleep(seconds)
    finally:
        _note(mark)


def _note(mark: str) -> None:
    _ended[mark] = _ended.get(mark, 0) + 1
