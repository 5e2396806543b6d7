"""Requests and WebSocket conversations as anybody makes them who has read the documentation; compared raw."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from runagent_grpc.testing import RunningServer

__all__ = ["AGENT", "Conversation", "ask", "bearer", "conversation", "masked", "run", "talking", "ws_url"]

AGENT = "/api/v1/agents/test-agent"

# Reading the machine's certificates takes longer than a request.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

_HOLES = (
    (re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "ID"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00"), "TIME"),
    (re.compile(r'(?<="execution_time":)[\d.e-]+'), "SECONDS"),
)


def masked(text: str) -> str:
    """Returns a raw body or frame with holes where ids and times were."""
    for pattern, hole in _HOLES:
        text = pattern.sub(hole, text)
    return text


def ask(server: RunningServer, method: str, path: str, **options: Any) -> httpx.Response:
    """Makes one request on a connection of its own."""
    with httpx.Client(trust_env=False, timeout=20, verify=_NO_TLS) as client:
        return client.request(method, server.http_url + path, **options)


def run(server: RunningServer, tag: str, **fields: Any) -> httpx.Response:
    """Runs an entrypoint by REST."""
    return ask(server, "POST", f"{AGENT}/run", json={"entrypoint_tag": tag, **fields})


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def ws_url(server: RunningServer, path: str = f"{AGENT}/run-stream") -> str:
    return f"ws://{server.host}:{server.http_port}{path}"


class Conversation:
    """How a WebSocket conversation went: the raw frames that came, and the code that it closed with."""

    def __init__(self, frames: list[str], code: int | None) -> None:
        self.frames = frames
        self.code = code

    @property
    def masked(self) -> list[str]:
        return [masked(frame) for frame in self.frames]


@asynccontextmanager
async def talking(
    server: RunningServer, path: str = f"{AGENT}/run-stream", **options: Any
) -> AsyncIterator[ClientConnection]:
    """An open WebSocket."""
    # A stream that never ends leaves no room for the close that a client would wait for.
    options = {"max_size": None, "proxy": None, "close_timeout": 0.2, **options}
    async with connect(ws_url(server, path), **options) as socket:
        yield socket


def conversation(server: RunningServer, *first: Any, path: str = f"{AGENT}/run-stream", **options: Any) -> Conversation:
    """Sends first frames (text, bytes, or objects as JSON), and hears everything until the server closes."""

    async def talk() -> Conversation:
        async with talking(server, path, **options) as socket, asyncio.timeout(30):
            for frame in first:
                await socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))
            frames = []
            try:
                while True:
                    frame = await socket.recv()
                    assert isinstance(frame, str), "A frame of the server's is binary."
                    assert frame.isascii()
                    frames.append(frame)
            except ConnectionClosed:
                return Conversation(frames, socket.close_code)

    return asyncio.run(talk())
