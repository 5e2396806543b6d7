"""What becomes of a webhook's answer where the tag is a plain one."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import time
import tracemalloc
from typing import Any

import pytest

from runagent_grpc.worker.webhook.answer import MAX_ANSWER_BYTES
from runagent_grpc.worker.webhook.errors import WebhookError
from runagent_grpc.worker.webhook.function import webhook_function
from tests.waiting import on_a_loop
from tests.worker.webhook.target import Answer, Flood, Request, answering, hook, target


async def value_of(answer: Answer, **changes: Any) -> Any:
    async with target(answer) as there:
        return await webhook_function(hook(there.url, **changes))({})


def check_value(answer: Answer, expected: Any) -> None:
    @on_a_loop
    async def test() -> None:
        value = await value_of(answer)
        assert type(value) is type(expected)
        assert value == expected

    test()


def check_failure(answer: Answer, text: str) -> None:
    @on_a_loop
    async def test() -> None:
        with pytest.raises(WebhookError, match=text) as caught:
            await value_of(answer)
        assert str(caught.value).endswith(".")

    test()


@pytest.mark.parametrize("media_type", ["application/json", "application/problem+json; charset=utf-8", "TEXT/JSON"])
def test_json_is_its_value(media_type: str) -> None:
    check_value(answering('\ufeff{"a": [1, null]}\n', media_type), {"a": [1, None]})


@pytest.mark.parametrize("text", ["1", "1.0", str(2**70), "-0.0", "1e300", '"x"', "null", "true", "[]"])
def test_json_is_exact(text: str) -> None:
    @on_a_loop
    async def test() -> None:
        assert repr(await value_of(answering(text))) == repr(json.loads(text))

    test()


@pytest.mark.parametrize(("text", "expected"), [('{"a": 1, "a": 2}', {"a": 2}), ("[Infinity]", [math.inf])])
def test_json_is_read_as_targets_write_it(text: str, expected: Any) -> None:
    check_value(answering(text), expected)


def test_json_in_another_charset_is_read_in_that() -> None:
    check_value(answering('"é"'.encode("latin-1"), "application/json; charset=iso-8859-1"), "é")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"<html>", "says that it is JSON, and is not"),
        (b'{"a": 1} {"b": 2}', "says that it is JSON, and is not"),
        (b'"\xff"', "says that it is JSON, and is not"),
        (b"[" * 100_000, "nests too deep"),
        (b"1" * 5000, "more than 4,300 digits"),
    ],
)
def test_json_that_is_none_is_a_failure(body: bytes, text: str) -> None:
    check_failure(answering(body), text)


@pytest.mark.parametrize(
    ("body", "media_type", "expected"),
    [
        (b"hello", "text/plain", "hello"),
        ("grüße".encode(), "text/html", "grüße"),
        ("grüße".encode("latin-1"), 'text/plain; Charset="ISO-8859-1"', "grüße"),
        ("日本".encode("shift_jis"), "text/plain; charset=Shift_JIS", "日本"),
        (b"a\xffb", "text/plain", "a\ufffdb"),
        (b"plain", "text/plain; charset=no-such-thing", "plain"),
        # Inflating is not decoding.
        (b"plain", "text/plain; charset=zlib", "plain"),
        (b"plain", "text/plain; charset=punycode", "plain"),
        # A text in UTF-7 that does not end is kept, and read from its start with each piece.
        (b"+AGE-", "text/plain; charset=utf-7", "+AGE-"),
        (b"123", "text/plain", "123"),
        (b"<a/>", "application/atom+xml", "<a/>"),
    ],
)
def test_text_is_text_in_its_charset(body: bytes, media_type: str, expected: str) -> None:
    check_value(answering(body, media_type), expected)


def test_other_kinds_are_bytes() -> None:
    check_value(answering(b"\x89PNG\xff", "image/png"), b"\x89PNG\xff")


@pytest.mark.parametrize(("body", "expected"), [(b'{"a": 1}', {"a": 1}), (b"so what", "so what"), (b"\xff", b"\xff")])
def test_an_answer_that_does_not_say_what_it_is_is_looked_at(body: bytes, expected: Any) -> None:
    check_value(answering(body, ""), expected)


@pytest.mark.parametrize("status", [200, 204])
def test_no_body_is_null(status: int) -> None:
    check_value(answering(b"", "application/json", status=status), None)


def test_what_was_made_for_streaming_becomes_a_list() -> None:
    check_value(
        answering('data: {"n": 1}\n\ndata: two\n\ndata: [DONE]\n\ndata: 3\n\n', "text/event-stream"), [{"n": 1}, "two"]
    )
    check_value(answering('{"n": 1}\n\n2', "application/x-ndjson"), [{"n": 1}, 2])


def test_a_compressed_answer_is_inflated() -> None:
    body = gzip.compress(b'{"a":') + gzip.compress(b" 1}")
    check_value(answering(body, Content_Encoding="gzip"), {"a": 1})
    large = json.dumps(list(range(200_000)))
    check_value(answering(gzip.compress(large.encode()), Content_Encoding="gzip"), json.loads(large))


@pytest.mark.parametrize(
    ("body", "encoding", "text"),
    [
        (b"not gzip", "gzip", "says that it is gzip, and is not"),
        (gzip.compress(b"[1, 2, 3]", mtime=0)[:-9], "gzip", "compressed, and cut off"),
        (b"x", "br", "a way that was not asked for"),
        (b"x", "gzip, gzip", "a way that was not asked for"),
    ],
)
def test_compression_that_cannot_be_undone_is_a_failure(body: bytes, encoding: str, text: str) -> None:
    check_failure(answering(body, Content_Encoding=encoding), text)


@on_a_loop
async def test_an_answer_that_says_it_is_too_large_is_not_read() -> None:
    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {MAX_ANSWER_BYTES + 1}\r\n\r\n".encode())

    with pytest.raises(WebhookError, match="larger than 32 MiB"):
        await value_of(answer)


@on_a_loop
async def test_an_answer_without_an_end_is_given_up_at_the_limit() -> None:
    flood = Flood()
    with pytest.raises(WebhookError, match="larger than 32 MiB"):
        await value_of(flood)
    assert flood.written * 2**20 < 2 * MAX_ANSWER_BYTES


@on_a_loop
async def test_a_gzip_bomb_is_given_up_at_the_limit_without_the_memory_of_what_it_holds() -> None:
    # 1 GiB in 1 MiB.
    bomb = gzip.compress(bytes(2**20)) * 1024
    async with target(answering(bomb, "application/octet-stream", Content_Encoding="gzip")) as there:
        tracemalloc.start()
        try:
            with pytest.raises(WebhookError, match="larger than 32 MiB"):
                await webhook_function(hook(there.url))()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 4 * MAX_ANSWER_BYTES


@on_a_loop
async def test_millions_of_lines_in_little_leave_the_event_loop_to_others() -> None:
    gaps: list[float] = []

    async def tick() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0)
            gaps.append(-last + (last := time.monotonic()))

    lines = gzip.compress(b"0\n" * 2**20)
    async with target(answering(lines, "application/x-ndjson", Content_Encoding="gzip")) as there:
        call = webhook_function(hook(there.url, timeout=60.0))
        ticking = asyncio.ensure_future(tick())
        assert len(await call()) == 2**20
        ticking.cancel()
    assert max(gaps) < sum(gaps) / 3
