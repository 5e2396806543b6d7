"""Entrypoints that cost nothing themselves, or exactly what their arguments say."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator

_lock = threading.Lock()
_finished = 0


def echo(message: str) -> str:
    return message


async def echo_async(message: str) -> str:
    return message


def count(n: int) -> Iterator[str]:
    for _ in range(n):
        yield "token "


async def count_async(n: int) -> AsyncIterator[str]:
    for _ in range(n):
        yield "token "


def sleep(n: int, seconds: float) -> Iterator[str]:
    for _ in range(n):
        time.sleep(seconds)
        yield "token "


async def pause(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def idle() -> AsyncIterator[str]:
    yield "token "
    await asyncio.Event().wait()


def endless(seconds: float) -> Iterator[str]:
    try:
        while True:
            yield "token "
            time.sleep(seconds)
    finally:
        _finish()


async def endless_async(seconds: float) -> AsyncIterator[str]:
    try:
        while True:
            yield "token "
            await asyncio.sleep(seconds)
    finally:
        _finish()


async def finished() -> int:
    """Returns how many endless streams have run their `finally`."""
    return _finished


def _finish() -> None:
    global _finished
    with _lock:
        _finished += 1
