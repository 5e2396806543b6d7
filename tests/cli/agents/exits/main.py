"""Entrypoints that call for an exit where asyncio hands it to whoever runs the loop: from tasks and from callbacks."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator


async def _exit() -> None:
    await asyncio.sleep(0)
    sys.exit("usage")


async def _interrupt() -> None:
    raise KeyboardInterrupt


def _exit_now(*_: object) -> None:
    sys.exit("usage")


async def _never() -> None:
    await asyncio.get_running_loop().create_future()


async def direct() -> None:
    sys.exit("usage")


def on_a_thread() -> None:
    sys.exit("usage")


async def gathered() -> None:
    await asyncio.gather(_never(), _exit())


async def grouped() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_never())
        group.create_task(_exit())


async def awaited() -> None:
    await asyncio.create_task(_exit())


async def in_time() -> None:
    await asyncio.wait_for(_exit(), 60)


async def not_awaited() -> None:
    task = asyncio.create_task(_exit())
    await _never()
    await task


async def soon() -> None:
    asyncio.get_running_loop().call_soon(_exit_now)
    await _never()


async def later() -> None:
    asyncio.get_running_loop().call_later(0, _exit_now)
    await _never()


async def when_done() -> None:
    future = asyncio.get_running_loop().create_future()
    future.add_done_callback(_exit_now)
    future.set_result(None)
    await _never()


async def readable() -> None:
    reading, writing = os.pipe()
    loop = asyncio.get_running_loop()

    def read() -> None:
        loop.remove_reader(reading)
        sys.exit("usage")

    loop.add_reader(reading, read)
    os.write(writing, b"x")
    try:
        await _never()
    finally:
        os.close(reading)
        os.close(writing)


async def interrupted() -> None:
    await asyncio.gather(_never(), _interrupt())


async def gathered_stream() -> AsyncIterator[int]:
    yield 1
    await asyncio.gather(_never(), _exit())


async def fed_stream() -> AsyncIterator[int]:
    queue: asyncio.Queue[int] = asyncio.Queue()

    async def feed() -> None:
        await queue.put(1)
        sys.exit("usage")

    task = asyncio.create_task(feed())
    while True:
        yield await queue.get()
    await task


async def later_stream() -> AsyncIterator[int]:
    yield 1
    asyncio.get_running_loop().call_later(0, _exit_now)
    await _never()


async def stopping() -> str:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.01)
    return "done"


async def after_the_end() -> str:
    asyncio.get_running_loop().call_later(0.05, _exit_now)
    return "done"


async def fine() -> str:
    await asyncio.sleep(0)
    return "fine"


async def slow_stream(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number
        await asyncio.sleep(0.01)
