"""Streams as Server-Sent Events, which a browser's EventSource takes up again by itself where they were cut.

How an event looks is `event_texts.py`'s (docs/wire.md, server-sent events).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from runagent_grpc.bridge.authentication import principal_of
from runagent_grpc.bridge.error_handlers import known
from runagent_grpc.bridge.event_texts import (
    END,
    HEARTBEAT,
    chunk_events,
    completed_event,
    error_event,
    retry_line,
)
from runagent_grpc.bridge.leaving import until_done_or_gone
from runagent_grpc.core.events import StreamChunks, StreamCompleted, StreamHeartbeat
from runagent_grpc.engine import Engine, Reader
from runagent_grpc.errors import InvalidRequestError, Reason
from runagent_grpc.settings import BridgeSettings

__all__ = ["EventStreams"]

_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    # nginx would collect the events otherwise, and pass them on together.
    "x-accel-buffering": "no",
}


class EventStreams:
    """The streams of an engine, as events."""

    def __init__(self, engine: Engine, *, settings: BridgeSettings) -> None:
        self._engine = engine
        self._settings = settings

    async def stream(self, request: Request) -> Response:
        """Streams what comes behind the event that the client saw last, or behind the chunk that `after` names."""
        invocation_id = request.path_params["invocation_id"]
        cursor = _cursor_of(request, invocation_id)
        if cursor.is_end:
            # The client has seen the end, and comes back because EventSource always does. This tells it to stay away.
            return Response(status_code=204)
        reader = await self._engine.resume(invocation_id, cursor.after, owner=principal_of(request).subject)
        return _EventStream(reader, after=cursor.after, retry=self._settings.event_retry)


class _Cursor(NamedTuple):
    """Where a client left off."""

    after: int
    is_end: bool = False


def _cursor_of(request: Request, invocation_id: str) -> _Cursor:
    text = request.headers.get("last-event-id")
    if text is None:
        return _Cursor(_number(request.query_params.get("after", "0"), "after"))
    event_of, _, position = text.partition(":")
    if event_of != invocation_id:
        raise _no_cursor("last-event-id", "It is the id of another invocation's event.")
    number, _, end = position.partition(":")
    return _Cursor(_number(number, "last-event-id"), is_end=end == END)


def _number(text: str, field: str) -> int:
    # As many digits as no stream is long, so that the number fits wherever it goes.
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise _no_cursor(field, "Expected the number of a chunk.")
    return int(text)


def _no_cursor(field: str, description: str) -> InvalidRequestError:
    return InvalidRequestError.of_field(field, description, reason=Reason.INVALID_CURSOR)


class _EventStream(Response):
    """Sends a stream for as long as the client is there."""

    def __init__(self, reader: Reader, *, after: int, retry: float) -> None:
        super().__init__(headers=_HEADERS)
        # Its length is not known.
        del self.headers["content-length"]
        self._reader = reader
        self._after = after
        self._retry = retry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._reader:
            async with until_done_or_gone(self._send(send), receive):
                pass  # Whichever came first, the stream is over.

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with aclosing(self._texts()) as texts:
            async for text in texts:
                await send({"type": "http.response.body", "body": text.encode("ascii"), "more_body": True})
                # Sending waits only where the socket is full. Other clients want their turn, too.
                await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _texts(self) -> AsyncGenerator[str, None]:
        """Yields the events as they go over the wire, the last one a `completed` or an `error`."""
        invocation_id = self._reader.invocation_id
        last = self._after
        yield retry_line(self._retry)
        try:
            async with aclosing(self._reader.events()) as events:
                async for event in events:
                    match event:
                        case StreamChunks(first_sequence, payloads):
                            last = first_sequence + len(payloads) - 1
                            yield chunk_events(invocation_id, first_sequence, payloads)
                        case StreamHeartbeat():
                            yield HEARTBEAT
                        case StreamCompleted(chunk_count, elapsed):
                            last = chunk_count
                            yield completed_event(invocation_id, chunk_count=chunk_count, elapsed=elapsed)
        except Exception as error:  # noqa: BLE001 - the boundary: told, and logged where it is ours
            yield error_event(invocation_id, known(error), last=last)
