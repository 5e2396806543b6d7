"""Handles: objects that stand for work which goes on elsewhere on the event loop, such as a workflow's of LlamaIndex.

They are awaited for the result, and some have `stream_events()`. To stop waiting ends nothing; where they have
`cancel_run()`, that does.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

__all__ = ["events_of", "looked_after"]


def events_of(value: Any) -> AsyncIterable[Any] | None:
    """Returns what a handle streams, and then what it fails with, or None of anything else."""
    stream = getattr(value, "stream_events", None)
    return _events(value, stream()) if inspect.isasyncgenfunction(stream) else None


@asynccontextmanager
async def looked_after(value: Any) -> AsyncIterator[None]:
    """Ends what a handle stands for when the block does not come to its end."""
    try:
        yield
    except BaseException:
        cancel = getattr(value, "cancel_run", None)
        if inspect.iscoroutinefunction(cancel):
            await cancel()
        raise


async def _events(handle: Any, events: Any) -> AsyncIterator[Any]:
    async with looked_after(handle):
        async for event in events:
            yield event
        if isinstance(handle, Awaitable):
            await handle
