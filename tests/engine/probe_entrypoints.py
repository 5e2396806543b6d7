"""Entrypoints of every kind that go on until they are stopped, and tell what they saw."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from runagent_grpc.core.events import StreamChunks, StreamEvent
from runagent_grpc.engine import Reader
from runagent_grpc.values.payload import decode
from tests.engine.running import read_all

__all__ = ["ALL", "STOPPABLE", "Witness", "outcome_of", "take"]


class Witness:
    """Entrypoints that go on until they are stopped, and say what they saw."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.threads: set[int] = set()
        self.began = threading.Event()
        self.release = threading.Event()
        """Lets a function go that nothing else can stop."""

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
        self.seen.append(what)
        self.threads.add(threading.get_ident())

    def generator(self) -> Iterator[int]:
        try:
            for number in range(10**9):
                self.note("next")
                self.began.set()
                yield number
        finally:
            self.note("finally")

    async def async_generator(self) -> AsyncIterator[int]:
        try:
            for number in range(10**9):
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


STOPPABLE = [tag for tag in Witness().functions() if not tag.startswith("blocking")]
ALL = list(Witness().functions())


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
