"""Streams whose chunks come when a test says so, and readers that note what they saw."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Self

import pytest

from runagent_grpc import current_invocation
from runagent_grpc.core.call import OnDisconnect
from runagent_grpc.core.events import StreamChunks, StreamCompleted, StreamEvent, StreamHeartbeat, StreamStarted
from runagent_grpc.engine import Engine, Reader
from runagent_grpc.errors import RunAgentError
from runagent_grpc.values.payload import Payload, decode
from tests.engine.running import begin

__all__ = ["DETACH", "LINGER", "Follower", "Tap", "now", "opened", "refused", "resumed"]

LINGER = {"on_disconnect": OnDisconnect.LINGER, "resume_window": 10.0}
DETACH = {"on_disconnect": OnDisconnect.DETACH}

_PADDING = "."


class Tap:
    """An entrypoint that yields 1, 2, 3 and so on as far as it has been opened, and then ends or fails if told to."""

    def __init__(self, *, padding: int = 0) -> None:
        """`padding` is how many bytes each chunk takes more than its number does."""
        self._padding = _PADDING * padding
        self._changed = threading.Condition()
        self._listener: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self.opened = 0
        """How many chunks may come so far."""
        self._end: Exception | bool | None = False
        self.runs = 0
        """How often it was begun."""
        self.closed = 0
        """How often its `finally` ran."""
        self.produced = 0

    def functions(self) -> dict[str, Callable[..., Any]]:
        return {"sync_stream": self.sync, "async_stream": self.later}

    def open(self, count: int) -> None:
        """Lets so many more chunks come."""
        self.opened += count
        self._notify()

    def end(self, error: Exception | None = None) -> None:
        """Lets it end, or fail, behind the last chunk."""
        self._end = error or True
        self._notify()

    def sync(self) -> Iterator[Any]:
        self.runs += 1
        invocation = current_invocation()
        try:
            while (number := self._next()) is not None and not invocation.cancelled:
                if number:
                    yield f"{number}{self._padding}" if self._padding else number
                else:
                    with self._changed:
                        self._changed.wait_for(lambda: self.produced < self.opened or self._end, timeout=0.01)
        finally:
            self.closed += 1

    async def later(self) -> AsyncIterator[Any]:
        self.runs += 1
        changed = asyncio.Event()
        self._listener = asyncio.get_running_loop(), changed
        try:
            while (number := self._next()) is not None:
                if number:
                    yield f"{number}{self._padding}" if self._padding else number
                else:
                    await changed.wait()
                    changed.clear()
        finally:
            self.closed += 1

    def _next(self) -> int | None:
        """The next chunk, 0 for none yet, None for the end."""
        if self.produced < self.opened:
            self.produced += 1
            return self.produced
        if isinstance(self._end, Exception):
            raise self._end
        return None if self._end else 0

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()
        if self._listener is not None:
            loop, changed = self._listener
            loop.call_soon_threadsafe(changed.set)


class Follower:
    """Reads a stream in a task of its own until it ends, is told to leave, or fails."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.started: StreamStarted | None = None
        self.chunks: list[tuple[int, Any]] = []
        """The number and the value of each."""
        self.heartbeats = 0
        self.completed: StreamCompleted | None = None
        self.error: RunAgentError | None = None
        self.pause: asyncio.Event | None = None
        """Where it is set, no further event is asked for until the event is."""
        self.task = asyncio.create_task(self._follow())

    @property
    def values(self) -> list[Any]:
        return [value for _, value in self.chunks]

    @property
    def over(self) -> bool:
        return self.task.done()

    async def rest(self) -> Self:
        """Waits for the end."""
        await self.task
        return self

    async def stop(self, *, for_good: bool = False) -> None:
        """Leaves as a caller does whose connection is cut, or who goes `for_good`."""
        self.reader.leave("The connection was cut.", for_good=for_good)
        self.task.cancel()
        await asyncio.wait([self.task])

    async def _follow(self) -> None:
        with self.reader:
            try:
                async with aclosing(self.reader.events()) as events:
                    async for event in events:
                        self._note(event)
                        if self.pause is not None:
                            await self.pause.wait()
            except RunAgentError as error:
                self.error = error

    def _note(self, event: StreamEvent) -> None:
        assert self.completed is None, "Nothing comes behind the end."
        if isinstance(event, StreamStarted):
            assert self.started is None, "It starts once."
            self.started = event
            return
        assert self.started is not None, "The start comes first."
        match event:
            case StreamChunks(first_sequence, payloads):
                assert payloads, "Chunks that are none."
                self.chunks += enumerate(map(_unpadded, payloads), start=first_sequence)
            case StreamHeartbeat():
                self.heartbeats += 1
            case StreamCompleted():
                self.completed = event


def _unpadded(payload: Payload) -> Any:
    value = decode(payload)
    return value.rstrip(_PADDING) if isinstance(value, str) else value


def now() -> float:
    """The loop's time, as the engine's clock."""
    return asyncio.get_running_loop().time()


async def opened(engine: Engine, fields: Mapping[str, Any] = LINGER, tag: str = "async_stream") -> tuple[str, Follower]:
    reader = await begin(engine, tag, fields=fields)
    return reader.invocation.invocation_id, Follower(reader)


async def resumed(engine: Engine, invocation_id: str, after: int) -> Follower:
    return Follower(await engine.resume(invocation_id, after))


async def refused(engine: Engine, invocation_id: str, after: int, owner: str = "") -> RunAgentError:
    with pytest.raises(RunAgentError) as caught:
        await engine.resume(invocation_id, after, owner=owner)
    return caught.value
