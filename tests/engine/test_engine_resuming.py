"""Streams that are taken up again: from where, by whom, and how long that is possible."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from runagent_grpc.core.call import OnDisconnect
from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.engine import Engine, Reader
from runagent_grpc.errors import (
    ExecutionFailedError,
    InvalidRequestError,
    NotFoundError,
    Reason,
    ReplayExpiredError,
)
from tests.engine.fake_clock import on_clockwork, passes, turns, until
from tests.engine.gated_generators import DETACH, LINGER, TAGS, Follower, Tap, now, opened, refused, resumed
from tests.engine.gates import Gate
from tests.engine.running import begin, chunks_of, engine_of
from tests.waiting import on_a_loop

EACH = pytest.mark.parametrize("tag", TAGS)


def has_read(follower: Follower, count: int) -> bool:
    return follower.started is not None and len(follower.chunks) == count


def state_of(engine: Engine, invocation_id: str) -> InvocationState:
    return engine.find(invocation_id).state


@EACH
@on_clockwork
async def test_a_stream_is_taken_up_from_every_chunk(tag: str) -> None:
    tap = Tap()
    async with engine_of(tap.functions(), clock=now) as engine:
        invocation_id, first = await opened(engine, DETACH, tag)
        tap.open(5)
        await until(lambda: len(first.chunks) == 5)
        await first.stop()

        for after in range(6):
            reading = await resumed(engine, invocation_id, after)
            await until(partial(has_read, reading, 5 - after))
            assert reading.chunks == [(number, number) for number in range(after + 1, 6)]
            assert reading.started == first.started
            await reading.stop()

        tap.end()
        await until(lambda: state_of(engine, invocation_id) is InvocationState.COMPLETED)
        for after in range(6):
            reading = await (await resumed(engine, invocation_id, after)).rest()
            assert reading.values == [*range(after + 1, 6)]
            # Both are the whole invocation's.
            assert reading.completed is not None
            assert (reading.completed.chunk_count, reading.started) == (5, first.started)
    assert (tap.runs, tap.closed) == (1, 1)


@on_clockwork
async def test_a_cursor_beyond_the_last_chunk_is_refused_and_takes_nothing_over() -> None:
    tap = Tap()
    async with engine_of(tap.functions(), clock=now) as engine:
        invocation_id, reading = await opened(engine)
        tap.open(2)
        await until(lambda: len(reading.values) == 2)

        error = await refused(engine, invocation_id, 3)
        assert (error.reason, type(error)) == (Reason.INVALID_CURSOR, InvalidRequestError)
        assert error.message == "Chunk 3 has not been produced: the last one is 2."
        negative = await refused(engine, invocation_id, -1)
        assert (negative.reason, negative.field) == (Reason.VALIDATION_ERROR, "after_sequence")

        tap.open(1)
        tap.end()
        assert (await reading.rest()).values == [1, 2, 3]
        assert (await refused(engine, invocation_id, 4)).reason is Reason.INVALID_CURSOR


@on_clockwork
async def test_an_invocation_is_resumed_by_its_owner_alone() -> None:
    tap = Tap()
    async with engine_of(tap.functions(), clock=now) as engine:
        invocation_id, reading = await opened(engine, {**LINGER, "owner": "one"})
        tap.open(1)
        await until(lambda: len(reading.values) == 1)

        for some_id, owner in [(invocation_id, "two"), (invocation_id, ""), ("unknown", "one"), ("", "one")]:
            error = await refused(engine, some_id, 0, owner)
            assert (type(error), error.reason) == (NotFoundError, Reason.INVOCATION_NOT_FOUND)
            assert error.message == "Invocation not found"

        tap.end()
        assert (await reading.rest()).error is None


@on_a_loop
async def test_what_returns_one_value_has_no_stream_to_resume() -> None:
    async with engine_of({"fine": lambda: "fine"}) as engine:
        with await begin(engine, "fine", fields=DETACH) as reader:
            await reader.result()
        error = await refused(engine, reader.invocation.invocation_id, 0)
        assert error.reason is Reason.NON_STREAM_ENTRYPOINT


@EACH
@on_clockwork
async def test_whoever_resumes_takes_over_and_the_earlier_readers_leaving_cancels_nothing(tag: str) -> None:
    tap = Tap()
    async with engine_of(tap.functions(), clock=now) as engine:
        invocation_id, first = await opened(engine, {"on_disconnect": OnDisconnect.CANCEL, "request_id": "r"}, tag)
        tap.open(3)
        await until(lambda: len(first.chunks) == 3)

        second = await resumed(engine, invocation_id, 1)
        await first.rest()
        assert first.error is not None
        assert first.error.reason is Reason.READER_REPLACED
        # Noticed late.
        for _ in range(2):
            first.reader.leave("The connection was cut.", for_good=True)
        tap.open(2)
        await until(lambda: len(second.chunks) == 4)
        tap.end()

        assert (await second.rest()).values == [2, 3, 4, 5]
        assert second.completed is not None


@on_clockwork
async def test_each_reader_in_a_row_of_many_is_replaced_and_the_last_one_counts() -> None:
    tap = Tap()
    async with engine_of(tap.functions(), clock=now) as engine:
        invocation_id, first = await opened(engine)
        tap.open(1)
        await until(lambda: len(first.values) == 1)
        # All at once, and each hangs, as one does whose connection is dead.
        *replaced, last = [first, *[await resumed(engine, invocation_id, 1) for _ in range(5)]]
        for follower in replaced:
            follower.pause = asyncio.Event()
        await turns()
        await passes(3600)
        assert state_of(engine, invocation_id) is InvocationState.RUNNING

        await last.stop()
        await passes(9.9)
        assert state_of(engine, invocation_id) is InvocationState.RUNNING
        await passes(0.2)
        assert state_of(engine, invocation_id) is InvocationState.CANCELLED
        for follower in replaced:
            if follower.pause is not None:
                follower.pause.set()
            await follower.rest()
            assert follower.error is not None
            assert follower.error.reason is Reason.READER_REPLACED
        await until(lambda: tap.closed == 1)


@EACH
@on_clockwork
async def test_without_a_reader_the_oldest_chunks_give_way(tag: str) -> None:
    tap = Tap()
    async with engine_of(tap.functions(), ring_chunks=10, window_chunks=4, clock=now) as engine:
        invocation_id, reading = await opened(engine, DETACH, tag)
        tap.open(1)
        await until(lambda: len(reading.chunks) == 1)
        await reading.stop()
        tap.open(99)
        await until(lambda: reading.reader.invocation.state.ended or _count(engine, invocation_id) == 100)

        for after in (0, 1, 89):
            error = await refused(engine, invocation_id, after)
            assert (type(error), error.reason) == (ReplayExpiredError, Reason.REPLAY_EXPIRED)
            assert error.message == f"The chunks from {after + 1} to 90 are no longer kept."
        second = await resumed(engine, invocation_id, 90)
        await until(lambda: len(second.chunks) == 10)
        assert second.values == [*range(91, 101)]

        # Now that somebody reads, the window holds again.
        second.pause = asyncio.Event()
        tap.open(1)
        await until(lambda: len(second.chunks) == 11)
        tap.open(1000)
        await until(lambda: _count(engine, invocation_id) >= 101 + 4)
        await turns(100)
        assert _count(engine, invocation_id) <= 101 + 2 * 4
        second.pause.set()
        tap.end()
        await second.rest()
        assert second.values == [*range(91, 1102)]


def _count(engine: Engine, invocation_id: str) -> int:
    chunks = engine._lookup.active(invocation_id, "").chunks
    assert chunks is not None
    return chunks.count


@pytest.mark.parametrize("fields", [LINGER, DETACH, {"request_id": "r"}], ids=["linger", "detach", "request"])
@on_clockwork
async def test_the_chunks_of_a_stream_that_ended_are_kept_for_a_minute(fields: dict[str, Any]) -> None:
    tap = Tap()
    async with engine_of(tap.functions(), clock=now) as engine:
        invocation_id, reading = await opened(engine, fields)
        tap.open(3)
        tap.end()
        await reading.rest()
        await passes(59.9)
        assert (await (await resumed(engine, invocation_id, 1)).rest()).values == [2, 3]
        # No call has to come for them to be let go.
        await passes(0.2)
        await passes(1.0)
        assert engine._budget.used == 0
        assert (await refused(engine, invocation_id, 1)).reason is Reason.REPLAY_EXPIRED
        # Whoever has them all hears how it ended.
        end = await (await resumed(engine, invocation_id, 3)).rest()
        assert (end.values, end.completed is not None) == ([], True)


@on_clockwork
async def test_the_chunks_of_a_stream_that_is_cancelled_when_its_caller_leaves_are_not_kept() -> None:
    tap = Tap()
    async with engine_of(tap.functions(), clock=now) as engine:
        invocation_id, reading = await opened(engine, {})
        tap.open(3)
        await until(lambda: len(reading.values) == 3)
        await reading.stop()
        assert state_of(engine, invocation_id) is InvocationState.CANCELLED
        assert (await refused(engine, invocation_id, 0)).reason is Reason.REPLAY_EXPIRED


@on_clockwork
async def test_a_slow_reader_of_a_stream_that_ended_long_ago_loses_nothing_and_leaves_nothing() -> None:
    tap = Tap()
    async with engine_of(tap.functions(), clock=now) as engine:
        invocation_id, reading = await opened(engine)
        tap.open(1)
        await until(lambda: reading.values == [1])
        reading.pause = asyncio.Event()
        tap.open(1)
        await until(lambda: reading.values == [1, 2])
        tap.open(98)
        tap.end()
        await until(lambda: state_of(engine, invocation_id) is InvocationState.COMPLETED)
        assert reading.values == [1, 2]
        await passes(61)
        await passes(3600)
        chunks = engine._lookup.active(invocation_id, "").chunks
        assert chunks is not None

        reading.pause.set()
        assert (await reading.rest()).values == [*range(1, 101)]
        assert len(chunks._chunks) == 0


@on_clockwork
async def test_a_failed_stream_replays_its_chunks_and_then_the_same_error() -> None:
    tap = Tap()
    async with engine_of(tap.functions(), clock=now) as engine:
        invocation_id, reading = await opened(engine)
        tap.open(3)
        tap.end("no good")
        await reading.rest()
        for after in (0, 2, 3):
            again = await (await resumed(engine, invocation_id, after)).rest()
            assert again.values == [*range(after + 1, 4)]
            assert isinstance(again.error, ExecutionFailedError)
            assert isinstance(reading.error, ExecutionFailedError)
            assert again.error.message == reading.error.message == "no good"
            # Each caller's own: its traceback holds the caller's frames.
            assert again.error is not reading.error


@on_clockwork
async def test_a_queued_stream_can_be_taken_over_before_it_runs() -> None:
    tap, blocking = Tap(), Gate()
    functions = {**tap.functions(), "block": blocking.wait_async}
    async with engine_of(functions, max_invocations=1, heartbeat_interval=1.0, clock=now) as engine:
        running = await begin(engine, "block")
        invocation_id, first = await opened(engine)
        await turns()
        await passes(1.1)
        assert (first.started is not None, first.heartbeats) == (True, 1)
        await first.stop()
        await passes(5)
        assert state_of(engine, invocation_id) is InvocationState.QUEUED
        second = await resumed(engine, invocation_id, 0)
        blocking.set()
        tap.open(2)
        tap.end()
        await second.rest()
        assert (second.values, second.started) == ([1, 2], first.started)
        running.leave()


@on_clockwork
async def test_a_resume_does_not_extend_the_time_to_run() -> None:
    tap = Tap()
    async with engine_of(tap.functions(), clock=now) as engine:
        invocation_id, reading = await opened(engine, {**LINGER, "deadline": 30.0})
        await passes(25)
        await reading.stop()
        second = await resumed(engine, invocation_id, 0)
        await passes(5.1)
        assert second.error is not None
        assert second.error.reason is Reason.TIMEOUT


@on_clockwork
async def test_what_still_runs_is_resumed_while_the_server_drains_and_lost_at_its_end() -> None:
    tap = Tap()
    async with engine_of(tap.functions(), clock=now) as engine:
        invocation_id, reading = await opened(engine)
        tap.open(1)
        await until(lambda: reading.values == [1])
        draining = asyncio.create_task(engine.drain(30))
        await turns()
        await reading.stop()
        second = await resumed(engine, invocation_id, 1)
        tap.open(1)
        await until(lambda: second.values == [2])
        await passes(29)
        await passes(2)
        await draining
        await second.rest()
        assert second.error is not None
        assert second.error.reason is Reason.INVOCATION_LOST


@on_a_loop
async def test_a_stream_that_ended_before_anybody_came_back_is_whole() -> None:
    # On threads, at full speed, and on the real clock.
    async with engine_of({"many_stream": lambda: range(900)}) as engine:
        reader: Reader = await begin(engine, "many_stream", fields=DETACH)
        reader.leave()
        with await engine.resume(reader.invocation.invocation_id, 0) as second:
            follower = await Follower(second).rest()
        assert follower.values == [*range(900)]
        assert await chunks_of(engine, "many_stream") == [*range(900)]
