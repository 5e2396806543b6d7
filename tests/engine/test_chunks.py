from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runagent_grpc.engine.chunks import ChunkBuffer
from runagent_grpc.values.payload import Json, Payload, TruncatedPayload
from tests.waiting import is_waiting, on_a_loop, soon

LONG = 3600.0
"""A time that no test reaches."""


class Buffer(ChunkBuffer):
    """A buffer with a reader."""

    def __init__(self, **options: Any) -> None:
        super().__init__(asyncio.get_running_loop(), **options)
        self.reader = self.attach(0)


def buffer_of(window_chunks: int = 4, window_bytes: int = 1000, **options: Any) -> Buffer:
    return Buffer(window_chunks=window_chunks, window_bytes=window_bytes, **options)


class Producer:
    """Puts numbered chunks from a thread of its own, until it is told that nobody wants any more."""

    def __init__(self, buffer: Buffer, payloads: list[Payload]) -> None:
        self._buffer = buffer
        self._payloads = payloads
        self.began = 0
        """How many chunks it set out to put."""
        self.refused_at = 0
        """With which chunk it heard that nobody wants more."""
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        for number, payload in enumerate(self._payloads, start=1):
            self.began = number
            if not self._buffer.put(payload):
                self.refused_at = number
                return

    @property
    def stands_still(self) -> bool:
        return self.thread.ident is not None and is_waiting(self.thread.ident)

    @property
    def ended(self) -> bool:
        return not self.thread.is_alive()


@contextmanager
def producing(buffer: Buffer, payloads: list[Payload]) -> Iterator[Producer]:
    """A thread that puts `payloads`, and that has ended when the block ends."""
    producer = Producer(buffer, payloads)
    producer.thread.start()
    try:
        yield producer
    finally:
        buffer.close()
        producer.thread.join(timeout=10)
    assert producer.ended


def letters(count: int, size: int = 1) -> list[Payload]:
    return [chr(ord("a") + number % 26) * size for number in range(count)]


@on_a_loop
async def test_the_first_chunk_is_handed_over_before_the_producer_goes_on() -> None:
    buffer = buffer_of()
    with producing(buffer, letters(3)) as producer:
        assert await buffer.reader.read(0, LONG) == ["a"]
        await soon(lambda: producer.stands_still)
        # Taken is not delivered yet.
        assert (producer.began, buffer.count) == (1, 1)

        assert await buffer.reader.read(1, LONG) is not None
        await soon(lambda: producer.began == 3)


@pytest.mark.parametrize("window", [1, 2, 7])
@on_a_loop
async def test_a_producer_stops_at_the_window(window: int) -> None:
    buffer = buffer_of(window_chunks=window)
    with producing(buffer, letters(100)) as producer:
        taken = 0
        for _ in range(5):
            taken += len(await buffer.reader.read(taken, LONG) or ())
        await soon(lambda: producer.stands_still and buffer.count == taken + window)

        assert taken + window < 100
        await turns()
        assert buffer.count == producer.began == taken + window


@on_a_loop
async def test_a_producer_stops_at_the_windows_bytes() -> None:
    buffer = buffer_of(window_chunks=1000, window_bytes=100)
    with producing(buffer, letters(100, size=30)) as producer:
        assert await buffer.reader.read(0, LONG) == ["a" * 30]
        taken = 1 + len(await buffer.reader.read(1, LONG) or ())
        # The chunk that passes the limit is the last.
        await soon(lambda: producer.stands_still and buffer.count == taken + 4)

        await turns()
        assert buffer.count == producer.began == taken + 4


@on_a_loop
async def test_a_batch_is_what_was_produced_in_the_meantime() -> None:
    buffer = buffer_of(window_chunks=3)
    with producing(buffer, letters(9)):
        assert await buffer.reader.read(0, LONG) == ["a"]
        taken = 1 + len(await buffer.reader.read(1, LONG) or ())
        await soon(lambda: buffer.count == min(taken + 3, 9))

        assert await buffer.reader.read(taken, LONG) == letters(9)[taken : taken + 3]


