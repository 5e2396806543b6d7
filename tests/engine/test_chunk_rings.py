"""What a buffer of chunks keeps, and how its readers take turns."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runagent_grpc.engine.chunks import ChunkBuffer
from runagent_grpc.engine.ring import ByteBudget, RingLimits
from runagent_grpc.errors import AbortedError, InvalidRequestError, Reason, ReplayExpiredError
from runagent_grpc.values.payload import Payload
from tests.waiting import on_a_loop

LONG = 3600.0


def ringed(chunks: int = 5, size: int = 1000, **options: Any) -> ChunkBuffer:
    options = {"window_chunks": 4, "window_bytes": 1000} | options
    return ChunkBuffer(asyncio.get_running_loop(), ring=RingLimits(chunks=chunks, bytes=size), **options)


def put(buffer: ChunkBuffer, *payloads: Payload) -> None:
    """Puts chunks that nobody has to wait for."""
    for payload in payloads:
        assert buffer.put(payload)


def kept(buffer: ChunkBuffer) -> list[Payload]:
    """Looks inside, for memory is what counts."""
    return [*buffer._chunks]


@on_a_loop
async def test_without_a_reader_a_producer_runs_on_and_the_newest_chunks_stay() -> None:
    buffer = ringed(chunks=5)
    put(buffer, *map(str, range(1, 101)))
    assert (buffer.count, kept(buffer)) == (100, ["96", "97", "98", "99", "100"])
    assert await buffer.attach(95).read(95, LONG) == ["96", "97", "98", "99", "100"]


@on_a_loop
async def test_a_ring_holds_so_many_bytes_and_the_newest_chunk_whatever_its_size() -> None:
    buffer = ringed(chunks=100, size=10)
    put(buffer, "aaaa", "bbbb", "é")
    assert kept(buffer) == ["aaaa", "bbbb", "é"]
    put(buffer, "c")
    assert kept(buffer) == ["bbbb", "é", "c"]
    put(buffer, "x" * 5000)
    assert kept(buffer) == ["x" * 5000]
    put(buffer, "d")
    assert kept(buffer) == ["d"]


@on_a_loop
async def test_without_a_ring_nothing_is_kept_of_what_nobody_reads() -> None:
    buffer = ChunkBuffer(asyncio.get_running_loop(), window_chunks=4, window_bytes=1000)
    buffer.attach(0).leave()
    put(buffer, *"abc")
    assert (kept(buffer), buffer.count) == ([], 3)
    assert buffer.sample() == (("a", "b", "c"), ())


@pytest.mark.parametrize(("after", "gone"), [(0, "from 1 to 5"), (4, "from 5 to 5"), (5, ""), (10, "")])
@on_a_loop
async def test_a_reader_is_let_in_where_the_next_chunk_is_there_or_yet_to_come(after: int, gone: str) -> None:
    buffer = ringed(chunks=5)
    put(buffer, *map(str, range(1, 11)))
    if gone:
        with pytest.raises(ReplayExpiredError, match=f"^The chunks {gone} are no longer kept.$"):
            buffer.attach(after)
        # Unless somebody else keeps them: then it is behind, until it has come to what is here.
        reader = buffer.attach(after, past_is_kept=True)
        assert [reader.is_behind(number) for number in (after, 4, 5)] == [True, True, False]
        assert await reader.read(5, LONG) == [*map(str, range(6, 11))]
    else:
        reader = buffer.attach(after)
        assert not reader.is_behind(after)
        buffer.finish()
        assert await reader.read(after, LONG) == [*map(str, range(after + 1, 11))]


@on_a_loop
async def test_a_reader_from_the_future_is_refused_and_disturbs_nobody() -> None:
    buffer = ringed()
    reader = buffer.attach(0)
    reading = asyncio.create_task(reader.read(0, LONG))
    await asyncio.sleep(0)
    with pytest.raises(InvalidRequestError) as caught:
        buffer.attach(1)
    assert caught.value.reason is Reason.INVALID_CURSOR
    assert not reader.is_replaced
    writing = asyncio.create_task(buffer.put_async("a"))
    assert await reading == ["a"]
    writing.cancel()


@on_a_loop
async def test_a_replaced_reader_hears_of_it_at_once_and_for_ever_and_its_leaving_changes_nothing() -> None:
    buffer = ringed()
    earlier = buffer.attach(0)
    waiting = asyncio.create_task(earlier.read(0, LONG))
    await asyncio.sleep(0)
    later = buffer.attach(0)
    assert (earlier.is_replaced, later.is_replaced) == (True, False)
    for read in (waiting, earlier.read(0, LONG), earlier.read(0, 0)):
        with pytest.raises(AbortedError) as caught:
            await read
        assert caught.value.reason is Reason.READER_REPLACED

    earlier.leave()
    assert not later.is_replaced
    reading = asyncio.create_task(later.read(0, LONG))
    writing = asyncio.create_task(buffer.put_async("a"))
    assert await reading == ["a"]
    # The first chunk was not handled yet.
    assert not writing.done()
    assert await later.read(1, 0) is None
    assert await writing


@on_a_loop
async def test_what_a_replaced_reader_says_that_it_handled_counts_no_more() -> None:
    buffer = ringed(chunks=1)
    put(buffer, "a")
    earlier = buffer.attach(0)
    assert await earlier.read(0, LONG) == ["a"]
    later = buffer.attach(0)
    with pytest.raises(AbortedError):
        await earlier.read(1, LONG)
    assert await later.read(0, LONG) == ["a"]


@on_a_loop
async def test_the_window_holds_again_once_somebody_reads() -> None:
    buffer = ringed(chunks=100, window_chunks=4)
    put(buffer, *map(str, range(1, 21)))
    reader = buffer.attach(10)
    writing = asyncio.create_task(buffer.put_async("21"))
    await asyncio.sleep(0)
    assert not writing.done()
    assert await reader.read(10, LONG) == [*map(str, range(11, 22))]
    assert await writing


@on_a_loop
async def test_a_producer_that_waits_at_the_window_runs_on_when_the_reader_leaves() -> None:
    buffer = ringed(chunks=2)
    reader = buffer.attach(0)
    writing = asyncio.create_task(buffer.put_async("1"))
    await asyncio.sleep(0)
    assert not writing.done()
    reader.leave()
    assert await writing
    put(buffer, "2", "3", "4")
    assert kept(buffer) == ["3", "4"]


@on_a_loop
async def test_chunks_that_were_handled_stay_in_the_ring() -> None:
    buffer = ringed(chunks=3, window_chunks=50)
    put(buffer, "1")
    reader = buffer.attach(0)
    for number in range(1, 9):
        assert await reader.read(number - 1, LONG) == [str(number)]
        # Says that it was handled.
        assert await reader.read(number, 0) is None
        await buffer.put_async(str(number + 1))
    assert kept(buffer) == ["6", "7", "8", "9"]
    # Three, and the one that nobody has handled: it does not stand for them.
    assert await reader.read(8, LONG) == ["9"]
    assert await reader.read(9, 0) is None
    assert kept(buffer) == ["7", "8", "9"]


@on_a_loop
async def test_what_is_forgotten_is_gone_but_for_the_reader_who_is_there() -> None:
    buffer = ringed(chunks=50, window_chunks=50)
    put(buffer, *"abcdef")
    reader = buffer.attach(2)
    buffer.close()
    buffer.finish()
    buffer.forget()
    assert kept(buffer) == [*"cdef"]
    with pytest.raises(ReplayExpiredError):
        buffer.attach(1)
    assert await reader.read(2, LONG) == [*"cdef"]
    assert await reader.read(6, LONG) == []
    assert kept(buffer) == []
    reader.leave()
    buffer.forget()
    assert await buffer.attach(6).read(6, LONG) == []


@on_a_loop
async def test_what_is_forgotten_goes_with_the_reader_who_leaves_it_unread() -> None:
    buffer = ringed(chunks=50, window_chunks=50)
    put(buffer, *"abcdef")
    reader = buffer.attach(2)
    buffer.close()
    buffer.forget()
    reader.leave()
    assert kept(buffer) == []


@on_a_loop
async def test_a_journal_hears_of_every_chunk_in_order_and_before_any_reader() -> None:
    heard: list[tuple[int, Payload]] = []
    buffer = ringed(chunks=2, on_chunk=lambda sequence, payload: heard.append((sequence, payload)))
    reader = buffer.attach(0)
    reading = asyncio.create_task(reader.read(0, LONG))
    await asyncio.sleep(0)
    writing = asyncio.create_task(buffer.put_async("a"))
    assert await reading == ["a"]
    assert heard == [(1, "a")]
    reader.leave()
    assert await writing
    put(buffer, *"bcd")
    buffer.close()
    # Nobody wants it, and nobody hears of it.
    assert not buffer.put("e")
    assert heard == [(1, "a"), (2, "b"), (3, "c"), (4, "d")]


KIB = 1024


@on_a_loop
async def test_the_budget_knows_what_is_kept_and_what_is_let_go() -> None:
    budget = ByteBudget(10_000 * KIB)
    buffers = [ringed(chunks=10, size=1000 * KIB, budget=budget) for _ in range(3)]
    for buffer in buffers:
        for _ in range(20):
            put(buffer, "x" * 100 * KIB)
        assert len(kept(buffer)) == 10
    # As far as a step goes for each of them.
    assert 3 * (1000 - 64) * KIB <= budget.used <= 3 * (1000 + 64 + 100) * KIB
    for buffer in buffers:
        buffer.close()
        buffer.forget()
    assert budget.used == 0


@on_a_loop
async def test_over_the_budget_a_stream_keeps_what_it_must() -> None:
    told: list[int] = []
    budget = ByteBudget(200 * KIB)
    budget.on_exceeded = lambda: told.append(budget.used)
    buffer = ringed(chunks=100, size=10_000 * KIB, budget=budget)
    for number in range(10):
        put(buffer, chr(ord("a") + number) * 100 * KIB)
        assert budget.used <= 300 * KIB
    assert told
    # The newest, and what has not been handled while somebody reads.
    assert len(kept(buffer)) <= 2
    reader = buffer.attach(buffer.count)
    for letter in "xyz":
        writing = asyncio.create_task(buffer.put_async(letter * 100 * KIB))
        await asyncio.sleep(0)
        writing.cancel()
    assert await reader.read(10, LONG) == ["x" * 100 * KIB]
    assert await reader.read(11, LONG) == ["y" * 100 * KIB]


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 60)),
        st.tuples(st.just("attach"), st.floats(0, 1)),
        st.tuples(st.just("read"), st.just(0)),
        st.tuples(st.just("leave"), st.just(0)),
    ),
    max_size=80,
)


@settings(deadline=None)
@given(OPERATIONS, st.integers(1, 8), st.integers(1, 100), st.integers(10, 200))
def test_whoever_reads_sees_every_chunk_behind_its_cursor_whatever_is_kept(
    operations: list[tuple[str, Any]], ring_chunks: int, ring_bytes: int, limit: int
) -> None:
    @on_a_loop
    async def check() -> None:
        budget = ByteBudget(limit)
        buffer = ringed(chunks=ring_chunks, size=ring_bytes, budget=budget, window_chunks=3, window_bytes=80)
        produced: list[Payload] = []
        reader, cursor = None, 0
        writing: asyncio.Future[bool] | None = None
        for operation, value in operations:
            if operation == "put" and (writing is None or writing.done()):
                produced.append(str(len(produced)) * value)
                writing = asyncio.ensure_future(buffer.put_async(produced[-1]))
            elif operation == "attach":
                after = round(value * len(produced))
                try:
                    reader, cursor = buffer.attach(after), after
                except ReplayExpiredError:
                    assert after < len(produced) - 1
            elif operation == "read" and reader is not None:
                chunks = await reader.read(cursor, 0) or []
                assert chunks == produced[cursor : cursor + len(chunks)]
                assert chunks or cursor == len(produced)
                cursor += len(chunks)
            elif operation == "leave" and reader is not None:
                reader.leave()
                reader = None
            await asyncio.sleep(0)
            assert buffer.count == len(produced)
            assert kept(buffer) == produced[len(produced) - len(kept(buffer)) :]
            if reader is None:
                assert (writing is None) or writing.done()
        buffer.close()
        await asyncio.sleep(0)
        buffer.forget()
        if reader is not None:
            reader.leave()
        assert (kept(buffer), budget.used, buffer._kept_bytes) == ([], 0, 0)

    check()


def test_a_budget_adds_up_and_tells_when_it_is_exceeded() -> None:
    told: list[int] = []
    budget = ByteBudget(100)
    budget.on_exceeded = lambda: told.append(budget.used)
    for size in (60, 40, 1, -50, 49, 10, -110):
        budget.account(size)
    assert (told, budget.used, budget.exceeded) == ([101, 110], 0, False)
