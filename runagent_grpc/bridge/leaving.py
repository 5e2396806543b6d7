"""Notices that a client has left while something is done for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from starlette.types import Message, Receive

__all__ = ["until_done_or_gone"]

T = TypeVar("T")


@contextlib.asynccontextmanager
async def until_done_or_gone(
    work: Coroutine[Any, Any, T], receive: Receive
) -> AsyncIterator[tuple[asyncio.Task[T], asyncio.Task[Message]]]:
    """Does the work, and enters its block once that has ended or the client has left.

    Yields the work's task, and the task whose result is the message that tells of the client's leaving. At the end of
    the block the one that is not done is cancelled, and awaited. What else the client sends is dropped.
    """
    working = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        yield working, gone
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def _disconnected(receive: Receive) -> Message:
    # Of HTTP requests and of WebSockets.
    while not (message := await receive())["type"].endswith(".disconnect"):
        pass
    return message