@on_a_loop
async def test_a_batch_holds_no_more_bytes_than_the_window_but_at_least_one_chunk() -> None:
    buffer = buffer_of(window_chunks=100, window_bytes=10)
    sizes = [1, 4, 5, 30, 9, 1, 1]
    payloads: list[Payload] = ["é" * (size // 2) + "x" * (size % 2) for size in sizes]
    batches = []
    with producing(buffer, payloads) as producer:
        await soon(lambda: producer.stands_still)
        taken = 0
        while taken < len(payloads):
            batch = await buffer.reader.read(taken, LONG)
            assert batch
            batches.append([len(str(payload).encode()) for payload in batch])
            taken += len(batch)
            await soon(lambda: producer.stands_still or producer.ended)

    assert [size for batch in batches for size in batch] == sizes
    assert all(sum(batch) <= 10 or len(batch) == 1 for batch in batches)


@on_a_loop
async def test_silence_is_told_and_loses_nothing() -> None:
    buffer = buffer_of()

    assert await buffer.reader.read(0, 0.001) is None
    assert await buffer.reader.read(0, 0) is None
    with producing(buffer, letters(1)):
        assert await buffer.reader.read(0, LONG) == ["a"]
        assert await buffer.reader.read(1, 0.001) is None


@on_a_loop
async def test_the_end_comes_after_all_chunks_and_is_told_again() -> None:
    buffer = buffer_of(window_chunks=10)
    with producing(buffer, letters(4)) as producer:
        assert await buffer.reader.read(0, LONG) == ["a"]
        await soon(lambda: producer.stands_still)
        read = asyncio.create_task(buffer.reader.read(1, LONG))
        await soon(lambda: producer.ended)
        buffer.finish()

        batch = await read
        assert batch
        rest = await buffer.reader.read(1 + len(batch), LONG)
        assert [*batch, *(rest or ())] == letters(4)[1:]
        for _ in range(2):
            assert await buffer.reader.read(4, LONG) == []


@on_a_loop
async def test_the_end_wakes_a_waiting_reader() -> None:
    buffer = buffer_of()
    read = asyncio.create_task(buffer.reader.read(0, LONG))
    await asyncio.sleep(0)

    buffer.finish()

    assert await read == []


@on_a_loop
async def test_closing_lets_a_waiting_producer_go_and_keeps_what_was_there() -> None:
    buffer = buffer_of(window_chunks=2)
    with producing(buffer, letters(50)) as producer:
        assert await buffer.reader.read(0, LONG) == ["a"]
        await soon(lambda: producer.stands_still)
        buffer.close()
        await soon(lambda: producer.ended)

        assert producer.refused_at == 1
        assert buffer.count == 1
        buffer.finish()
        assert await buffer.reader.read(1, LONG) == []


@on_a_loop
async def test_nothing_is_kept_of_what_is_put_after_the_close() -> None:
    buffer = buffer_of()
    buffer.close()

    assert not buffer.put("a")
    assert not await buffer.put_async("b")
    assert buffer.count == 0


async def put_all(buffer: Buffer, payloads: list[Payload]) -> int:
    """Puts payloads from the event loop, and returns how many were wanted."""
    for number, payload in enumerate(payloads):
        if not await buffer.put_async(payload):
            return number
    return len(payloads)


async def turns(count: int = 5) -> None:
    """Lets everything on the loop run that can."""
    for _ in range(count):
        await asyncio.sleep(0)


@on_a_loop
async def test_a_producer_on_the_loop_obeys_the_same_window() -> None:
    buffer = buffer_of(window_chunks=3)
    producer = asyncio.create_task(put_all(buffer, letters(10)))
    await turns()
    assert buffer.count == 1
    assert await buffer.reader.read(0, LONG) == ["a"]
    await turns()
    assert buffer.count == 1
    read = asyncio.create_task(buffer.reader.read(1, LONG))
    await turns()

    assert await read == ["b", "c", "d"]
    assert buffer.count == 7
    buffer.close()
    assert await producer == 6


@on_a_loop
async def test_a_producer_on_the_loop_can_be_cancelled_while_it_waits() -> None:
    buffer = buffer_of()
    producer = asyncio.create_task(put_all(buffer, letters(10)))
    await turns()

    producer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await producer

    buffer.finish()
    assert await buffer.reader.read(0, LONG) == ["a"]
    assert await buffer.reader.read(1, LONG) == []


@on_a_loop
async def test_a_reader_that_is_cancelled_while_it_waits_can_read_again() -> None:
    buffer = buffer_of()
    read = asyncio.create_task(buffer.reader.read(0, LONG))
    await turns()
    read.cancel()
    with pytest.raises(asyncio.CancelledError):
        await read

    with producing(buffer, letters(1)):
        assert await buffer.reader.read(0, LONG) == ["a"]


SIZES = st.lists(st.integers(0, 40), max_size=120)
PAUSES = st.lists(st.integers(0, 3), min_size=1, max_size=8)


async def read_everything(buffer: Buffer, count: int, pauses: list[int], patience: float) -> list[Payload]:
    """Reads `count` chunks, and is busy in between for as many turns of the loop as `pauses` says."""
    chunks: list[Payload] = []
    reads = 0
    while len(chunks) < count:
        batch = await buffer.reader.read(len(chunks), patience)
        assert batch != []
        chunks += batch or ()
        reads += 1
        await turns(pauses[reads % len(pauses)])
    return chunks


def numbered(sizes: list[int]) -> list[Payload]:
    payloads: list[Payload] = [f"{number}:".ljust(size, ".") for number, size in enumerate(sizes)]
    return payloads


@settings(deadline=None)
@given(SIZES, st.integers(1, 9), st.integers(1, 99), PAUSES, st.sampled_from([0.0, 0.0001, LONG]))
def test_no_chunk_is_lost_repeated_or_reordered_between_threads(
    sizes: list[int], window_chunks: int, window_bytes: int, pauses: list[int], patience: float
) -> None:
    @on_a_loop
    async def check() -> None:
        buffer, payloads = buffer_of(window_chunks, window_bytes), numbered(sizes)
        with producing(buffer, payloads) as producer:
            assert await read_everything(buffer, len(payloads), pauses, patience) == payloads
            if payloads:
                assert await buffer.reader.read(len(payloads), 0) is None
            await soon(lambda: producer.ended)
            buffer.finish()
            assert await buffer.reader.read(len(payloads), LONG) == []
            assert (producer.refused_at, buffer.count) == (0, len(payloads))

    check()


@settings(deadline=None)
@given(SIZES, st.integers(1, 9), st.integers(1, 99), PAUSES, st.sampled_from([0.0, 0.0001, LONG]))
def test_no_chunk_is_lost_repeated_or_reordered_on_the_loop(
    sizes: list[int], window_chunks: int, window_bytes: int, pauses: list[int], patience: float
) -> None:
    @on_a_loop
    async def check() -> None:
        buffer, payloads = buffer_of(window_chunks, window_bytes), numbered(sizes)
        producer = asyncio.create_task(put_all(buffer, payloads))
        assert await read_everything(buffer, len(payloads), pauses, patience) == payloads
        if payloads:
            assert await buffer.reader.read(len(payloads), 0) is None
        assert await producer == len(payloads)

    check()


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 9), st.integers(0, 60), PAUSES)
def test_a_close_at_any_moment_ends_the_producer_and_leaves_a_whole_beginning(
    window_chunks: int, read_before: int, pauses: list[int]
) -> None:
    @on_a_loop
    async def check() -> None:
        buffer, payloads = buffer_of(window_chunks), numbered([5] * 100)
        with producing(buffer, payloads) as producer:
            chunks = await read_everything(buffer, read_before, pauses, LONG)
            buffer.close()
            await soon(lambda: producer.ended)
            buffer.finish()
            while batch := await buffer.reader.read(len(chunks), LONG):
                chunks += batch

        assert chunks == payloads[: len(chunks)]
        assert len(chunks) == buffer.count

    check()


