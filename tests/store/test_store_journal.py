"""The chunks of streams: exactly as they were, from the first on, without a gap."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.store import HistoryStore
from runagent_grpc.store.chunk_batch import ChunkBatch, unpack_chunks
from runagent_grpc.store.journal import ChunkJournal
from runagent_grpc.store.write_queue import WriteQueue
from runagent_grpc.store.writer import Event
from runagent_grpc.values.payload import Json, Payload
from tests.store.recording import begin, end, produce, record


def chunks_of(store: HistoryStore, invocation_id: str, after: int = 0) -> list[Payload]:
    """Reads page by page to the end."""

    async def read() -> list[Payload]:
        chunks: list[Payload] = []
        while page := await store.invocations.chunks(invocation_id, after + len(chunks)):
            chunks += page
        return chunks

    return asyncio.run(read())


@pytest.mark.parametrize(
    "payload",
    ["", "text", "\x00", "a\x00b", "dż🙂", "\ud800 alone", Json('{"a":"\ud800"}'), Json("null"), b"", b"\x00\xff"],
    ids=ascii,
)
def test_a_chunk_is_kept_exactly(store: HistoryStore, payload: Payload) -> None:
    stream = begin(store)
    produce(store, stream, payload)
    (kept,) = chunks_of(store, stream.invocation_id)
    assert (kept, type(kept)) == (payload, type(payload))


@pytest.mark.parametrize("after", [0, 1, 2, 4, 5, 499, 500, 501, 1998, 1999])
def test_a_stream_goes_on_behind_any_chunk(store: HistoryStore, after: int) -> None:
    stream = begin(store)
    payloads = [str(number) for number in range(1, 2001)]
    # Written in two pieces, so that a page may start in the middle of one.
    produce(store, stream, *payloads[:5])
    store.flush()
    for sequence, payload in enumerate(payloads[5:], 6):
        store.journal.produced(stream.invocation_id, sequence, payload)
    assert chunks_of(store, stream.invocation_id, after) == payloads[after:]


def test_nothing_is_behind_the_last_chunk_and_nothing_of_an_unknown_stream(store: HistoryStore) -> None:
    stream = begin(store)
    produce(store, stream, "a", "b")
    assert chunks_of(store, stream.invocation_id, 2) == []
    assert chunks_of(store, stream.invocation_id, 3) == []
    assert chunks_of(store, stream.invocation_id, 2**62) == []
    assert chunks_of(store, "unknown") == []


def test_a_page_is_never_long(store: HistoryStore) -> None:
    small, large, huge = begin(store), begin(store), begin(store)
    produce(store, small, *["x"] * 1200)
    produce(store, large, *["é" * 150_000] * 10)
    produce(store, huge, *[b"x" * 4 * 1024 * 1024] * 3)
    pages = [asyncio.run(store.invocations.chunks(stream.invocation_id, 1)) for stream in (small, large, huge)]
    assert [len(page) for page in pages] == [500, 3, 1]
    assert chunks_of(store, huge.invocation_id) == [b"x" * 4 * 1024 * 1024] * 3


def test_streams_that_run_at_once_keep_apart(store: HistoryStore) -> None:
    streams = [begin(store) for _ in range(8)]

    def stream(number: int) -> None:
        produce(store, streams[number], *[f"{number} {chunk}" for chunk in range(3000)])

    threads = [threading.Thread(target=stream, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, invocation in enumerate(streams):
        assert chunks_of(store, invocation.invocation_id) == [f"{number} {chunk}" for chunk in range(3000)]


def test_what_a_stopped_entrypoint_gives_after_its_end_is_left_out(store: HistoryStore) -> None:
    stream = begin(store)
    produce(store, stream, "a", "b")
    end(store, stream, state=InvocationState.CANCELLED)
    store.journal.produced(stream.invocation_id, 3, "late")
    assert chunks_of(store, stream.invocation_id) == ["a", "b"]


def test_a_stream_that_is_too_fast_is_given_up_where_it_was_and_others_are_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("runagent_grpc.store.journal._HEAVIEST_WAITING", 500)
    # Nobody empties it but this test.
    inbox: WriteQueue[Event] = WriteQueue(most=100, heaviest=100)
    journal = ChunkJournal(inbox)
    for sequence in range(1, 100):
        journal.produced("fast", sequence, "x" * 36)
    assert taken(inbox) == ["x" * 36] * 5
    # There is room again, but not for a stream with a gap.
    journal.produced("fast", 100, "x")
    journal.produced("other", 1, "y")
    assert taken(inbox) == ["y"]
    assert [(record.levelname, record.__dict__["invocation_id"]) for record in caplog.records] == [("WARNING", "fast")]


def test_no_stream_is_begun_in_an_inbox_that_is_overfull() -> None:
    inbox: WriteQueue[Event] = WriteQueue(most=1, heaviest=100)
    journal = ChunkJournal(inbox)
    for number in range(12):
        journal.produced(str(number), 1, "x")
    assert taken(inbox) == ["x"] * 10
    journal.produced("11", 2, "x")
    journal.produced("9", 2, "y")
    assert taken(inbox) == ["y"]


def test_a_large_stream_waits_for_nothing() -> None:
    inbox: WriteQueue[Event] = WriteQueue(most=1000, heaviest=100)
    journal = ChunkJournal(inbox)
    journal.produced("stream", 1, b"x" * 1024 * 1024)
    journal.produced("stream", 2, b"x" * 1024 * 1024)
    # Returns although it would linger for ever.
    assert len(inbox.take(linger=float(threading.TIMEOUT_MAX))) == 1


def test_a_stream_that_was_written_down_only_in_part_ends_before_the_gap(store: HistoryStore, database: Path) -> None:
    stream = begin(store)
    inbox: WriteQueue[Event] = store._inbox
    for first in (1, 3, 6):
        stretch = ChunkBatch(store.journal._load, stream.invocation_id, first)
        stretch.add(f"{first}", 1)
        stretch.add(f"{first + 1}", 1)
        inbox.put(stretch)
    assert chunks_of(store, stream.invocation_id) == ["1", "2", "3", "4"]
    assert chunks_of(store, stream.invocation_id, 4) == []
    assert chunks_of(store, stream.invocation_id, 5) == ["6", "7"]


def test_an_inbox_from_which_nothing_comes_is_left_in_time() -> None:
    inbox: WriteQueue[int] = WriteQueue(most=10, heaviest=100)
    assert inbox.take(linger=0, patience=0) == []
    inbox.put(1)
    assert inbox.take(linger=0, patience=0) == [1]


def test_a_journal_of_an_invocation_that_returns_one_value_is_empty(store: HistoryStore) -> None:
    assert chunks_of(store, record(store, "done")) == []


def taken(inbox: WriteQueue[Event]) -> list[Payload]:
    """Does what the writer does."""
    return [
        chunk
        for event in inbox.take(0, 0)
        if isinstance(event, ChunkBatch)
        for _, _, _, packed in event.rows()
        for chunk, _ in unpack_chunks(bytes(packed))
    ]
