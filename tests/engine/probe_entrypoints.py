"""Entrypoints of every kind that go on until they are stopped, and tell what they saw."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from runagent_grpc.core.events import StreamChunks, StreamEvent
from runagent_grpc.engine import Engine, Reader
from runagent_grpc.values.payload import decode
from tests.engine.gates import Gate, Notes
from tests.engine.running import read_all, result_of
from tests.waiting import is_waiting

__all__ = [
    "ALL",
    "STOPPABLE",
    "LogNotes",
    "Witness",
    "entrypoint_threads",
    "loop_thread",
    "no_thread_is_new",
    "outcome_of",
    "stands_still",
    "take",
]


class Witness:
    """Entrypoints that go on until they are stopped, and say what they saw. Holds gates alone."""

    def __init__(self) -> None:
        self.seen = Notes()
        self._threads = Notes()
        self.began = Gate()
        self.release = Gate()
        """Lets a function go that nothing else can stop."""

    @property
    def threads(self) -> set[int]:
        """On which threads it said so."""
        return {*self._threads.values}

    def functions(self) -> dict[str, Callable[..., Any]]:
        stoppable = {
            "coroutine": self.coroutine,
            "listed": self.generator,
            "listed_later": self.async_generator,
            "generator_stream": self.generator,
            "async_generator_stream": self.async_generator,
            "silent_stream": self.silent,
            "coroutine_stream": self.coroutine,
        }
        return stoppable | {"blocking": self.blocking, "blocking_stream": self.blocking}

    def note(self, what: str) -> None:
        self._threads.append(threading.get_ident())
        self.seen.append(what)

    def generator(self) -> Iterator[int]:
        try:
            for number in range(10**9):
                if number in _EARLY:
                    self.note("next")
                    self.began.set()
                yield number
        finally:
            self.note("finally")

    async def async_generator(self) -> AsyncIterator[int]:
        try:
            for number in range(10**9):
                if number in _EARLY:
                    self.began.set()
                await asyncio.sleep(0)
                yield number
        finally:
            await asyncio.sleep(0)
            self.note("finally")

    async def silent(self) -> AsyncIterator[int]:
        try:
            self.began.set()
            await asyncio.Event().wait()
            yield 1
        finally:
            await asyncio.sleep(0)
            self.note("finally")

    async def coroutine(self) -> None:
        try:
            self.began.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.note("finally")

    def blocking(self) -> str:
        self.began.set()
        self.release.wait()
        self.note("returned")
        return "too late"


_EARLY = range(16)
"""Of which items a generator tells: as many as a test waits for, and not of a million."""

STOPPABLE = [
    "coroutine",
    "listed",
    "listed_later",
    "generator_stream",
    "async_generator_stream",
    "silent_stream",
    "coroutine_stream",
]
ALL = [*STOPPABLE, "blocking", "blocking_stream"]


async def stands_still(thread: int) -> bool:
    """An entrypoint: whether a thread of the process that runs entrypoints waits for something."""
    return is_waiting(thread)


async def loop_thread() -> int:
    """An entrypoint: the thread of the event loop that runs entrypoints."""
    return threading.get_ident()


async def entrypoint_threads() -> list[int]:
    """An entrypoint: the threads of entrypoints that there are."""
    names = "runagent-entrypoint-"
    return [thread.native_id or 0 for thread in threading.enumerate() if thread.name.startswith(names)]


async def no_thread_is_new(engine: Engine, known: list[int]) -> bool:
    """Whether an engine with the entrypoint "threads" knows no more threads than these."""
    return {*await result_of(engine, "threads")} <= {*known}


@dataclass(frozen=True, slots=True)
class LogNotes:
    """Entrypoints that begin and end to note what this package logs, where entrypoints run."""

    records: Notes = field(default_factory=Notes)

    def functions(self) -> dict[str, Callable[..., Any]]:
        return {"listen": self.listen, "hush": hush}

    async def listen(self) -> None:
        _PACKAGE.addHandler(_Noting(self.records))


async def hush() -> None:
    """Ends the noting."""
    for handler in [*_PACKAGE.handlers]:
        if isinstance(handler, _Noting):
            _PACKAGE.removeHandler(handler)


_PACKAGE = logging.getLogger("runagent_grpc")


class _Noting(logging.Handler):
    def __init__(self, notes: Notes) -> None:
        super().__init__()
        self._notes = notes

    def emit(self, record: logging.LogRecord) -> None:
        _, error, trace = record.exc_info or (None, None, None)
        self._notes.append(
            {
                "level": record.levelname,
                "message": record.getMessage(),
                "invocation_id": record.__dict__.get("invocation_id"),
                "error": None if error is None else str(error),
                "function": None if trace is None else trace.tb_frame.f_code.co_name,
                "text": self.format(record),
            }
        )


async def outcome_of(reader: Reader) -> Any:
    """What a caller of either mode gets in the end."""
    if reader.invocation.entrypoint_tag.endswith("_stream"):
        return await read_all(reader, [])
    return decode(await reader.result())


async def take(reader: Reader, count: int) -> list[StreamEvent]:
    """Takes events until `count` chunks were delivered, and asks for no more."""
    events, chunks = reader.events(), 0
    taken: list[StreamEvent] = [await anext(events)]
    while chunks < count:
        taken.append(await anext(events))
        if isinstance(taken[-1], StreamChunks):
            chunks += len(taken[-1].payloads)
    await events.aclose()
    return taken
