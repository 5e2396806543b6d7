"""Iterating over what an entrypoint returns, on a thread or on the loop, and closing it in every case."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any

__all__ = ["goes_both_ways", "iterating", "iterating_async"]


def goes_both_ways(value: Any) -> bool:
    """Whether it can be iterated on a thread and on the loop. What made it says which of the two it is good for."""
    return isinstance(value, AsyncIterable) and isinstance(value, Iterable)


@contextlib.contextmanager
def iterating(items: Iterable[Any]) -> Iterator[Iterator[Any]]:
    """Closes the iterator at the end of the block, and what it came from: a stream of an SDK is closed as a whole."""
    iterator = iter(items)
    try:
        yield iterator
    finally:
        for each in _distinct(iterator, items):
            if (close := getattr(each, "close", None)) is not None:
                close()


@contextlib.asynccontextmanager
async def iterating_async(items: AsyncIterable[Any]) -> AsyncIterator[AsyncIterator[Any]]:
    """Is `iterating` for what is iterated on the loop."""
    iterator = aiter(items)
    try:
        yield iterator
    finally:
        for each in _distinct(iterator, items):
            if (close := getattr(each, "aclose", None)) is not None:
                await close()


def _distinct(iterator: Any, items: Any) -> list[Any]:
    return [iterator] if iterator is items else [iterator, items]
