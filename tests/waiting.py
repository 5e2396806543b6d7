"""Waits for what another thread or process does, without guessing how long that takes."""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec

__all__ = ["eventually", "is_waiting", "on_a_loop", "soon", "soon_true"]

P = ParamSpec("P")


def eventually(predicate: Callable[[], object], *, seconds: float = 10.0) -> None:
    """Returns as soon as `predicate` holds. Raises AssertionError where it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not predicate():
        assert time.monotonic() < deadline, f"It did not come true within {seconds:g} s."
        time.sleep(0.005)


async def soon(predicate: Callable[[], object], *, seconds: float = 10.0) -> None:
    """Is `eventually` for tests on an event loop, which goes on in the meantime."""
    deadline = time.monotonic() + seconds
    while not predicate():
        assert time.monotonic() < deadline, f"It did not come true within {seconds:g} s."
        await asyncio.sleep(0.001)


async def soon_true(ask: Callable[[], Awaitable[object]], *, seconds: float = 10.0) -> None:
    """Is `soon` for what has to be awaited, such as an answer."""
    async with asyncio.timeout(seconds):
        while not await ask():  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.001)


def on_a_loop(test: Callable[P, Coroutine[Any, Any, None]], *, seconds: float = 30.0) -> Callable[P, None]:
    """Makes a test of a coroutine function: runs it on an event loop of its own, for at most `seconds`."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(seconds):
                await test(*args, **kwargs)

        asyncio.run(bounded())

    return run


def is_waiting(thread_id: int) -> bool:
    """Whether a thread stands still in a `threading.Condition`, or in what is built upon one."""
    frame = sys._current_frames().get(thread_id)
    while frame is not None:
        if frame.f_code is threading.Condition.wait.__code__:
            return True
        frame = frame.f_back
    return False
