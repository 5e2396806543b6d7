"""Streams whose chunks come when a test says so, and readers that note what they saw."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Self

import pytest

from runagent_grpc import current_invocation
from runagent_grpc.core.call import OnDisconnect
from runagent_grpc.core.events import StreamChunks, StreamCompleted, StreamEvent, StreamHeartbeat, StreamStarted
from runagent_grpc.engine import Engine, Reader
from runagent_grpc.errors import RunAgentError
from runagent_grpc.values.payload import Payload, decode
from tests.engine.gates import Gate, Notes
from tests.engine.running import begin

__all__ = ["DETACH", "LINGER", "TAGS", "Follower", "Tap", "TapStream", "now", "opened", "refused", "resumed"]

LINGER = {"on_disconnect": OnDisconnect.LINGER, "resume_window": 10.0}
DETACH = {"on_disconnect": OnDisconnect.DETACH}

TAGS = ["sync_stream", "async_stream"]
"""The tags of a tap's functions."""

_PADDING = "."


class Tap:
    """An entrypoint that yields 1, 2, 3 and so on as far as it has been opened, and then ends or fails if told to.

    Its functions hold gates alone, and may run in another process.
    """

    def __init__(self, *, padding: int = 0) -> None:
        """`padding` is how many bytes each chunk takes more than its number does."""
        self._stream = TapStream(padding=padding)
        self.opened = 0
        """How many chunks may come so far."""
        self._end: str | bool = False

    def functions(self) -> dict[str, Callable[..., Any]]:
        return {"sync_stream": self._stream.sync, "async_stream": self._stream.later}

    @property
    def stream(self) -> TapStream:
        return self._stream

    @property
    def runs(self) -> int:
        """How often it was begun."""
        return self._stream.happened.values.count("began")

    @property
    def closed(self) -> int:
        """How often its `finally` ran."""
        return self._stream.happened.values.count("closed")

    @property
    def produced(self) -> int:
        return self._stream.produced.value or 0

    def open(self, count: int) -> None:
        """Lets so many more chunks come."""
        self.opened += count
        self._stream.valve.set([self.opened, self._end])

    def end(self, error: str = "") -> None:
        """Lets it end, or fail with a ValueError of this text, behind the last chunk."""
        self._end = error or True
        self._stream.valve.set([self.opened, self._end])


@dataclass(frozen=True, slots=True)
class TapStream:
    """What of a tap runs where entrypoints do."""

    padding: int = 0
    valve: Gate = field(default_factory=Gate)
    """How many chunks may come, and how it ends after them."""
    happened: Notes = field(default_factory=Notes)
    produced: Gate = field(default_factory=Gate)
    """The number of the last chunk."""

    @classmethod
    def of(cls, path: str, names: Sequence[str], *, padding: int) -> TapStream:
        """Makes one of what `handle` returns."""
        valve, happened, produced = names
        return cls(padding, Gate(path, valve), Notes(path, happened), Gate(path, produced))

    @property
    def handle(self) -> tuple[str, list[str]]:
        """By what an entrypoint finds it that has it as its arguments."""
        return self.valve.path, [self.valve.name, self.happened.name, self.produced.name]

    def sync(self) -> Iterator[Any]:
        self.happened.append("began")
        invocation = current_invocation()
        produced, seen = 0, self.valve.value
        try:
            while not invocation.cancelled:
                if (number := _next_of(produced, seen)) is None:
                    return
                if number:
                    yield self._chunk(produced := number)
                else:
                    with contextlib.suppress(TimeoutError):
                        seen = self.valve.changed_from(seen, timeout=0.01)
        finally:
            self.happened.append("closed")

    async def later(self) -> AsyncIterator[Any]:
        self.happened.append("began")
        produced, seen = 0, self.valve.value
        try:
            while (number := _next_of(produced, seen)) is not None:
                if number:
                    yield self._chunk(produced := number)
                else:
                    seen = await self.valve.changed_from_async(seen)
        finally:
            self.happened.append("closed")

    def _chunk(self, number: int) -> Any:
        self.produced.set(number)
        return f"{number}{_PADDING * self.padding}" if self.padding else number


def _next_of(produced: int, valve: tuple[int, str | bool] | None) -> int | None:
    """The next chunk, 0 for none yet, None for the end."""
    opened, end = valve or (0, False)
    if produced < opened:
        return produced + 1
    if isinstance(end, str):
        raise ValueError(end)
    return None if end else 0


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
