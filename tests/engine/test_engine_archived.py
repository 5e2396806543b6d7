"""What the engine remembers no more, or never knew, and the archive does."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from runagent_grpc.core.call import Call
from runagent_grpc.core.events import StreamStarted
from runagent_grpc.core.invocation import InvocationRecord, InvocationState
from runagent_grpc.engine import Reader
from runagent_grpc.engine.requests import fingerprint_of
from runagent_grpc.errors import (
    AbortedError,
    ConflictError,
    DeadlineExceededError,
    ExecutionFailedError,
    InvalidRequestError,
    Reason,
    ReplayExpiredError,
    RunAgentError,
    UnavailableError,
)
from runagent_grpc.values.payload import Json, decode
from tests.engine.fake_clock import on_clockwork, passes, turns, until
from tests.engine.fake_journal import Shelf, record_of
from tests.engine.gated_generators import DETACH, TAGS, Tap, now, opened, refused, resumed
from tests.engine.gates import Notes
from tests.engine.running import begin, call_of, chunks_of, engine_of, read_all, result_of, summary
from tests.waiting import on_a_loop

LOST = AbortedError("The server stopped before the invocation ended.")


@pytest.mark.parametrize("after", [0, 1, 4, 7])
@on_a_loop
async def test_a_stream_of_an_earlier_process_is_replayed_from_the_journal(after: int) -> None:
    shelf, tap = Shelf(), Tap()
    shelf.journaled["an-id"] = [Json(str(number)) for number in range(1, 8)]
    record = record_of(InvocationState.COMPLETED, chunk_count=7)
    shelf.keep(record)
    async with engine_of(tap.functions(), store=shelf, heartbeat_interval=7.0) as engine:
        reading = await (await resumed(engine, "an-id", after)).rest()

        assert reading.started == StreamStarted("an-id", record.start_time, 7.0)
        assert reading.chunks == [(number, number) for number in range(after + 1, 8)]
        assert reading.completed is not None
        assert (reading.completed.chunk_count, reading.completed.elapsed) == (7, 1.5)
        assert (await refused(engine, "an-id", 8)).reason is Reason.INVALID_CURSOR
        assert (await refused(engine, "an-id", -1)).field == "after_sequence"
        assert (await refused(engine, "an-id", 0, owner="two")).reason is Reason.INVOCATION_NOT_FOUND
    assert tap.runs == 0


@pytest.mark.parametrize("journaled", [0, 5])
@on_a_loop
async def test_what_was_lost_with_its_process_gives_what_was_journaled_and_then_says_so(journaled: int) -> None:
    shelf = Shelf(page=2)
    shelf.journaled["an-id"] = [Json(str(number)) for number in range(1, journaled + 1)]
    shelf.keep(record_of(InvocationState.LOST, error=LOST))
    async with engine_of(Tap().functions(), store=shelf) as engine:
        # The last cursor is beyond what reached the disk in time.
        for after in (0, journaled, journaled + 1):
            reading = await (await resumed(engine, "an-id", after)).rest()
            assert reading.values == [*range(after + 1, journaled + 1)]
            assert reading.error is not None
            assert reading.error.reason is Reason.INVOCATION_LOST


@on_a_loop
async def test_a_stream_that_failed_gives_its_chunks_and_the_same_error_from_the_journal() -> None:
    shelf = Shelf()
    shelf.journaled["an-id"] = [Json("1"), Json("2")]
    shelf.keep(record_of(InvocationState.FAILED, chunk_count=2, error=ExecutionFailedError("no good")))
    async with engine_of(Tap().functions(), store=shelf) as engine:
        reading = await (await resumed(engine, "an-id", 1)).rest()
    assert (reading.values, reading.error and reading.error.message) == ([2], "no good")


@on_a_loop
async def test_a_stream_whose_chunks_were_never_journaled_says_that_they_are_gone() -> None:
    shelf = Shelf()
    shelf.keep(record_of(InvocationState.COMPLETED, chunk_count=7))
    async with engine_of(Tap().functions(), store=shelf) as engine:
        assert (await refused(engine, "an-id", 3)).reason is Reason.REPLAY_EXPIRED
        reading = await (await resumed(engine, "an-id", 7)).rest()
    assert (reading.values, reading.completed is not None) == ([], True)


@on_a_loop
async def test_a_journal_that_breaks_off_is_no_complete_stream() -> None:
    shelf = Shelf()
    shelf.journaled["an-id"] = [Json("1"), Json("2")]
    shelf.keep(record_of(InvocationState.COMPLETED, chunk_count=7))
    async with engine_of(Tap().functions(), store=shelf) as engine:
        reading = await (await resumed(engine, "an-id", 0)).rest()
    assert reading.values == [1, 2]
    assert isinstance(reading.error, ReplayExpiredError)
    assert reading.error.message == "The chunks from 3 to 7 are no longer kept."


@on_a_loop
async def test_what_runs_on_another_server_is_for_that_one_to_tell() -> None:
    shelf = Shelf()
    call = Call(entrypoint_tag="async_stream", request_id="r")
    shelf.keep(record_of(InvocationState.RUNNING, request_id="r", fingerprint=await fingerprint_of(call)))
    async with engine_of(Tap().functions(), store=shelf) as engine:
        error: RunAgentError = await refused(engine, "an-id", 0)
        assert (type(error), error.retry_after is not None) == (UnavailableError, True)
        with pytest.raises(UnavailableError, match="runs on another server"):
            await engine.start(call, streaming=True)


@on_a_loop
async def test_a_value_that_another_server_works_on_is_waited_for() -> None:
    shelf = Shelf()
    ran: list[str] = []
    call = call_of("shout", "hey", fields={"request_id": "r"})
    record = record_of(InvocationState.RUNNING, tag="shout", request_id="r", fingerprint=await fingerprint_of(call))
    outcomes: list[tuple[InvocationState, RunAgentError | None]] = [
        (InvocationState.COMPLETED, None),
        (InvocationState.LOST, LOST),
    ]
    async with engine_of({"shout": ran.append}, store=shelf) as engine:
        for state, error in outcomes:
            shelf.keep(record)
            with await engine.start(call, streaming=False) as reader:
                waiting = asyncio.ensure_future(reader.result())
                await turns()
                assert not waiting.done()
                shelf.keep(replace(record, state=state, error=error), result=None if error else "HEY")
                if error is None:
                    assert await waiting == "HEY"
                else:
                    with pytest.raises(AbortedError):
                        await waiting
                assert (reader.invocation_id, reader.invocation.state) == (record.invocation_id, state)
    assert ran == []


@pytest.mark.parametrize("tag", ["shout", "shout_stream"])
@on_a_loop
async def test_nobody_waits_for_another_server_longer_than_the_call_may_take(tag: str) -> None:
    shelf = Shelf()
    call = call_of(tag, "hey", fields={"request_id": "r", "run_timeout": 0.05})
    shelf.keep(record_of(InvocationState.RUNNING, tag=tag, request_id="r", fingerprint=await fingerprint_of(call)))
    streaming = tag == "shout_stream"
    async with engine_of({"shout": str, "shout_stream": str}, store=shelf, journal=shelf) as engine:
        reader = await engine.start(call, streaming=streaming)
        with reader, pytest.raises(DeadlineExceededError, match="runs on another server"):
            await (read_all(reader, []) if streaming else reader.result())


@on_a_loop
async def test_a_call_that_is_refused_gives_its_claim_back() -> None:
    shelf = Shelf()
    async with engine_of({"shout": str.upper}, store=shelf) as engine:
        with pytest.raises(InvalidRequestError):
            await begin(engine, "shout", "too", "many", fields={"request_id": "r"})
        assert shelf.released == ["r"]
        assert await result_of(engine, "shout", "hey", fields={"request_id": "r"}) == "HEY"
        assert shelf.released == ["r"]


class Taken(Shelf):
    """An archive in which another server has every request, and starts none."""

    async def claim(self, record: InvocationRecord, *, patience: float | None = None) -> InvocationRecord | None:
        async with asyncio.timeout(patience):
            await asyncio.Event().wait()
        return None


@on_a_loop
async def test_nobody_waits_for_another_servers_queue_longer_than_the_call_may_take() -> None:
    async with engine_of({"shout": str}, store=Taken()) as engine:
        with pytest.raises(DeadlineExceededError, match="waits on another server"):
            await result_of(engine, "shout", "hey", fields={"request_id": "r", "run_timeout": 0.05})
        assert engine.running == 0


@on_clockwork
async def test_a_stream_that_another_server_journals_is_followed_to_its_end() -> None:
    shelf = Shelf()
    call = Call(entrypoint_tag="async_stream", request_id="r")
    record = record_of(InvocationState.RUNNING, request_id="r", fingerprint=await fingerprint_of(call))
    shelf.keep(record)
    shelf.journaled["an-id"] = [Json("1"), Json("2")]
    async with engine_of(Tap().functions(), store=shelf, journal=shelf, heartbeat_interval=5.0) as engine:
        words: list[str] = []

        async def follow(reader: Reader) -> None:
            with reader:
                words.extend(await summary(reader))

        following = asyncio.ensure_future(follow(await engine.start(call, streaming=True)))
        resuming = await resumed(engine, "an-id", 1)
        for _ in range(2):
            await turns()
            await passes(5)
        await turns()
        shelf.journaled["an-id"] += [Json("3"), Json("4")]
        await passes(2)
        shelf.journaled["an-id"].append(Json("5"))
        shelf.keep(replace(record, state=InvocationState.COMPLETED, chunk_count=5))
        await until(following.done)
        await resuming.rest()
    assert words == ["started", "1-2", "heartbeat", "heartbeat", "3-4", "5-5", "completed 5"]
    assert resuming.values == [2, 3, 4, 5]
    assert resuming.completed is not None


@on_a_loop
async def test_a_value_of_an_earlier_process_has_no_stream() -> None:
    shelf = Shelf()
    shelf.keep(record_of(InvocationState.COMPLETED, tag="plain"))
    async with engine_of(Tap().functions(), store=shelf) as engine:
        assert (await refused(engine, "an-id", 0)).reason is Reason.NON_STREAM_ENTRYPOINT


@pytest.mark.parametrize("tag", TAGS)
@on_clockwork
async def test_the_journal_hears_of_every_chunk_that_may_be_asked_for_again(tag: str) -> None:
    every: list[tuple[dict[str, Any], list[int]]] = [
        (DETACH, [1, 2, 3]),
        ({"request_id": "r"}, [1, 2, 3]),
        ({}, []),
    ]
    for fields, journaled in every:
        shelf, tap = Shelf(), Tap()
        async with engine_of(tap.functions(), store=shelf, journal=shelf, clock=now) as engine:
            invocation_id, reading = await opened(engine, fields, tag)
            tap.open(3)
            tap.end()
            await until(lambda reading=reading: reading.over)  # type: ignore[misc]
            assert [decode(payload) for payload in shelf.journaled[invocation_id]] == journaled


@pytest.mark.parametrize("page", [1, 7, 1000])
@pytest.mark.parametrize("tag", TAGS)
@on_clockwork
async def test_what_the_ring_let_go_of_comes_from_the_journal_while_the_stream_runs(tag: str, page: int) -> None:
    shelf, tap = Shelf(page=page), Tap()
    async with engine_of(
        tap.functions(), store=shelf, journal=shelf, ring_chunks=4, window_chunks=3, clock=now
    ) as engine:
        invocation_id, first = await opened(engine, DETACH, tag)
        await turns()
        await first.stop()
        tap.open(50)
        await until(lambda: len(shelf.journaled[invocation_id]) == 50)

        second = await resumed(engine, invocation_id, 10)
        await until(lambda: len(second.chunks) == 40)
        # One alone has to wake the reader, too.
        tap.open(1)
        await until(lambda: len(second.chunks) == 41)
        tap.open(99)
        await until(lambda: len(second.chunks) == 140)
        tap.end()
        await until(lambda: second.over)
        assert second.chunks == [(number, number) for number in range(11, 151)]
        assert second.completed is not None

        # And when it has ended, and when it has ended long ago.
        for seconds in (0, 100):
            await passes(seconds)
            third = await resumed(engine, invocation_id, 20)
            await until(lambda third=third: third.over)  # type: ignore[misc]
            assert third.values == [*range(21, 151)]
            assert third.completed is not None


@on_clockwork
async def test_a_producer_waits_while_its_reader_catches_up_from_the_journal() -> None:
    shelf, tap = Shelf(page=2), Tap()
    async with engine_of(
        tap.functions(), store=shelf, journal=shelf, ring_chunks=4, window_chunks=3, clock=now
    ) as engine:
        invocation_id, first = await opened(engine, DETACH)
        await turns()
        await first.stop()
        tap.open(20)
        await until(lambda: len(shelf.journaled[invocation_id]) == 20)
        second = await resumed(engine, invocation_id, 0)
        second.pause = asyncio.Event()
        await until(lambda: second.started)
        tap.open(1000)
        # One more chunk than it had, which it was about to produce when the reader came.
        await until(lambda: len(shelf.journaled[invocation_id]) == 21)
        await turns(200)
        assert len(shelf.journaled[invocation_id]) == 21
        second.pause.set()
        tap.end()
        await second.rest()
        assert second.values == [*range(1, 1021)]


@on_clockwork
async def test_a_reader_that_is_replaced_while_it_reads_from_the_journal_ends() -> None:
    shelf, tap = Shelf(page=2), Tap()
    async with engine_of(
        tap.functions(), store=shelf, journal=shelf, ring_chunks=4, window_chunks=3, clock=now
    ) as engine:
        invocation_id, first = await opened(engine, DETACH)
        await turns()
        await first.stop()
        tap.open(30)
        await until(lambda: len(shelf.journaled[invocation_id]) == 30)
        second = await resumed(engine, invocation_id, 0)
        second.pause = asyncio.Event()
        await until(lambda: second.started)
        third = await resumed(engine, invocation_id, 0)
        second.pause.set()
        tap.end()
        await third.rest()
        await second.rest()
        assert third.values == [*range(1, 31)]
        assert second.error is not None
        assert second.error.reason is Reason.READER_REPLACED


@on_clockwork
async def test_a_stream_of_ours_whose_chunks_are_gone_says_so_though_the_archive_knows_that_it_runs() -> None:
    shelf, tap = Shelf(), Tap()
    async with engine_of(tap.functions(), store=shelf, ring_chunks=2, clock=now) as engine:
        invocation_id, reading = await opened(engine, DETACH)
        await turns()
        await reading.stop()
        tap.open(10)
        await until(lambda: engine._lookup.active(invocation_id, "").chunks.count == 10)  # type: ignore[union-attr]
        shelf.keep(record_of(InvocationState.RUNNING, invocation_id=invocation_id))

        error = await refused(engine, invocation_id, 0)
        assert error.reason is Reason.REPLAY_EXPIRED
        assert error.message == "The chunks from 1 to 8 are no longer kept."


@on_a_loop
async def test_a_request_of_an_earlier_process_gets_its_outcome_and_runs_nothing() -> None:
    shelf = Shelf()
    ran = Notes()
    call = call_of("shout", "hey", fields={"request_id": "r", "owner": "one"})
    functions = {"shout": ran.append, "shout_stream": ran.append}
    outcomes = [(InvocationState.COMPLETED, None), (InvocationState.LOST, LOST)]
    async with engine_of(functions, store=shelf) as engine:
        for state, error in outcomes:
            record = record_of(
                state, tag="shout", owner="one", request_id="r", fingerprint=await fingerprint_of(call), error=error
            )
            shelf.keep(record, result=None if error else "HEY")
            with await engine.start(call, streaming=False) as reader:
                assert reader.invocation_id == record.invocation_id
                if error is None:
                    assert (await reader.result(), reader.elapsed) == ("HEY", 1.5)
                else:
                    with pytest.raises(AbortedError):
                        await reader.result()
        with pytest.raises(ConflictError) as caught:
            await begin(engine, "shout", "ho", fields={"request_id": "r", "owner": "one"})
        assert caught.value.reason is Reason.REQUEST_ID_REUSED
    assert ran.values == []


@on_a_loop
async def test_a_request_whose_result_is_gone_is_not_run_again() -> None:
    shelf = Shelf()
    ran = Notes()
    call = call_of("shout", "hey", fields={"request_id": "r"})
    shelf.keep(
        record_of(InvocationState.COMPLETED, tag="shout", request_id="r", fingerprint=await fingerprint_of(call))
    )
    async with engine_of({"shout": ran.append}, store=shelf) as engine:
        with await engine.start(call, streaming=False) as reader, pytest.raises(ReplayExpiredError):
            await reader.result()
    assert ran.values == []


@on_a_loop
async def test_the_archive_is_asked_for_what_may_be_there_alone() -> None:
    shelf = Shelf()
    async with engine_of({"two": lambda: 2, "two_stream": lambda: [2]}, store=shelf) as engine:
        assert await result_of(engine, "two") == 2
        assert await chunks_of(engine, "two_stream") == [2]
        assert shelf.asked == []
        for _ in range(2):
            assert await result_of(engine, "two", fields={"request_id": "r", "owner": "one"}) == 2
        assert shelf.asked == [("one", "test-agent", "r")]


@on_clockwork
async def test_a_reader_that_leaves_in_the_middle_of_the_journal_leaves_nothing_behind() -> None:
    shelf = Shelf(page=1)
    shelf.journaled["an-id"] = [Json("1"), Json("2"), Json("3")]
    shelf.keep(record_of(InvocationState.COMPLETED, chunk_count=3))
    asyncio.get_running_loop().set_debug(True)
    async with engine_of(Tap().functions(), store=shelf) as engine:
        tasks = asyncio.all_tasks()
        with await engine.resume("an-id", 0) as reader:
            events = reader.events()
            await anext(events)
            await anext(events)
            await events.aclose()
        assert asyncio.all_tasks() == tasks
        await turns(1)
        assert asyncio.all_tasks() == tasks
