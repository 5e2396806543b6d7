"""Calling into an event loop from another thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

__all__ = ["post"]


def post(loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *args: object) -> None:
    """Runs `callback` on the event loop, from any thread. Does nothing once the loop is closed."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, *args)
