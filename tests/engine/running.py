"""An engine on the event loop of a test, and calls of it whose outcome is read in values, not in payloads."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from runagent_grpc.core.call import Call
from runagent_grpc.core.events import StreamChunks, StreamCompleted, StreamHeartbeat, StreamStarted
from runagent_grpc.core.invocation import Invocation
from runagent_grpc.core.recorder import LogLine, Output, Recorder
from runagent_grpc.core.store import InvocationStore, Journal
from runagent_grpc.engine import Engine, EngineSettings, Reader
from runagent_grpc.runners.in_process import InProcessRunner
from runagent_grpc.values.payload import Payload, decode
from runagent_grpc.worker import Agent
from runagent_grpc.worker.threads import Threads

__all__ = ["Recording", "begin", "chunks_of", "engine_of", "read_all", "result_of", "summary"]


class Recording:
    """A recorder that remembers what it was told, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        """What happened, and the invocation's state at that moment."""
        self.calls: list[Call] = []
        self.invocations: list[Invocation] = []
        self.results: list[Payload | None] = []

    def started(self, invocation: Invocation, call: Call) -> None:
        self.events.append(("started", invocation.state.name))
        self.calls.append(call)
        self.invocations.append(invocation)

    def ended(self, invocation: Invocation, output: Output) -> None:
        self.events.append(("ended", invocation.state.name))
        self.results.append(output.result)

    def logged(self, line: LogLine) -> None: ...


@asynccontextmanager
async def engine_of(
    functions: Mapping[str, Callable[..., Any]],
    *,
    threads: Threads | None = None,
    recorder: Recorder | None = None,
    archive: InvocationStore | None = None,
    journal: Journal | None = None,
    clock: Callable[[], float] = time.monotonic,
    **settings: Any,
) -> AsyncIterator[Engine]:
    """An engine whose work is cancelled, and has ended, when the block ends."""
    engine_settings = EngineSettings(**settings)
    engine = Engine(
        Agent.from_functions(functions),
        settings=engine_settings,
        runner=InProcessRunner(max_payload_bytes=engine_settings.max_payload_bytes, threads=threads),
        recorder=recorder,
        archive=archive,
        journal=journal,
        clock=clock,
    )
    try:
        yield engine
    finally:
        await engine.drain(0)


def begin(engine: Engine, tag: str, *args: Any, fields: Mapping[str, Any] | None = None, **kwargs: Any) -> Reader:
    """Opens a call of `tag` with these arguments, and with these fields of the call."""
    call = Call(entrypoint_tag=tag, args=args, kwargs=kwargs, **(fields or {}))
    return engine.open(call, streaming=tag.endswith("_stream"))


async def result_of(
    engine: Engine, tag: str, *args: Any, fields: Mapping[str, Any] | None = None, **kwargs: Any
) -> Any:
    with begin(engine, tag, *args, fields=fields, **kwargs) as reader:
        return decode(await reader.result())


async def read_all(reader: Reader, into: list[Any]) -> None:
    """Reads a stream to its end, which may be an error, into a list that outlives it."""
    async for event in reader.events():
        if isinstance(event, StreamChunks):
            into += map(decode, event.payloads)


async def chunks_of(engine: Engine, tag: str, *args: Any, **kwargs: Any) -> list[Any]:
    chunks: list[Any] = []
    with begin(engine, tag, *args, **kwargs) as reader:
        await read_all(reader, chunks)
    return chunks


async def summary(reader: Reader) -> list[str]:
    """The events of a stream, each in a word or two, to its end."""
    words: list[str] = []
    async for event in reader.events():
        match event:
            case StreamStarted():
                words.append("started")
            case StreamHeartbeat():
                words.append("heartbeat")
            case StreamChunks(first_sequence, payloads):
                words.append(f"{first_sequence}-{first_sequence + len(payloads) - 1}")
            case StreamCompleted(chunk_count):
                words.append(f"completed {chunk_count}")
    return words
