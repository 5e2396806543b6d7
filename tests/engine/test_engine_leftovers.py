"""What is left of work that was stopped: no thread, no task, no slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from runagent_grpc.agents import AgentCatalogue
from runagent_grpc.core.events import StreamChunks
from runagent_grpc.engine import Engine, Reader
from runagent_grpc.errors import (
    RunAgentError,
)
from runagent_grpc.values.payload import decode
from tests.engine.agent_source import AgentSource
from tests.engine.gates import Notes
from tests.engine.probe_entrypoints import Witness, entrypoint_threads, no_thread_is_new, outcome_of, take
from tests.engine.running import begin, engine_of, result_of, served
from tests.waiting import on_a_loop, soon, soon_true


@on_a_loop
async def test_threads_return_to_their_baseline_whatever_became_of_the_work() -> None:
    witness = Witness()

    def fails() -> Iterator[int]:
        yield 1
        raise ValueError("no good")

    functions = witness.functions() | {"fails_stream": fails, "fine_stream": lambda: [1, 2]}
    async with engine_of({**functions, "threads": entrypoint_threads}, idle_seconds=0) as engine:
        known = await result_of(engine, "threads")
        for tag in ("fails_stream", "fine_stream"):
            with await begin(engine, tag) as reader:
                await asyncio.wait([asyncio.create_task(outcome(reader))])
        for tag in ("generator_stream", "listed", "blocking"):
            witness.began.clear()
            with await begin(engine, tag):
                await soon(witness.began.is_set)
            if tag != "blocking":
                # It says more than once that it has begun.
                await soon(lambda: engine.active == 0)
        assert not await no_thread_is_new(engine, known)
        witness.release.set()

        await soon(lambda: engine.active == 0)
        await soon_true(lambda: no_thread_is_new(engine, known))


async def outcome(reader: Reader) -> RunAgentError | None:
    try:
        await outcome_of(reader)
    except RunAgentError as error:
        return error
    return None


@on_a_loop
async def test_two_hundred_callers_that_leave_mid_stream_leave_nothing_behind() -> None:
    closed = Notes()

    def items() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            closed.append(1)

    async def items_later() -> AsyncIterator[int]:
        try:
            for number in range(10**9):
                yield number
                await asyncio.sleep(0)
        finally:
            closed.append(1)

    functions = {"sync_stream": items, "async_stream": items_later}
    async with engine_of({**functions, "threads": entrypoint_threads}, idle_seconds=0, window_chunks=8) as engine:
        known = await result_of(engine, "threads")

        async def leave_early(tag: str, after: int) -> None:
            with await begin(engine, tag) as reader:
                await take(reader, 1 + after % 20)

        await asyncio.gather(*(leave_early(list(functions)[number % 2], number) for number in range(200)))
        await soon(lambda: engine.active == 0)
        await soon_true(lambda: no_thread_is_new(engine, known))
        assert await chunks_of_three(engine) == [0, 1, 2]

    # The last one is of the stream that shows that all is well.
    assert len(closed) == 201


async def chunks_of_three(engine: Engine) -> list[int]:
    with await begin(engine, "sync_stream") as reader:
        events = await take(reader, 3)
    payloads = [payload for event in events if isinstance(event, StreamChunks) for payload in event.payloads]
    await soon(lambda: engine.active == 0)
    return [decode(payload) for payload in payloads][:3]


@on_a_loop
async def test_the_work_of_a_loop_that_ends_is_stopped() -> None:
    witnesses = {tag: Witness() for tag in ("generator_stream", "async_generator_stream", "coroutine")}
    functions = {tag: witness.functions()[tag] for tag, witness in witnesses.items()}

    async def forget_to_drain() -> None:
        async with served(AgentSource(functions=functions, max_payload_bytes=1000)) as agent:
            engine = Engine(AgentCatalogue(agent))
            for tag, witness in witnesses.items():
                await begin(engine, tag)
                await soon(witness.began.is_set)

    await asyncio.to_thread(asyncio.run, forget_to_drain())

    for witness in witnesses.values():
        await soon(lambda witness=witness: witness.seen.values[-1:] == ["finally"])  # type: ignore[misc]