@on_a_loop
async def test_a_hundred_thousand_chunks_arrive_in_order() -> None:
    buffer, payloads = buffer_of(256, 1 << 20), numbered([0] * 100_000)
    with producing(buffer, payloads):
        assert await read_everything(buffer, len(payloads), [0], LONG) == payloads


def test_what_was_handled_is_not_kept() -> None:
    # Looks inside, for memory is what counts: a stream may have millions of chunks.
    @on_a_loop
    async def check() -> None:
        buffer = buffer_of(window_chunks=8)
        with producing(buffer, letters(1000)):
            taken, most = 0, 0
            while taken < 1000:
                taken += len(await buffer.reader.read(taken, LONG) or ())
                most = max(most, len(buffer._chunks))
        assert most <= 2 * 8

    check()


@on_a_loop
async def test_a_sample_holds_the_first_and_the_last_chunks_and_of_long_ones_the_beginning() -> None:
    buffer = buffer_of(window_bytes=10_000_000)
    chunks: list[Payload] = ["é" * 20_000, Json('["' + "x" * 20_000), b"\xff" * 20_000, *map(str, range(30))]
    with producing(buffer, chunks):
        taken = 0
        while taken < len(chunks):
            taken += len(await buffer.reader.read(taken, LONG) or ())
    assert buffer.sample() == (
        (
            TruncatedPayload(beginning="é" * 1024, size=40_000),
            TruncatedPayload(beginning='["' + "x" * 1022, size=20_002),
            TruncatedPayload(beginning=b"\xff" * 1024, size=20_000),
            *map(str, range(5)),
        ),
        tuple(map(str, range(22, 30))),
    )
