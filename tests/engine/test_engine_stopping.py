from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from functools import partial
from typing import Any

import pytest

from runagent_grpc import current_invocation
from runagent_grpc.core.events import StreamChunks, StreamEvent
from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.errors import (
    InvocationCancelledError,
    Reason,
)
from runagent_grpc.values.payload import decode
from tests.engine.gates import Gate, Notes
from tests.engine.probe_entrypoints import ALL, STOPPABLE, LogNotes, Witness, outcome_of, stands_still, take
from tests.engine.running import Recording, begin, engine_of, read_all, result_of
from tests.waiting import on_a_loop, soon, soon_true


@pytest.mark.parametrize("tag", STOPPABLE)
@on_a_loop
async def test_work_stops_when_the_caller_leaves_and_its_finally_runs(tag: str) -> None:
    witness, recording, log = Witness(), Recording(), LogNotes()
    async with engine_of(witness.functions() | log.functions(), recorder=recording) as engine:
        await result_of(engine, "listen")
        with await begin(engine, tag) as reader:
            waiting = asyncio.create_task(outcome_of(reader))
            await soon(witness.began.is_set)
            waiting.cancel()
            await asyncio.wait([waiting])
        assert reader.invocation.state is InvocationState.CANCELLED
        assert reader.invocation.cause == "The caller left."
        await soon(lambda: engine.active == 0)

        # Nothing holds a slot before its `finally` has run.
        assert witness.seen[-1] == "finally"
        assert witness.seen.values.count("finally") == 1
        # After those of "listen".
        assert recording.events[2:] == [("started", "RUNNING"), ("ended", "CANCELLED")]
        # It is nothing that anybody has to look into.
        await result_of(engine, "hush")
        assert log.records.values == []


@pytest.mark.parametrize("tag", ALL)
@on_a_loop
async def test_a_cancelled_caller_is_answered_at_once(tag: str) -> None:
    witness, recording = Witness(), Recording()
    async with engine_of(witness.functions(), recorder=recording) as engine:
        with await begin(engine, tag) as reader:
            waiting = asyncio.create_task(outcome_of(reader))
            await soon(witness.began.is_set)
            record = engine.cancel(reader.invocation.invocation_id)

            assert record == reader.invocation
            assert record.state is InvocationState.CANCELLED
            assert record.end_time is not None
            with pytest.raises(InvocationCancelledError, match=r"^The invocation was cancelled\.$") as caught:
                await waiting
            assert caught.value.reason is Reason.CANCELLED

            for _ in range(3):
                assert engine.cancel(record.invocation_id) == record
        assert engine.active == (1 if tag.startswith("blocking") else engine.active)
        witness.release.set()
        await soon(lambda: engine.active == 0)
        assert witness.seen[-1] in ("finally", "returned")
        assert engine.find(record.invocation_id).state is InvocationState.CANCELLED
        assert recording.events == [("started", "RUNNING"), ("ended", "CANCELLED")]


@pytest.mark.parametrize("tag", ALL)
@on_a_loop
async def test_work_that_is_cancelled_before_it_began_never_begins(tag: str) -> None:
    witness, recording = Witness(), Recording()
    async with engine_of(witness.functions(), recorder=recording) as engine:
        with await begin(engine, tag) as reader:
            pass
        assert reader.invocation.state is InvocationState.CANCELLED
        await soon(lambda: engine.active == 0)

    assert witness.seen.values == []
    assert not witness.began.is_set()
    assert recording.events == [("started", "RUNNING"), ("ended", "CANCELLED")]


@pytest.mark.parametrize("tag", ["generator_stream", "async_generator_stream"])
@pytest.mark.parametrize("delivered", [0, 1, 5])
@on_a_loop
async def test_a_producer_that_waits_at_the_window_is_stopped(tag: str, delivered: int) -> None:
    witness = Witness()
    functions = {**witness.functions(), "stands_still": stands_still}
    async with engine_of(functions, window_chunks=2) as engine:
        with await begin(engine, tag) as reader:
            await take(reader, delivered)
            await soon(witness.began.is_set)
            if tag == "generator_stream":
                await soon(lambda: witness.threads)
                for thread in witness.threads:
                    await soon_true(partial(result_of, engine, "stands_still", thread))
        await soon(lambda: engine.active == 0)

    assert witness.seen[-1] == "finally"
    assert len(witness.threads) == 1


async def read_on(events: AsyncIterator[StreamEvent], into: list[int]) -> None:
    async for event in events:
        assert isinstance(event, StreamChunks)
        into += map(decode, event.payloads)


