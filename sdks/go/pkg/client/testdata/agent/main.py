"""What the tests of the Go SDK call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

_seen: dict[str, list[str]] = {}


def greet(name: str) -> str:
    return f"Hello {name}"


def echo(value: Any) -> Any:
    return value


def names(**kwargs: Any) -> list[str]:
    return list(kwargs)


async def wait(mark: str) -> None:
    _note(mark, "started")
    try:
        await asyncio.sleep(60)
    finally:
        _note(mark, "left")


def chat(message: str) -> Iterator[str]:
    yield "You said: "
    yield from message.split(" ")


def count(to: int, mark: str = "") -> Iterator[str]:
    _note(mark, "started")
    for number in range(1, to + 1):
        yield f"{number} {'x' * 200}"


async def forever(mark: str) -> AsyncIterator[int]:
    try:
        number = 0
        while True:
            number += 1
            yield number
            await asyncio.sleep(0.01)
    finally:
        _note(mark, "left")


def runs(mark: str) -> list[str]:
    """What has happened to those calls that were marked so."""
    return _seen.get(mark, [])


def _note(mark: str, what: str) -> None:
    _seen.setdefault(mark, []).append(what)
