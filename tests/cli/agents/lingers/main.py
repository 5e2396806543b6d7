"""Entrypoints that leave behind what does not end, in every way that keeps Python from exiting."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_executor = ThreadPoolExecutor(1, thread_name_prefix="author")
_tasks: list[asyncio.Task[None]] = []


def _rest() -> None:
    time.sleep(600)


async def _swallow() -> None:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(600)


async def nothing() -> str:
    return "done"


async def handles_a_signal() -> str:
    loop, came = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, came.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await came.wait()
    loop.remove_signal_handler(signal.SIGUSR1)
    return "done"


async def to_thread() -> str:
    _tasks.append(asyncio.create_task(asyncio.to_thread(_rest)))
    return "done"


async def all_of_the_loops_threads() -> str:
    _tasks.extend(asyncio.create_task(asyncio.to_thread(_rest)) for _ in range((os.cpu_count() or 1) + 4))
    return "done"


async def executor() -> str:
    _executor.submit(_rest)
    return "done"


async def thread() -> str:
    threading.Thread(target=_rest, name="author").start()
    return "done"


async def task() -> str:
    _tasks.append(asyncio.create_task(_swallow()))
    return "done"


def child() -> str:
    multiprocessing.get_context("fork").Process(target=_rest).start()
    return "done"


async def swallows() -> None:
    await _swallow()


async def blocks_the_loop(begun: str) -> None:
    Path(begun).touch()  # noqa: ASYNC240 - at once
    time.sleep(600)  # noqa: ASYNC251 - what is tested


async def keeps_the_lock(begun: str) -> None:
    try:
        Path(begun).touch()  # noqa: ASYNC240 - at once
        await asyncio.sleep(600)
    finally:
        ctypes.PyDLL(None).sleep(600)


async def ticks_stream(n: int) -> AsyncIterator[int]:
    for number in range(n):
        yield number
        await asyncio.sleep(0.02)
