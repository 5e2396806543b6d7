"""Entrypoints that write down every time they run, in a file that outlives their process."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator

VERSION = 0


def note(line: str) -> None:
    # One write of few bytes at the end of a file: whole, whoever else writes.
    with open(os.environ["LEDGER"], "a") as ledger:
        ledger.write(f"{line}\n")


async def work(name: str, seconds: float = 0.01) -> str:
    note(name)
    await asyncio.sleep(seconds)
    return name


async def version() -> int:
    return VERSION


async def count_stream(name: str, n: int, seconds: float) -> AsyncIterator[int]:
    note(name)
    for number in range(1, n + 1):
        yield number
        await asyncio.sleep(seconds)


def tick_stream(name: str, n: int, seconds: float) -> Iterator[int]:
    """Counts, and writes down when."""
    note(name)
    for number in range(1, n + 1):
        yield number
        note(f"{name} {number} {time.time()}")
        time.sleep(seconds)
