"""Targets for webhooks: real servers on a free port of loopback, as well behaved as a test wants them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from runagent_grpc.worker.config.entrypoint import WebhookEntrypointConfig

__all__ = [
    "Answer",
    "Flood",
    "Request",
    "Target",
    "answering",
    "begin",
    "chunk",
    "hook",
    "listening",
    "reply",
    "target",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True, kw_only=True)
class Target:
    host: str
    port: int
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    ended: int = 0
    """How many of the connections are over."""

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/hook"


Answer = Callable[[Request, asyncio.StreamWriter], Coroutine[Any, Any, None]]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def target(answer: Answer) -> AsyncIterator[Target]:
    """Serves until the block ends: `answer` writes what it likes to each request, and may close the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                request = await _request(reader)
                state.requests.append(request)
                if not await _answered(answer(request, writer), reader):
                    break
        state.ended += 1

    async with listening(serve) as port:
        state = Target(host="127.0.0.1", port=port)
        yield state


@asynccontextmanager
async def listening(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serves each connection as `serve` does until the block ends, and says on which port."""
    serving: set[asyncio.Task[None]] = set()

    async def serve_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            await serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()
            serving.discard(task)

    server = await asyncio.start_server(serve_and_close, "127.0.0.1", 0, limit=2**20, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tuple(serving):
            task.cancel()
        await asyncio.gather(*serving)


async def _answered(answering: Coroutine[Any, Any, None], reader: asyncio.StreamReader) -> bool:
    """Lets an answer be written, unless the caller leaves: nothing but its end can come from one that waits."""
    answer = asyncio.ensure_future(answering)
    left = asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait({answer, left}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            answer.result()
        return answer.done()
    finally:
        answer.cancel()
        left.cancel()
        await asyncio.gather(answer, left, return_exceptions=True)


async def _request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    method, path, _ = first.split(" ")
    return Request(
        method=method,
        path=path,
        headers=headers,
        body=await reader.readexactly(int(headers.get("content-length", "0"))),
    )


def answering(
    body: bytes | str = b"", media_type: str = "application/json", *, status: int = 200, **headers: str
) -> Answer:
    """Returns an answer that is the same for everyone."""

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        reply(writer, body, media_type, status=status, **headers)

    return answer


def reply(
    writer: asyncio.StreamWriter, body: bytes | str = b"", media_type: str = "", *, status: int = 200, **headers: str
) -> None:
    """Writes a whole answer."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(content)}"]
    if media_type:
        lines.append(f"Content-Type: {media_type}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + content)


def begin(writer: asyncio.StreamWriter, media_type: str, **headers: str) -> None:
    """Writes the head of a chunked answer."""
    lines = ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", f"Content-Type: {media_type}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))


async def chunk(writer: asyncio.StreamWriter, data: bytes | str) -> None:
    """Writes a part of a chunked answer; an empty one ends it."""
    content = data.encode() if isinstance(data, str) else data
    writer.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
    await writer.drain()


def hook(url: str, **changes: Any) -> WebhookEntrypointConfig:
    """Returns the configuration of a webhook: by default a plain one that is posted to."""
    return WebhookEntrypointConfig(**{"tag": "hook", "webhook_url": url, "method": "POST", "timeout": 10.0, **changes})


class Flood:
    """An answer without an end, which counts how many MiB of it have gone out."""

    def __init__(self) -> None:
        self.written = 0

    async def __call__(self, _: Request, writer: asyncio.StreamWriter) -> None:
        begin(writer, "application/octet-stream")
        while True:
            await chunk(writer, bytes(2**20))
            self.written += 1

    async def until_it_stalls(self, seconds: float) -> None:
        """Waits until nothing has gone out for so long."""
        before = -1
        while before != self.written:
            before = self.written
            await asyncio.sleep(seconds)
