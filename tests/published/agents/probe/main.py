"""Entrypoints that do what their arguments say."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any


def echo(value: Any = None) -> Any:
    return value


def echo_stream(values: Any = ()) -> Iterator[Any]:
    yield from values


def fail(text: str) -> None:
    raise LookupError(text)


def fail_stream(text: str) -> Iterator[str]:
    yield "before"
    raise LookupError(text)


async def sleep(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "awake"


async def ticks_stream(marker: str) -> AsyncIterator[int]:
    """Ticks for ever, and makes the file `marker` when it is over."""
    tick = 0
    with contextlib.ExitStack() as at_the_end:
        at_the_end.callback(Path(marker).touch)
        while True:
            yield tick
            tick += 1
            await asyncio.sleep(0.01)
