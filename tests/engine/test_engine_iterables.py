"""What is iterated though it is no iterator: which of its two ways is taken, and that it is closed when it is left."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest

from runagent_grpc.core.events import StreamChunks
from tests.engine.gates import Notes
from tests.engine.running import begin, chunks_of, engine_of, result_of
from tests.waiting import on_a_loop, soon


class GoesOneWay:
    """Has both ways of being iterated, of which one works, as streams of CrewAI have."""

    def __init__(self, *, later: bool, closed: Notes | None = None) -> None:
        self.later = later
        self._closed = closed

    def __iter__(self) -> Iterator[str]:
        if self.later:
            raise RuntimeError("This was made to be iterated on a loop.")
        yield from "12"

    async def __aiter__(self) -> AsyncIterator[str]:
        if not self.later:
            raise RuntimeError("This was made to be iterated by a thread.")
        for item in "12":
            yield item

    def close(self) -> None:
        assert not self.later
        if self._closed is not None:
            self._closed.append("close")

    async def aclose(self) -> None:
        assert self.later
        if self._closed is not None:
            self._closed.append("aclose")


def made(closed: Notes | None = None) -> GoesOneWay:
    return GoesOneWay(later=False, closed=closed)


async def made_later(closed: Notes | None = None) -> GoesOneWay:
    return GoesOneWay(later=True, closed=closed)


@pytest.mark.parametrize("make", [made, made_later])
@on_a_loop
async def test_what_can_be_iterated_both_ways_is_iterated_as_it_was_made(make: Callable[[], Any]) -> None:
    async with engine_of({"items": make, "items_stream": make}) as engine:
        assert await chunks_of(engine, "items_stream") == ["1", "2"]
        assert await result_of(engine, "items") == ["1", "2"]


@pytest.mark.parametrize(("make", "how"), [(made, "close"), (made_later, "aclose")])
@on_a_loop
async def test_what_is_iterated_is_closed_when_its_caller_leaves(make: Callable[..., Any], how: str) -> None:
    closed = Notes()
    async with engine_of({"items_stream": partial(make, closed)}, window_chunks=1) as engine:
        with await begin(engine, "items_stream") as reader:
            async for event in reader.events():
                if isinstance(event, StreamChunks):
                    break
        await soon(lambda: engine.active == 0)
        assert closed.values == [how]
