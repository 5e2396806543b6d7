"""Handles: objects that stand for work which goes on elsewhere on the event loop, such as a workflow's of LlamaIndex.

They are awaited for the result, and some have `stream_events()`. To stop waiting ends nothing; where they have
`cancel_run()`, that does.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

__all__ = ["events_of", "result_of"]


def events_of(value: Any) -> AsyncIterable[Any] | None:
    """Returns what a handle streams, and then what it fails with, or None of anything else."""
    stream = getattr(value, "stream_events", None)
    return _events(value, stream()) if inspect.isasyncgenfunction(stream) else None


async def result_of(value: Awaitable[Any]) -> Any:
    """Awaits anything. Whoever stops waiting for a handle ends what it stands for."""
    if _cancel_of(value) is None:
        return await value
    # Cancelled itself, a handle would take it that the work has ended.
    waiting = asyncio.ensure_future(value)
    waiting.add_done_callback(_take_note)
    async with _ended_with(value):
        return await asyncio.shield(waiting)


@asynccontextmanager
async def _ended_with(handle: Any) -> AsyncIterator[None]:
    """Ends what a handle stands for when the block does not come to its end."""
    try:
        yield
    except BaseException:
        cancel = _cancel_of(handle)
        if cancel is not None:
            await cancel()
        raise


async def _events(handle: Any, events: Any) -> AsyncIterator[Any]:
    async with _ended_with(handle):
        async for event in events:
            yield event
    if isinstance(handle, Awaitable):
        await result_of(handle)


def _cancel_of(value: Any) -> Callable[[], Awaitable[Any]] | None:
    cancel = getattr(value, "cancel_run", None)
    return cancel if inspect.iscoroutinefunction(cancel) else None


def _take_note(waiting: asyncio.Future[Any]) -> None:
    """Looks at how it ended, for asyncio logs an exception that nobody has looked at."""
    if not waiting.cancelled():
        waiting.exception()
