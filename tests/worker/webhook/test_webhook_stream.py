"""What becomes of a webhook's answer where the tag is a streaming one."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from runagent_grpc.worker.webhook.answer import MAX_ANSWER_BYTES
from runagent_grpc.worker.webhook.errors import WebhookError, WebhookTimeoutError
from runagent_grpc.worker.webhook.function import webhook_function
from tests.waiting import on_a_loop, soon
from tests.worker.webhook.target import Answer, Flood, Request, answering, begin, chunk, hook, target

NDJSON = "application/x-ndjson"
SSE = "text/event-stream"


def stream(url: str, payload: Any = None, **changes: Any) -> AsyncGenerator[Any, None]:
    generator: AsyncGenerator[Any, None] = webhook_function(hook(url, tag="hook_stream", **changes))(payload)
    return generator


async def chunks_of(answer: Answer) -> list[Any]:
    async with target(answer) as there:
        return [item async for item in stream(there.url)]


def in_chunks(media_type: str, *parts: bytes | str, **headers: str) -> Answer:
    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        begin(writer, media_type, **headers)
        for part in (*parts, b""):
            await chunk(writer, part)

    return answer


def until_closed(media_type: str, body: str) -> Answer:
    """An answer of the old kind, whose end is that of the connection."""

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.0 200 OK\r\nContent-Type: {media_type}\r\n\r\n{body}".encode())
        writer.close()

    return answer


@pytest.mark.parametrize(
    ("answer", "chunks"),
    [
        (in_chunks(SSE, 'data: {"n": 1}\n\n', "data: [2, 2.0]\n\ndata: thr", "ee\n\n"), [{"n": 1}, [2, 2.0], "three"]),
        (in_chunks(SSE, "data: a\ndata: b\n\n: alive\n\n", "event: x\nid: 1\ndata: c\n\n"), ["a\nb", "c"]),
        (in_chunks(SSE, "data: NaN\n\ndata: null\n\ndata: {broken\n\n"), ["NaN", None, "{broken"]),
        (in_chunks(SSE, 'data: {"n": 1}\n\ndata: [DONE]\n\n', "data: more\n\n"), [{"n": 1}]),
        (in_chunks(SSE, "data: first\n\ndata: unended"), ["first", "unended"]),
        (in_chunks(SSE, "\ufeffdata: grüße\n\n"), ["grüße"]),
        (in_chunks(SSE), []),
        (in_chunks(NDJSON, '{"n": 1}\n{"n', '": 2}\r\n\n[3]'), [{"n": 1}, {"n": 2}, [3]]),
        (in_chunks("application/jsonl", "1\n", "1.0\n"), [1, 1.0]),
        (in_chunks("application/json", '{"a": 1}'), [{"a": 1}]),
        (in_chunks("application/json", "[1, ", '"two"]'), [1, "two"]),
        (in_chunks("application/json", "[1, 2]\n"), [1, 2]),
        (in_chunks("application/json", "[\n  1,\n  2\n]\n"), [1, 2]),
        (in_chunks("application/json", '{\n  "a": [1]\n}'), [{"a": [1]}]),
        (
            in_chunks("application/json", '{"type": "begin"}\n', '{"type": "item"}\n'),
            [{"type": "begin"}, {"type": "item"}],
        ),
        (in_chunks("application/json", "[1]\n[2]\n", "3"), [[1], [2], 3]),
        (in_chunks("application/json", "\n null \n"), [None]),
        (in_chunks("application/json"), []),
        (in_chunks("text/plain", "one ", "two"), ["one ", "two"]),
        (
            in_chunks("text/plain; charset=utf-16-le", "hé".encode("utf-16-le")[:3], "hé".encode("utf-16-le")[3:]),
            ["h", "é"],
        ),
        (in_chunks("", "who ", "knows"), ["who ", "knows"]),
        (in_chunks("audio/wav", b"\xff\x00", b"\x01"), [b"\xff\x00", b"\x01"]),
        (until_closed(NDJSON, "1\n2\n"), [1, 2]),
        (until_closed(SSE, "data: 1\n\ndata: [DONE]\n"), [1]),
        (answering(b"", "text/plain", status=204), []),
    ],
)
def test_each_kind_of_answer_has_its_chunks(answer: Answer, chunks: list[Any]) -> None:
    @on_a_loop
    async def test() -> None:
        received = await chunks_of(answer)
        # As text, for 1 == 1.0.
        assert repr(received) == repr(chunks)

    test()


@pytest.mark.parametrize(
    ("answer", "chunks", "text"),
    [
        (in_chunks(NDJSON, "1\nbroken\n"), [1], "says that it is JSON, and is not"),
        (in_chunks("application/json", '{"a": 1}\nbroken'), [{"a": 1}], "says that it is JSON, and is not"),
        (in_chunks("application/json", "<html>\n</html>"), [], "says that it is JSON, and is not"),
        (
            in_chunks(SSE, 'data: 1\n\nevent: error\ndata: {"error": {"message": "no credit"}}\n\n'),
            [1],
            "reports an error: no credit",
        ),
        (in_chunks(SSE, "event: error\ndata: a\x1b[31m\ndata: b\n\n"), [], r"reports an error: a \[31m b"),
        (until_closed(SSE, "data: 1\n\ndata: cut o"), [1], "broke off"),
        (in_chunks("text/plain; charset=utf-16", "without a mark"), [], "not in the charset that it says"),
        (in_chunks("text/plain", gzip.compress(b"x" * 100)[:-9], Content_Encoding="gzip"), ["x" * 100], "cut off"),
    ],
)
def test_what_came_before_a_failure_comes_through(answer: Answer, chunks: list[Any], text: str) -> None:
    @on_a_loop
    async def test() -> None:
        async with target(answer) as there:
            generator = stream(there.url)
            received = [await anext(generator) for _ in chunks]
            with pytest.raises(WebhookError, match=text):
                await anext(generator)
        assert received == chunks

    test()


@on_a_loop
async def test_chunks_come_while_the_answer_is_still_written() -> None:
    received = asyncio.Event()

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        begin(writer, "application/json")
        for n in range(3):
            await chunk(writer, f'{{"n": {n}}}\n')
            await received.wait()
            received.clear()
        await chunk(writer, "")

    async with target(answer) as there:
        count = 0
        async for item in stream(there.url):
            assert item == {"n": count}
            count += 1
            received.set()
    assert count == 3


@on_a_loop
async def test_a_character_that_arrives_in_halves_leaves_whole() -> None:
    data = "日本🙂".encode()

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        begin(writer, "text/plain")
        for byte in data:
            await chunk(writer, bytes([byte]))
            await asyncio.sleep(0)
        await chunk(writer, "")

    received = await chunks_of(answer)
    assert "".join(received) == "日本🙂"
    assert "\ufffd" not in "".join(received)


@pytest.mark.parametrize("media_type", [SSE, NDJSON, "application/json", "text/plain", "audio/wav"])
def test_a_target_that_closes_within_its_answer_has_failed(media_type: str) -> None:
    @on_a_loop
    async def test() -> None:
        async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
            begin(writer, media_type)
            await chunk(writer, "1\n\n")
            writer.write(b"100\r\nhalf")
            await writer.drain()
            writer.close()

        with pytest.raises(WebhookError, match="broke off before its answer was complete"):
            await chunks_of(answer)

    test()


@on_a_loop
async def test_the_target_notices_at_once_when_the_caller_leaves() -> None:
    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        begin(writer, NDJSON)
        await chunk(writer, "1\n")
        await asyncio.Event().wait()

    async with target(answer) as there:
        generator = stream(there.url)
        async with aclosing(generator):
            assert await anext(generator) == 1
            waiting = asyncio.ensure_future(anext(generator))
            await soon(lambda: there.connections == 1)
            assert there.ended == 0
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await soon(lambda: there.ended == 1)


@on_a_loop
async def test_a_generator_that_is_closed_between_chunks_lets_go_of_its_target() -> None:
    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        begin(writer, NDJSON)
        await chunk(writer, "1\n2\n")
        await asyncio.Event().wait()

    async with target(answer) as there:
        async with aclosing(stream(there.url)) as generator:
            assert await anext(generator) == 1
        await soon(lambda: there.ended == 1)


@on_a_loop
async def test_a_target_is_not_read_faster_than_its_chunks_are_taken() -> None:
    flood = Flood()
    async with target(flood) as there, aclosing(stream(there.url)) as generator:
        await anext(generator)
        # What fits into the buffers of two sockets, and then no more, however long it takes.
        await flood.until_it_stalls(0.1)
        assert flood.written < 20
        received = 0
        async for piece in generator:
            received += len(piece)
            if received > 40 * 2**20:
                break
        assert flood.written >= 40


@on_a_loop
async def test_a_stream_may_take_longer_than_the_timeout_as_long_as_it_is_not_silent() -> None:
    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        begin(writer, SSE)
        for _n in range(8):
            await asyncio.sleep(0.1)
            await chunk(writer, ": alive\n\n")
        await chunk(writer, "data: done\n\n")
        await chunk(writer, "")

    async with target(answer) as there:
        assert [item async for item in stream(there.url, timeout=0.5)] == ["done"]


@pytest.mark.parametrize("begins", [False, True])
def test_a_silent_stream_times_out(begins: bool) -> None:
    @on_a_loop
    async def test() -> None:
        async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
            if begins:
                begin(writer, NDJSON)
                await chunk(writer, "1\n")
            await asyncio.Event().wait()

        async with target(answer) as there:
            with pytest.raises(WebhookTimeoutError, match=r"timed out: it was silent for 0\.2 s"):
                [item async for item in stream(there.url, timeout=0.2)]
            await soon(lambda: there.ended == 1)

    test()


@on_a_loop
async def test_a_reader_that_takes_its_time_is_no_silence_of_the_target() -> None:
    async with target(in_chunks(NDJSON, "1\n", "2\n", "3\n")) as there:
        received = []
        async for item in stream(there.url, timeout=0.2):
            received.append(item)
            await asyncio.sleep(0.3)
    assert received == [1, 2, 3]


@pytest.mark.parametrize(("media_type", "start"), [(NDJSON, '"'), (SSE, "data: "), ("application/json", '{"a": "')])
def test_a_chunk_without_an_end_is_given_up_at_the_limit(media_type: str, start: str) -> None:
    @on_a_loop
    async def test() -> None:
        async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
            begin(writer, media_type)
            await chunk(writer, start)
            for _n in range(MAX_ANSWER_BYTES // 2**20 + 4):
                await chunk(writer, b"x" * 2**20)
            await asyncio.Event().wait()

        with pytest.raises(WebhookError, match="larger than 32 MiB"):
            await chunks_of(answer)

    test()
