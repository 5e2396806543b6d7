"""Whatever a target sends ends in a value or in a WebhookError, and in nothing else."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from hypothesis import example, given, settings
from hypothesis import strategies as st

from runagent_grpc.worker.webhook.errors import WebhookError
from runagent_grpc.worker.webhook.function import webhook_function
from tests.waiting import on_a_loop
from tests.worker.webhook.target import hook, listening

MEDIA_TYPES = st.sampled_from(
    [
        *("application/json", "text/event-stream", "application/x-ndjson", "text/plain", "image/png", "", "\xff;=;"),
        *(f"text/plain; charset={name}" for name in ("utf-16", "utf-7", "hz", "idna", "cp037", "zlib", "iso2022_jp")),
    ]
)
BODIES = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from([b'{"a": 1}\n', b"data: 1\n\n", b"[1]", b'"\\ud800"', b"1e999", b"\x1f\x8b\x08\x00", b"\r\n"]),
    ),
    max_size=8,
).map(b"".join)
HEADERS = st.sampled_from(
    [b"", b"Content-Encoding: gzip\r\n", b"Content-Encoding: br\r\n", b"Transfer-Encoding: chunked\r\n", b"X: \xff\r\n"]
)


@given(
    status=st.sampled_from([200, 200, 200, 100, 101, 204, 206, 302, 304, 500, 999]),
    media_type=MEDIA_TYPES,
    headers=HEADERS,
    body=BODIES,
    tag=st.sampled_from(["hook", "hook_stream"]),
    cut=st.integers(min_value=0, max_value=400),
)
@example(status=200, media_type="text/plain; charset=utf-16", headers=b"", body=b"no mark", tag="hook_stream", cut=0)
@settings(max_examples=100, deadline=None)
def test_any_answer_is_a_value_or_a_webhook_error(
    status: int, media_type: str, headers: bytes, body: bytes, tag: str, cut: int
) -> None:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {media_type}\r\n".encode("latin-1")
    sent = head + headers + b"\r\n" + body

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent[:cut])
        await asyncio.sleep(0)
        writer.write(sent[cut:])

    @on_a_loop
    async def test() -> None:
        async with listening(serve) as port:
            call = webhook_function(hook(f"http://127.0.0.1:{port}/", tag=tag, follow_redirects=True, timeout=5.0))
            with suppress(WebhookError):
                if tag == "hook_stream":
                    [chunk async for chunk in call()]
                else:
                    await call()

    test()