@on_a_loop
async def test_a_cancelled_stream_gives_the_chunks_that_were_ready_and_then_the_error() -> None:
    release, ready = Gate(), Gate()

    def items() -> Iterator[int]:
        yield 1
        yield 2
        yield 3
        ready.set()
        release.wait()
        yield 4

    async with engine_of({"items_stream": items}) as engine:
        chunks: list[int] = []
        with await begin(engine, "items_stream") as reader:
            events = reader.events()
            while len(chunks) < 2:
                event = await anext(events)
                if isinstance(event, StreamChunks):
                    chunks += map(decode, event.payloads)
            await soon(ready.is_set)
            engine.cancel(reader.invocation.invocation_id)
            with pytest.raises(InvocationCancelledError):
                await read_on(events, chunks)
            release.set()
            await soon(lambda: engine.active == 0)

        assert chunks == [1, 2, 3]
        assert reader.invocation.chunk_count == 3


@on_a_loop
async def test_leaving_after_the_end_changes_nothing() -> None:
    recording = Recording()
    async with engine_of({"fine": lambda: "fine"}, recorder=recording) as engine:
        with await begin(engine, "fine") as reader:
            await reader.result()
            reader.leave()
        assert engine.cancel(reader.invocation.invocation_id).state is InvocationState.COMPLETED
        assert reader.invocation.cause == ""

    assert recording.events == [("started", "RUNNING"), ("ended", "COMPLETED")]


@on_a_loop
async def test_a_caller_that_fails_leaves() -> None:
    witness = Witness()
    async with engine_of(witness.functions()) as engine:
        reader = await begin(engine, "coroutine")
        await soon(witness.began.is_set)
        with pytest.raises(ZeroDivisionError), reader:
            raise ZeroDivisionError
        assert reader.invocation.state is InvocationState.CANCELLED
        await soon(lambda: engine.active == 0)


@on_a_loop
async def test_an_async_generator_that_shrugs_off_its_cancellation_ends_at_its_next_chunk() -> None:
    began, closed = Gate(), Notes()

    async def stubborn() -> AsyncIterator[int]:
        yield 1
        try:
            while True:
                try:
                    began.set()
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    for number in range(100_000):
                        yield number
        finally:
            closed.append(True)

    async with engine_of({"stubborn_stream": stubborn}) as engine:
        with await begin(engine, "stubborn_stream") as reader:
            reading = asyncio.create_task(read_all(reader, []))
            await began.wait_async()
            reading.cancel()
            await asyncio.wait([reading])
        await soon(lambda: engine.active == 0)

    assert closed.values == [True]


@on_a_loop
async def test_a_coroutine_that_shrugs_off_its_cancellation_changes_no_outcome() -> None:
    began, go = Gate(), Gate()

    async def stubborn() -> str:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await go.wait_async()
        return "a result"

    recording = Recording()
    async with engine_of({"stubborn": stubborn}, recorder=recording) as engine:
        with await begin(engine, "stubborn") as reader:
            await began.wait_async()
            engine.cancel(reader.invocation.invocation_id)
            with pytest.raises(InvocationCancelledError):
                await reader.result()
            assert engine.active == 1
            go.set()
            await soon(lambda: engine.active == 0)

    assert recording.events == [("started", "RUNNING"), ("ended", "CANCELLED")]
    assert recording.results == [None]


@on_a_loop
async def test_a_coroutine_that_comes_too_late_is_never_run_and_never_complained_of() -> None:
    began, release = Gate(), Gate()

    async def inner() -> None:
        pytest.fail("Nobody wants it any more.")

    def outer() -> Coroutine[Any, Any, None]:
        began.set()
        release.wait()
        return inner()

    # Python's complaint, a RuntimeWarning, would fail this test.
    async with engine_of({"outer": outer, "outer_stream": outer}) as engine:
        for tag in ("outer", "outer_stream"):
            began.clear()
            release.clear()
            with await begin(engine, tag):
                await soon(began.is_set)
            release.set()
            await soon(lambda: engine.active == 0)


@pytest.mark.parametrize("tag", ["finally_stream", "finally_later_stream", "function"])
@on_a_loop
async def test_what_is_raised_while_the_work_is_stopped_is_logged(tag: str) -> None:
    began, log = Gate(), LogNotes()

    def fails_in_finally() -> Iterator[int]:
        try:
            while True:
                began.set()
                yield 1
        finally:
            raise ValueError("no good")

    async def fails_in_finally_later() -> AsyncIterator[int]:
        try:
            began.set()
            await asyncio.Event().wait()
            yield 1
        finally:
            raise ValueError("no good")

    def function() -> None:
        began.set()
        invocation = current_invocation()
        while not invocation.cancelled:
            threading.Event().wait(0.001)
        raise ValueError("no good")

    functions = {
        "finally_stream": fails_in_finally,
        "finally_later_stream": fails_in_finally_later,
        "function": function,
    }
    async with engine_of({**functions, **log.functions()}) as engine:
        await result_of(engine, "listen")
        with await begin(engine, tag) as reader:
            await soon(began.is_set)
        await soon(lambda: engine.active == 0)

        await result_of(engine, "hush")
        [record] = log.records.values
        assert (record["level"], record["message"]) == ("WARNING", "An entrypoint raised while it was stopped.")
        assert record["error"] == "no good"
        assert reader.invocation.state is InvocationState.CANCELLED
