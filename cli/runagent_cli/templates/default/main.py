"""An agent. Change the functions, or add your own and name them in runagent.config.json.

The annotations are the contract: arguments are checked against them, and the docstrings become descriptions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator


def greet(name: str) -> str:
    """Greets somebody: one call, one value."""
    return f"Hello, {name}!"


def echo_stream(message: str, delay: float = 0.2) -> Iterator[str]:
    """Says the message back, word by word. A tag that ends in `_stream` streams what the function yields."""
    for word in message.split():
        yield f"{word} "
        time.sleep(delay)
    yield "\n"


async def count_stream(to: int, delay: float = 0.2) -> AsyncIterator[dict[str, int]]:
    """Counts up. Any value can be a chunk; an async function leaves the event loop free while it waits."""
    for number in range(1, to + 1):
        yield {"number": number, "square": number * number}
        await asyncio.sleep(delay)
