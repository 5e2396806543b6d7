"""Targets for webhooks: real servers on a free port of loopback, as well behaved as a test wants them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from runagent_grpc.agent.entrypoint_config import WebhookEntrypointConfig

__all__ = ["Request", "Target", "answering", "begin", "chunk", "hook", "reply", "target"]


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


Answer = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def target(answer: Answer) -> AsyncIterator[Target]:
    """Serves until the block ends: `answer` writes what it likes to each request, and may close the connection."""
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        state.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not writer.is_closing():
                request = await _request(reader)
                state.requests.append(request)
                answered = asyncio.ensure_future(answer(request, writer))
                # Nothing more is sent by a caller that waits, so that an end is all there can be.
                left = asyncio.ensure_future(reader.read(1))
                await asyncio.wait({answered, left}, return_when=asyncio.FIRST_COMPLETED)
                if left.done():
                    answered.cancel()
                    break
                await answered
                left.cancel()
                with suppress(asyncio.CancelledError):
                    await left
        state.ended += 1
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**20)
    state = Target(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
    try:
        yield state
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


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
