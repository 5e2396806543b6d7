from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runagent_grpc.core.events import StreamChunks, StreamCompleted, StreamHeartbeat, StreamStarted
from runagent_grpc.values.payload import decode
from tests.engine.gates import Gate, Notes
from tests.engine.probe_entrypoints import entrypoint_threads, no_thread_is_new, stands_still
from tests.engine.running import begin, chunks_of, engine_of, result_of, summary
from tests.waiting import is_waiting, on_a_loop, soon, soon_true


def counting(count: int) -> Iterator[int]:
    yield from range(count)


async def counting_later(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


BOTH: dict[str, Callable[..., Any]] = {"sync_stream": counting, "async_stream": counting_later}
EACH = pytest.mark.parametrize("tag", BOTH)


@EACH
@on_a_loop
async def test_a_stream_starts_gives_its_chunks_in_order_and_completes(tag: str) -> None:
    async with engine_of(BOTH, heartbeat_interval=7.0) as engine:
        for count in (0, 1, 2, 1000):
            with await begin(engine, tag, count) as reader:
                started, *middle, completed = [event async for event in reader.events()]

            invocation = reader.invocation
            assert started == StreamStarted(invocation.invocation_id, invocation.start_time, 7.0)
            assert completed == StreamCompleted(count, reader.elapsed)
            assert reader.elapsed > 0
            assert invocation.chunk_count == count
            sequence = 1
            for event in middle:
                assert isinstance(event, StreamChunks)
                assert event.first_sequence == sequence
                assert [decode(payload) + 1 for payload in event.payloads] == [
                    *range(sequence, sequence + len(event.payloads))
                ]
                sequence += len(event.payloads)
            assert sequence == count + 1


@on_a_loop
async def test_the_first_chunk_is_handed_over_before_the_producer_goes_on() -> None:
    went_on, producers = Gate(), Notes()

    def items() -> Iterator[int]:
        producers.append(threading.get_ident())
        yield 1
        went_on.set()
        yield 2

    async with engine_of({"items_stream": items, "stands_still": stands_still}) as engine:
        with await begin(engine, "items_stream") as reader:
            events = reader.events()
            await anext(events)
            assert await anext(events) == StreamChunks(1, ["1"])
            await soon_true(lambda: result_of(engine, "stands_still", producers[0]))
            assert not went_on.is_set()

            assert await anext(events) == StreamChunks(2, ["2"])
            assert went_on.is_set()


@EACH
@on_a_loop
async def test_chunks_come_one_by_one_from_a_producer_that_is_slow(tag: str) -> None:
    gates = [Gate() for _ in range(5)]

    def slow() -> Iterator[int]:
        for number, gate in enumerate(gates):
            gate.wait()
            yield number

    async def slow_later() -> AsyncIterator[int]:
        for number, gate in enumerate(gates):
            await gate.wait_async()
            yield number

    async with engine_of({"sync_stream": slow, "async_stream": slow_later}) as engine:
        with await begin(engine, tag) as reader:
            events = reader.events()
            await anext(events)
            for number, gate in enumerate(gates):
                gate.set()
                assert await anext(events) == StreamChunks(number + 1, [str(number)])


@on_a_loop
async def test_chunks_that_were_ready_while_the_reader_was_busy_come_as_one() -> None:
    ready = Gate()

    def items() -> Iterator[int]:
        yield 1
        yield 2
        yield 3
        yield 4
        ready.set()

    async with engine_of({"items_stream": items}) as engine:
        with await begin(engine, "items_stream") as reader:
            events = reader.events()
            await anext(events)
            assert await anext(events) == StreamChunks(1, ["1"])
            second = await anext(events)
            assert isinstance(second, StreamChunks)
            await soon(ready.is_set)
            rest = [4 - number for number in range(3 - len(second.payloads))][::-1]
            assert [decode(payload) for payload in second.payloads] + rest == [2, 3, 4]

            following = [event async for event in events]

        chunks = [event for event in following if isinstance(event, StreamChunks)]
        assert len(chunks) == bool(rest)
        assert [decode(payload) for event in chunks for payload in event.payloads] == rest


class Ahead:
    """Streams that say how far ahead of their reader they are."""

    def __init__(self, chunk: str) -> None:
        self._chunk = chunk
        self.began = Gate()
        """The number of the last chunk."""
        self.thread = Gate()

    def sync(self) -> Iterator[str]:
        self.thread.set(threading.get_ident())
        for number in range(1, 1001):
            self.began.set(number)
            yield self._chunk

    async def later(self) -> AsyncIterator[str]:
        for number in range(1, 1001):
            self.began.set(number)
            yield self._chunk

    async def stands_still(self) -> bool:
        thread = self.thread.value
        return thread is None or is_waiting(thread)


@EACH
@pytest.mark.parametrize(
    ("window", "chunk", "ahead"),
    [
        ({"window_chunks": 1}, "", 1),
        ({"window_chunks": 5}, "x" * 100, 5),
        # The chunk that passes the limit is the last.
        ({"window_bytes": 1000}, "x" * 300, 4),
        ({"window_bytes": 10}, "x" * 300, 1),
        ({"window_bytes": 1000, "window_chunks": 3}, "é" * 150, 3),
    ],
    ids=str,
)
@on_a_loop
async def test_a_producer_is_no_further_ahead_than_the_window(
    tag: str, window: dict[str, Any], chunk: str, ahead: int
) -> None:
    stream = Ahead(chunk)
    functions = {"sync_stream": stream.sync, "async_stream": stream.later, "stands_still": stream.stands_still}
    async with engine_of(functions, **window) as engine:
        with await begin(engine, tag) as reader:
            events = reader.events()
            taken = 0
            for _ in range(6):
                event = await anext(events)
                taken += len(event.payloads) if isinstance(event, StreamChunks) else 0
            await soon(lambda: stream.began.value == taken + ahead)
            await soon_true(lambda: result_of(engine, "stands_still"))
            # A few more turns of the loop, in case it has not stopped but was only seen passing.
            for _ in range(5):
                await asyncio.sleep(0)

            assert stream.began.value == taken + ahead
        await soon(lambda: engine.active == 0)


@pytest.mark.parametrize("tag", ["sync_stream", "async_stream", "value_stream"])
@on_a_loop
async def test_a_silent_stream_gives_signs_of_life(tag: str) -> None:
    heard = Gate()

    def silent() -> Iterator[int]:
        heard.wait()
        yield 1

    async def silent_later() -> AsyncIterator[int]:
        await heard.wait_async()
        yield 1

    def value() -> int:
        heard.wait()
        return 1

    functions = {"sync_stream": silent, "async_stream": silent_later, "value_stream": value}
    async with engine_of(functions, heartbeat_interval=0.005) as engine:
        with await begin(engine, tag) as reader:
            beats = 0
            async for event in reader.events():
                if isinstance(event, StreamHeartbeat):
                    beats += 1
                    if beats == 3:
                        heard.set()
                elif isinstance(event, StreamChunks):
                    assert (event.first_sequence, beats >= 3) == (1, True)

    assert reader.invocation.chunk_count == 1


@on_a_loop
async def test_a_stream_that_is_not_silent_gives_none() -> None:
    async with engine_of(BOTH) as engine:
        for tag in BOTH:
            with await begin(engine, tag, 3) as reader:
                words = await summary(reader)
            assert words[:2] == ["started", "1-1"]
            assert words[-1] == "completed 3"
            assert "heartbeat" not in words


SLEEPING = 500

all_there = threading.Barrier(SLEEPING, timeout=25)
"""Nobody passes before all are there: streams that queued one after another would break it."""


def sleeping(number: int) -> Iterator[int]:
    yield number
    all_there.wait()
    yield -number


@on_a_loop
async def test_five_hundred_sleeping_streams_run_at_once() -> None:
    async with engine_of({"items_stream": sleeping, "threads": entrypoint_threads}, idle_seconds=0) as engine:
        known = await result_of(engine, "threads")
        streams = [chunks_of(engine, "items_stream", number) for number in range(SLEEPING)]

        assert await asyncio.gather(*streams) == [[number, -number] for number in range(SLEEPING)]
        await soon(lambda: engine.active == 0)
        await soon_true(lambda: no_thread_is_new(engine, known))


@on_a_loop
async def test_functions_that_block_hold_up_nothing_else() -> None:
    release = Gate()

    async with engine_of({"blocking": release.wait, "fine": lambda: "fine", **BOTH}) as engine:
        blocked = [asyncio.create_task(result_of(engine, "blocking")) for _ in range(50)]
        assert await result_of(engine, "fine") == "fine"
        assert await chunks_of(engine, "sync_stream", 3) == await chunks_of(engine, "async_stream", 3) == [0, 1, 2]
        assert engine.active >= 50
        release.set()

        assert await asyncio.gather(*blocked) == [True] * 50


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from([*BOTH]),
    st.integers(0, 60),
    st.integers(1, 9),
    st.integers(1, 30),
    st.lists(st.integers(0, 3), min_size=1, max_size=5),
    st.sampled_from([0.0, 0.0001, 15.0]),
)
def test_every_chunk_arrives_once_and_in_order_whatever_the_window_and_the_reader(
    tag: str, count: int, window_chunks: int, window_bytes: int, pauses: list[int], interval: float
) -> None:
    @on_a_loop
    async def check() -> None:
        window: dict[str, Any] = {
            "window_chunks": window_chunks,
            "window_bytes": window_bytes,
            "heartbeat_interval": interval,
        }
        chunks: list[int] = []
        async with engine_of(BOTH, **window) as engine:
            with await begin(engine, tag, count) as reader:
                async for event in reader.events():
                    if isinstance(event, StreamChunks):
                        assert event.first_sequence == len(chunks) + 1
                        assert 1 <= len(event.payloads) <= window_chunks
                        chunks += map(decode, event.payloads)
                    for _ in range(pauses[len(chunks) % len(pauses)]):
                        await asyncio.sleep(0)
                assert event == StreamCompleted(count, reader.elapsed)
        assert chunks == [*range(count)]

    check()
