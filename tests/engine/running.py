"""An engine on the event loop of a test, and calls of it whose outcome is read in values, not in payloads."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from runagent_grpc.agents import AgentCatalogue, ServedAgent
from runagent_grpc.core.call import Call
from runagent_grpc.core.events import StreamChunks, StreamCompleted, StreamHeartbeat, StreamStarted
from runagent_grpc.core.invocation import InvocationRecord
from runagent_grpc.core.principal import Principal
from runagent_grpc.core.recorder import Journal, OutputLine, Recorder
from runagent_grpc.core.store import InvocationStore
from runagent_grpc.engine import Engine, EngineSettings, Reader
from runagent_grpc.engine.active import Identity
from runagent_grpc.runners.in_process import InProcessRunner
from runagent_grpc.values.payload import Payload, TruncatedPayload, decode, encode
from runagent_grpc.worker.output import OutputCapture
from runagent_grpc.worker.worker import Worker
from tests.engine.agent_source import AgentSource
from tests.engine.process_runner import ProcessRunner, WorkerProcess

__all__ = [
    "Recording",
    "begin",
    "call_of",
    "chunks_of",
    "engine_of",
    "identity_of",
    "read_all",
    "result_of",
    "served",
    "summary",
    "worker_process",
]


class Recording:
    """A recorder that remembers what it was told, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        """What happened, and the invocation's state at that moment."""
        self.calls: list[Call] = []
        self.invocations: list[InvocationRecord] = []
        self.ended_records: list[InvocationRecord] = []
        self.results: list[Payload | TruncatedPayload | None] = []
        self.lines: list[OutputLine] = []

    def started(self, record: InvocationRecord, call: Call) -> None:
        self.events.append(("started", record.state.name))
        self.calls.append(call)
        self.invocations.append(record)

    def ended(self, record: InvocationRecord) -> None:
        self.events.append(("ended", record.state.name))
        self.results.append(record.result)
        self.ended_records.append(record)

    def logged(self, line: OutputLine) -> None:
        self.lines.append(line)


worker_process: ContextVar[WorkerProcess | None] = ContextVar("worker_process", default=None)
"""The interpreter that runs all calls; None: this one does."""


@asynccontextmanager
async def engine_of(
    functions: Mapping[str, Callable[..., Any]],
    *,
    agent_id: str = "test-agent",
    paths: Mapping[str, str] | None = None,
    idle_seconds: float = 1.0,
    recorder: Recorder | None = None,
    store: InvocationStore | None = None,
    journal: Journal | None = None,
    clock: Callable[[], float] = time.monotonic,
    options: Mapping[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Engine]:
    """An engine whose work is cancelled, and has ended, when the block ends.

    Every call runs where the session's `--runner` says. `paths` is the extractor of every entrypoint, `idle_seconds`
    how long a thread is kept for the next call, `options` what else the engine takes.
    """
    engine_settings = EngineSettings(**settings)
    source = AgentSource(
        functions=functions,
        agent_id=agent_id,
        paths=paths,
        idle_seconds=idle_seconds,
        max_payload_bytes=engine_settings.max_payload_bytes,
    )
    async with served(source, logged=None if recorder is None else recorder.logged) as agent:
        engine = Engine(
            AgentCatalogue(agent),
            settings=engine_settings,
            recorder=recorder,
            store=store,
            journal=journal,
            clock=clock,
            **options or {},
        )
        try:
            yield engine
        finally:
            await engine.drain(0)
        if not engine.active and isinstance(agent.runner, ProcessRunner):
            # What the engine has given up must not go on there.
            await agent.runner.all_ended()


@asynccontextmanager
async def served(
    source: AgentSource, *, logged: Callable[[OutputLine], None] | None = None
) -> AsyncIterator[ServedAgent]:
    """An agent and its runner. `logged` hears of what its entrypoints print and log."""
    if (process := worker_process.get()) is not None:
        async with ProcessRunner.serving(source, process, logged=logged or _nobody) as remote:
            yield ServedAgent(manifest=remote.manifest, runner=remote)
        return
    output = OutputCapture(logged or _nobody)
    worker = Worker(source.agent(), max_payload_bytes=source.max_payload_bytes, threads=source.threads(), output=output)
    with output.installed():
        yield ServedAgent(manifest=worker.manifest, runner=InProcessRunner(worker))


def _nobody(line: OutputLine) -> None:
    """Nobody hears of it."""


def identity_of(name: str, *, request_id: str = "", owner: str = "") -> Identity:
    """The identity of an invocation that the engine did not start."""
    return Identity(
        invocation_id=name,
        agent_id="a",
        entrypoint_tag="t",
        owner=owner,
        request_id=request_id,
        fingerprint="",
        user_id="",
        transport="",
        start_time=datetime(2024, 1, 1, tzinfo=UTC),
    )


def call_of(tag: str, *args: Any, fields: Mapping[str, Any] | None = None, **kwargs: Any) -> Call:
    """A call with these values as its arguments; of the `owner` among the fields, where there is one."""
    payloads = {name: encode(value) for name, value in kwargs.items()}
    options = dict(fields or {})
    principal = Principal(subject=options.pop("owner", ""))
    return Call(entrypoint_tag=tag, args=[*map(encode, args)], kwargs=payloads, principal=principal, **options)


async def begin(engine: Engine, tag: str, *args: Any, fields: Mapping[str, Any] | None = None, **kwargs: Any) -> Reader:
    """Starts a call of `tag` with these arguments, and with these fields of the call."""
    call = call_of(tag, *args, fields=fields, **kwargs)
    return await engine.start(call, streaming=tag.endswith("_stream"))


async def result_of(
    engine: Engine, tag: str, *args: Any, fields: Mapping[str, Any] | None = None, **kwargs: Any
) -> Any:
    with await begin(engine, tag, *args, fields=fields, **kwargs) as reader:
        return decode(await reader.result())


async def read_all(reader: Reader, into: list[Any]) -> None:
    """Reads a stream to its end, which may be an error, into a list that outlives it."""
    async for event in reader.events():
        if isinstance(event, StreamChunks):
            into += map(decode, event.payloads)


async def chunks_of(engine: Engine, tag: str, *args: Any, **kwargs: Any) -> list[Any]:
    chunks: list[Any] = []
    with await begin(engine, tag, *args, **kwargs) as reader:
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
